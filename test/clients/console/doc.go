// Package console walks the console of plinksim in a real Chromium, from an empty lab to
// the page that an instance gets through its endpoint, by the mouse and the keyboard
// alone. "make console-browser" runs it; pictures of all steps are among its artifacts.
package console
