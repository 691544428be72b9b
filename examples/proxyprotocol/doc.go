// Package proxyprotocol shows a server behind an NLB that reads PROXY headers and logs
// the endpoint that a client came through. README.md tells the story.
package proxyprotocol
