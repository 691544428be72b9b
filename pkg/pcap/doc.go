// Package pcap reads and writes files of captured Ethernet frames.
//
// A [Reader] takes both formats: classic pcap with times in microseconds or
// nanoseconds, and pcapng, each in either byte order and also behind gzip. Packets of
// Linux's "any" device and raw IP packets get an Ethernet header. A [Writer] writes classic
// pcap with nanoseconds, which is small and fast; an [NgWriter] writes pcapng,
// which has names of interfaces, directions and comments. [Merge] makes one capture of those of
// several hosts, with their clocks.
//
// The formats are those of the IETF drafts "PCAP Capture File Format"
// (draft-ietf-opsawg-pcap) and "PCAP Now Generic (pcapng) Capture File Format"
// (draft-ietf-opsawg-pcapng).
//
// The packages gopacket/pcapgo (github.com/google/gopacket 1.1.19 and its successor
// github.com/gopacket/gopacket) read and write the same files. They are not used
// here, as the first has neither comments of packets nor directions, which a capture
// of a data plane is about, and both allocate for each packet.
//
// Readers and writers do not allocate for each packet, and belong to one
// goroutine.
package pcap
