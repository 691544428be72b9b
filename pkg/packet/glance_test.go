package packet

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
)

func glanced(e Envelope, flags uint8, options ...byte) []byte {
	d := Data{Segment: Segment{Envelope: e, SrcPort: 40000, DstPort: 80, Flags: flags}, Options: options}
	frame := make([]byte, d.Size())
	d.Build(frame)
	return frame
}

func TestIsSYN(t *testing.T) {
	four, six := Envelope{Src: 0x0a00000a, Dst: 0x0a00000b}, Envelope{IPv6: true, Ends: Ends{Src: [16]byte{15: 1}, Dst: [16]byte{15: 2}}}
	withOptions := func(frame []byte) []byte { // of IPv4, four bytes
		out := append(append([]byte(nil), frame[:L3+ipv4HeaderLen]...), 1, 1, 1, 1)
		out[L3]++
		return append(out, frame[L3+ipv4HeaderLen:]...)
	}
	laterFragment := glanced(four, FlagSYN)
	binary.BigEndian.PutUint16(laterFragment[L3+ipv4Fragment:], 3)
	udp := glanced(four, FlagSYN)
	udp[L3+ipv4Protocol] = ProtocolUDP
	arp := glanced(four, FlagSYN)
	binary.BigEndian.PutUint16(arp[etherType:], EtherTypeARP)
	for _, tt := range []struct {
		name  string
		frame []byte
		want  bool
	}{
		{"IPv4", glanced(four, FlagSYN), true},
		{"IPv6", glanced(six, FlagSYN), true},
		{"TCP options", glanced(four, FlagSYN, 2, 4, 5, 180), true},
		{"IPv4 options", withOptions(glanced(four, FlagSYN)), true},
		{"ECN (RFC 3168, 6.1.1)", glanced(four, FlagSYN|0xc0), true},
		{"the answer", glanced(four, FlagSYN|FlagACK), false},
		{"the answer of IPv6", glanced(six, FlagSYN|FlagACK), false},
		{"the end", glanced(four, FlagFIN|FlagACK), false},
		{"IPv4 options, no SYN", withOptions(glanced(four, FlagACK)), false},
		{"a later fragment", laterFragment, false},
		{"UDP", udp, false},
		{"no IP", arp, false},
		{"half a header", glanced(four, FlagSYN)[:L3+ipv4HeaderLen+10], false},
		{"half a header of IPv6", glanced(six, FlagSYN)[:L3+ipv6HeaderLen+10], false},
		{"nothing", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) { require.Equal(t, tt.want, IsSYN(tt.frame)) })
	}
}

func TestSourceHashTellsSourcesApart(t *testing.T) {
	seen := map[uint32]bool{}
	upper := map[uint32]int{}
	for n := range uint32(256) {
		of4 := SourceHash(glanced(Envelope{Src: 0x0a000000 + n, Dst: 0x0a00ff01}, FlagACK))
		of6 := SourceHash(glanced(Envelope{IPv6: true, Ends: Ends{Src: [16]byte{0: 0xfd, 15: byte(n)}}}, FlagACK))
		seen[of4], seen[of6] = true, true
		upper[of4>>28]++
	}
	require.Len(t, seen, 512)
	require.Len(t, upper, 16, "neighbours are spread")
	same := glanced(Envelope{Src: 0x0a000001, Dst: 0x0a000002}, FlagSYN)
	require.Equal(t, SourceHash(same), SourceHash(glanced(Envelope{Src: 0x0a000001, Dst: 9}, FlagACK, 1, 1, 1, 1)))
	require.Zero(t, SourceHash(same[:20]))
	binary.BigEndian.PutUint16(same[etherType:], EtherTypeARP)
	require.Zero(t, SourceHash(same))
}
