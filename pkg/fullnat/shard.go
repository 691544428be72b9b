package fullnat

import (
	"encoding/binary"
	"fmt"

	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// maxShards leaves each shard a thousand NAT ports for a target.
const maxShards = 64

func newShard(number, of int) (store.Shard, error) {
	if of == 0 {
		of = 1
	}
	if err := checkShards(of); err != nil {
		return store.Shard{}, err
	}
	if number < 0 || number >= of {
		return store.Shard{}, fmt.Errorf("shard %d of %d: want 0 to %d", number, of, of-1)
	}
	return store.Shard{Number: number, Of: of}, nil
}

func checkShards(n int) error {
	if n < 1 || n > maxShards || n&(n-1) != 0 {
		return fmt.Errorf("%d shards: want a power of two up to %d", n, maxShards)
	}
	return nil
}

// Steering says which shard a frame is for, and knows no session. It does not
// change and may be used by many goroutines.
type Steering struct {
	routes *routes
	addrs  *store.Addrs
	shards int
}

// NewSteering makes the Steering for tables that are configured with cfg and
// have Options.Shards shards.
func NewSteering(cfg *Config, shards int) (*Steering, error) {
	if err := checkShards(shards); err != nil {
		return nil, err
	}
	numbers := &store.Addrs{}
	numbers.Init()
	s := &Steering{routes: &routes{}, addrs: numbers, shards: shards}
	if err := s.routes.follow(compile(cfg, numbers, &links{})); err != nil {
		return nil, err
	}
	return s, nil
}

// Shard is the number of the shard that f is for: of a reply the low bits of
// the NAT port, of other packets a hash of the address and port that they
// come from, so that all packets of a session are for the same. An ICMP error
// is for the shard of the packet that it quotes.
//
// Of a fragmented packet the first fragment has the ports, and goes where the whole
// one would. The others follow their addresses alone: who has seen the first
// one knows better.
func (s *Steering) Shard(f *packet.Frame) int {
	var p, quoted packet.Packet
	kind := packet.Parse(f.Data, &p)
	switch kind {
	case packet.Malformed, packet.NotIP, packet.ARP:
		return 0
	}
	if p.IPv6 {
		s.identify(&p, packet.IPv6Ends(f.Data))
	}
	switch kind {
	case packet.Fragment:
		if p.FragmentOffset() == 0 {
			packet.ParseFirst(f.Data, &p)
		}
	case packet.ICMP:
		if p.IsICMPError() && packet.ParseQuote(f.Data, &p, &quoted) {
			if p.IPv6 {
				ends := packet.QuotedEnds(f.Data, &p)
				s.identify(&quoted, packet.Ends{Src: ends.Dst, Dst: ends.Src})
				quoted.Src, quoted.Dst = quoted.Dst, quoted.Src
			}
			p.Protocol = quoted.Protocol
			p.Src, p.Dst = quoted.Dst, quoted.Src
			p.SrcPort, p.DstPort = quoted.DstPort, quoted.SrcPort
		}
	}
	if s.isReply(f.ENI, &p) {
		return int(p.DstPort) & (s.shards - 1)
	}
	return spread(p.Src, p.SrcPort) & (s.shards - 1)
}

// identify gives p numbers for its addresses: where it goes, that which the
// Steering knows, and where it comes from, whatever all packets from there get.
func (s *Steering) identify(p *packet.Packet, ends packet.Ends) {
	for i := 0; i < len(ends.Src); i += 4 {
		p.Src = p.Src*goldenRatio ^ binary.BigEndian.Uint32(ends.Src[i:])
	}
	p.Dst = s.addrs.Find(&ends.Dst)
}

func (s *Steering) isReply(eni packet.ENI, p *packet.Packet) bool {
	return p.DstPort >= store.FirstNATPort &&
		s.routes.links[match{address{p.Dst, eni}, p.DstPort, p.Protocol}] == nil &&
		s.routes.ownerOf(eni, p.Dst) != nobody
}

// goldenRatio is Knuth's factor for multiplicative hashing (The Art of Computer
// Programming 3, 6.4): 2^32 divided by the golden ratio.
const goldenRatio = 0x9e3779b1

// spread is no secret: who sends all to one shard gains what a single table
// has to offer.
func spread(addr uint32, port uint16) int {
	return int((addr*goldenRatio ^ uint32(port)) * goldenRatio >> 16)
}
