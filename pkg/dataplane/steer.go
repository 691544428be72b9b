package dataplane

import (
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/packet"
)

// Where a filter finds what is not in the packet: in an area of its own, and
// behind the Ethernet header (linux/filter.h, SKF_AD_OFF and SKF_NET_OFF).
const (
	extension = 0xfffff000 // -0x1000
	network   = 0xfff00000 // -0x100000

	extensionProtocol = extension + 0
	extensionIfindex  = extension + 8
)

// maxReplyRanges keeps the program far below the 4,096 instructions that Linux
// takes. Who has more has replies handed over between workers.
const maxReplyRanges = 500

// steeringProgram chooses a worker, by classic BPF (linux/filter.h), as
// fullnat.Steering does for TCP and UDP that is neither fragmented nor behind
// extension headers: of a reply by the low bits of its destination port, of what
// goes to a provider by a hash of its source. replies are the interfaces that
// replies come from, in order. All other frames go to worker 0, which looks
// closer.
func steeringProgram(replies []uint32, workers int) []unix.SockFilter {
	var p program
	mask := uint32(workers - 1)

	// X becomes the length of the IP header.
	p.load(unix.BPF_W|unix.BPF_ABS, extensionProtocol)
	p.jump(unix.BPF_JEQ, packet.EtherTypeIPv4, 8, 0)
	p.jump(unix.BPF_JEQ, packet.EtherTypeIPv6, 1, 0)
	p.result(0)
	p.tcpOrUDP(network + 6)
	p.add(unix.BPF_LDX|unix.BPF_IMM, 40)
	p.add(unix.BPF_JMP|unix.BPF_JA, 8)
	// IPv4
	p.tcpOrUDP(network + 9)
	p.load(unix.BPF_H|unix.BPF_ABS, network+6) // flags and offset
	p.jump(unix.BPF_JSET, 0x3fff, 0, 1)
	p.result(0)
	p.add(unix.BPF_LDX|unix.BPF_MSH|unix.BPF_B, network)

	p.load(unix.BPF_W|unix.BPF_ABS, extensionIfindex)
	for _, r := range ranges(replies) {
		// The answer stands beside each range: conditional jumps reach no
		// further than 255 instructions.
		p.jump(unix.BPF_JGE, r.first, 0, 4)
		p.jump(unix.BPF_JGT, r.last, 3, 0)
		p.load(unix.BPF_H|unix.BPF_IND, network+2) // the destination port
		p.add(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, mask)
		p.add(unix.BPF_RET|unix.BPF_A, 0)
	}

	// M[0]: the source port. An IPv6 address is folded to 32 bits first.
	p.load(unix.BPF_H|unix.BPF_IND, network)
	p.add(unix.BPF_ST, 0)
	p.load(unix.BPF_W|unix.BPF_ABS, extensionProtocol)
	p.jump(unix.BPF_JEQ, packet.EtherTypeIPv6, 2, 0)
	p.load(unix.BPF_W|unix.BPF_ABS, network+12)
	p.add(unix.BPF_JMP|unix.BPF_JA, 13)
	p.load(unix.BPF_W|unix.BPF_ABS, network+8)
	for at := uint32(12); at < 24; at += 4 {
		p.add(unix.BPF_ALU|unix.BPF_MUL|unix.BPF_K, golden)
		p.add(unix.BPF_MISC|unix.BPF_TAX, 0)
		p.load(unix.BPF_W|unix.BPF_ABS, network+at)
		p.add(unix.BPF_ALU|unix.BPF_XOR|unix.BPF_X, 0)
	}
	p.add(unix.BPF_LDX|unix.BPF_MEM, 0)
	p.add(unix.BPF_ALU|unix.BPF_MUL|unix.BPF_K, golden)
	p.add(unix.BPF_ALU|unix.BPF_XOR|unix.BPF_X, 0)
	p.add(unix.BPF_ALU|unix.BPF_MUL|unix.BPF_K, golden)
	p.add(unix.BPF_ALU|unix.BPF_RSH|unix.BPF_K, 16)
	p.add(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, mask)
	p.add(unix.BPF_RET|unix.BPF_A, 0)
	return p
}

const golden = 0x9e3779b1 // as in fullnat's spread

type program []unix.SockFilter

func (p *program) add(code uint16, k uint32) {
	*p = append(*p, unix.SockFilter{Code: code, K: k})
}

func (p *program) load(code uint16, k uint32) { p.add(unix.BPF_LD|code, k) }

// jump passes over as many instructions.
func (p *program) jump(condition uint16, k uint32, ifTrue, ifFalse uint8) {
	*p = append(*p, unix.SockFilter{Code: unix.BPF_JMP | condition | unix.BPF_K, K: k, Jt: ifTrue, Jf: ifFalse})
}

func (p *program) result(worker uint32) { p.add(unix.BPF_RET|unix.BPF_K, worker) }

// tcpOrUDP ends with worker 0 where the protocol, which is at k, is another. It
// has four instructions.
func (p *program) tcpOrUDP(k uint32) {
	p.load(unix.BPF_B|unix.BPF_ABS, k)
	p.jump(unix.BPF_JEQ, packet.ProtocolTCP, 2, 0)
	p.jump(unix.BPF_JEQ, packet.ProtocolUDP, 1, 0)
	p.result(0)
}

type span struct{ first, last uint32 }

// ranges joins numbers that follow each other; a lab's interfaces are made one
// after the other.
func ranges(sorted []uint32) (all []span) {
	for _, n := range sorted {
		if last := len(all) - 1; last >= 0 && all[last].last+1 == n {
			all[last].last = n
			continue
		}
		if len(all) == maxReplyRanges {
			break
		}
		all = append(all, span{n, n})
	}
	return all
}
