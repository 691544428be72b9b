// Package mysql shows a service that reaches the MySQL of its customers through a NAT
// gateway: reverse access. README.md tells the story; the test is all there is. It is
// a module of its own, for what it requires.
package mysql
