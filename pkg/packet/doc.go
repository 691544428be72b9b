// Package packet reads and edits Ethernet frames where they lie. Nothing here
// allocates, copies a payload, keeps a reference or asks for the time, so the
// same code serves a ring shared with the kernel, a pcap file and a fuzzer.
//
// Parse checks every length once and leaves offsets and the five-tuple in a
// Packet that the caller owns. What comes after relies on that: Rewrite.Apply
// and Rewrite.ApplyError index without looking again, so give them only a
// Packet that Parse filled from the same data. Multi-byte fields are in host
// order in a Packet and in network order in the frame.
//
// Checksums are never recomputed on the way through. A difference is worked
// out once for a flow and added to what is there (RFC 1624, equation 3), which
// costs the same for 64 bytes and for 64 KiB, and keeps a wrong checksum
// wrong: whoever is at the end must be able to see that the payload was
// damaged. A frame from a kernel that postpones checksums carries
// Offload.NeedsCsum; its checksum field holds the sum of the pseudo-header,
// not complemented, without ports and payload. Such a field follows the
// addresses alone. Always hand Frame.Offload on together with the data.
package packet
