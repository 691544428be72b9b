// Package mtu shows what becomes of packets that are too long for an endpoint. README.md
// tells the story; the tests are all there is.
package mtu
