// Package dnscache shows how long a client goes on to a zone that is lost, by how it
// keeps the answers of DNS. README.md tells the story; the test is all there is.
package dnscache
