// Package fullnat translates the packets of a lab: both ends of every flow
// change, so that consumer and provider need not know each other's addresses,
// nor use different ones. It is a pure state machine. Packets and the time go
// in, edited packets and verdicts come out; there is no clock, no goroutine,
// no I/O and no logger, and the same input with the same seed gives the same
// output.
//
// A link is one way through it: who sends to an address and port of the
// ingress ENI reaches a target behind the egress ENI, which sees a NAT IP and
// a NAT port as the source. A session is one flow over a link. Only a first
// packet that arrives on the ingress ENI opens one: a TCP SYN or any UDP
// datagram. What comes from the other side belongs to a session or is
// dropped, so a provider cannot open anything towards a consumer.
//
// This is a load balancer's NAT: a mapping belongs to a whole five-tuple
// ("address and port-dependent", RFC 4787, 4.1 and 5), and NAT ports are
// counted for each target by itself. Do not look for the behaviour that peer
// to peer programs want from a home router.
//
// To use it well: build a Config whole and Configure it, again for every
// change; hand frames to Forward in bursts, for it hides the latency of
// memory behind the other packets of sixteen; call Expire between bursts, with
// a budget that says how long the next packet may have to wait; answer ARP
// before. A Table belongs to one goroutine. To use two cores, make two tables
// and keep every flow on one of them.
//
// Each packet that is not forwarded has a Verdict that says why, counted for
// the table and, as soon as a link is known, for the link. If a packet can be
// dropped for two reasons, the one that a user can act on is given: an
// address before a port, a connection before a security group, and those
// before what the packet itself lacks.
//
// Established sessions cost one cache line for a packet and allocate nothing.
// The session table is outside the Go heap: its size does not make garbage
// collections longer, and Close must be called to give it back.
package fullnat
