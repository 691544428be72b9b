// Package store holds what a session table remembers: sessions and their flows,
// NAT ports, next hops, half-open sessions, the numbers of IPv6 addresses, and
// when a session has to be looked at. It knows how to find, add and remove them
// in constant time and in memory that grows and shrinks with them. What becomes
// of a packet is not known here: package fullnat judges, and it tells this
// package what to remember.
//
// Nothing here has a lock, reads a clock or draws random numbers of its own.
// Sessions hold no pointers: they name each other by number, and each kind of
// number is a type. Fields are exported because the one package that may import
// this one reads them for every packet.
package store
