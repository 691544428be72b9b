// Package pcap reads and writes files of captured Ethernet frames.
//
// A [Reader] takes both formats: classic pcap with times in microseconds or
// nanoseconds, and pcapng, each in either byte order. A [Writer] writes classic
// pcap with nanoseconds, which is small and fast; an [NgWriter] writes pcapng,
// which has names of interfaces, directions and comments.
//
// The formats are those of the IETF drafts "PCAP Capture File Format"
// (draft-ietf-opsawg-pcap) and "PCAP Now Generic (pcapng) Capture File Format"
// (draft-ietf-opsawg-pcapng).
//
// Readers and writers do not allocate for each packet, and belong to one
// goroutine.
package pcap
