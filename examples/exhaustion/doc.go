// Package exhaustion shows what happens when an NLB has no port left for another
// session. README.md tells the story; the test is all there is.
package exhaustion
