// Package idletimeout shows what the idle timeout of an NLB does to a pool of
// connections, and how to test that a program survives it. README.md tells the
// story; the tests are all there is.
package idletimeout
