// Package grpc shows gRPC through an NLB: connections that idle, and one connection
// that keeps all calls at one server. README.md tells the story; the tests are all
// there is. It is a module of its own, for what it requires.
package grpc
