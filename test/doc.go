// Package test holds the tests of the whole system: labs in network
// namespaces, with real programs, used through package plinktest as its users
// do. What a test of one package can show is beside that package.
package test
