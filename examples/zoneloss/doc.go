// Package zoneloss shows a client that survives the loss of a zone, and one that
// does not. README.md tells the story; the tests are all there is.
package zoneloss
