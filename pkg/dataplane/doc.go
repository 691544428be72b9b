// Package dataplane carries packets between the ENIs of a lab and the FullNAT
// core.
//
// An [Engine] is the loop around one fullnat.Table: it reads a burst of frames
// from a [Driver], answers ARP and neighbour solicitations for the addresses that
// the lab owns, lets the
// table judge and edit the rest, and writes what was forwarded. The table has
// no clock, no goroutine and no I/O; the engine gives it all three:
//
//	ring, err := dataplane.OpenRing(dataplane.RingConfig{ENIs: map[int]packet.ENI{7: 1, 9: 2}})
//	engine, err := dataplane.NewEngine(dataplane.EngineConfig{Driver: ring})
//	go engine.Run(ctx)
//	err = engine.Configure(dataplane.Config{NAT: cfg, Owned: owned})
//	…
//	err = engine.Close() // closes the ring and the table too
//
// A [Ring] is the driver for real packets: one AF_PACKET socket that sees every
// interface of the network namespace of the thread that opened it. The
// namespace should hold nothing but ENIs. Their devices need no addresses, but
// they must be up, have IPv6 off, and have another MAC than the one that ARP
// answers for the ENI: a packet socket gets a copy, and the kernel drops the
// original at once only if its destination MAC is not the device's own. The
// devices outlive the ring, and a new ring takes over where the last one ended.
//
// [Shaping] degrades what the table forwards: a bandwidth, delay, jitter, loss,
// reordering, duplication and corruption for each link and direction, and
// interfaces that are down. It stands between the table and the driver, holds
// copies of what waits, and wakes the engine when the next one is due.
//
// A [Memory] is the driver for tests: frames are injected and collected by the
// test, which needs no privileges and no clock.
//
// A [Pcap] is the driver for simulations: frames come from packet files and go
// to packet files, and [Engine.Replay] runs them in the virtual time that is
// written in the files.
//
// [Workers] are several engines for one lab, each with a shard of the sessions and
// of every NAT IP's ports: those with the worker's number in their low bits. Their
// sockets are one PACKET_FANOUT group with a classic BPF program. It sends a reply to
// the worker that its destination port names, and a packet to a provider by a hash of
// its source. Fragments, ICMP errors and what the program judged by an older
// configuration are handed over to the worker whose session it is. Shaping is shared:
// all workers use each connection's balance, limits, generators and counters under
// one lock, which a worker holds for a burst.
//
// Everything here moves superframes: a frame may be up to 64 KiB long, with
// only a pseudo-header sum where its checksum should be, and is cut into
// packets by whoever receives it. The Offload beside a frame's data says what
// it is, and the two must travel together. Shaping cuts a superframe where
// something happens to single packets, and a Pcap where it writes one; a Ring
// joins small datagrams that leave together.
package dataplane
