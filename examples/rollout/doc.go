// Package rollout shows how a new version of a server takes over by weights, and what
// becomes of the old one's connections. README.md tells the story; the tests are all
// there is.
package rollout
