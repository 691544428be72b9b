package dataplane

import (
	"slices"

	"golang.org/x/net/bpf"

	"github.com/plinksim/plinksim/pkg/packet"
)

// network is where a filter finds the IP header, whatever stands before it
// (linux/filter.h, SKF_NET_OFF).
const network = 0xfff00000 // -0x100000

// Fields that the program reads: of IPv4 (RFC 791, 3.1), IPv6 (RFC 8200, 3), and
// behind their headers of TCP and UDP.
const (
	steerFragment = network + 6
	steerProtocol = network + 9
	steerSource   = network + 12

	steerNextHeader = network + 6
	steerSource6    = network + 8
	steerHeader6    = 40 // bytes of the header

	steerSourcePort = network // and the length of the IP header
	steerTargetPort = network + 2
)

// maxReplyRanges keeps the program far below the 4,096 instructions that Linux
// takes. A lab that has more has replies handed over between workers.
const maxReplyRanges = 500

const goldenRatio = 0x9e3779b1 // as in fullnat's spread

// steeringProgram chooses a worker, by classic BPF (linux/filter.h), as
// fullnat.Steering does for TCP and UDP that is neither fragmented nor behind
// extension headers: of a reply by the low bits of its destination port, of what
// goes to a provider by a hash of its source. replies are the interfaces that
// replies come from, in order. All other frames go to worker 0, which looks
// closer.
func steeringProgram(replies []uint32, workers int) []bpf.Instruction {
	mask := uint32(workers - 1)
	program := headerLength()
	program = append(program, bpf.LoadExtension{Num: bpf.ExtInterfaceIndex})
	reply := []bpf.Instruction{
		bpf.LoadIndirect{Off: steerTargetPort, Size: 2},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: mask},
		bpf.RetA{},
	}
	for _, r := range ranges(replies) {
		// The answer stands beside each range: conditional jumps reach no
		// further than 255 instructions.
		past := uint8(len(reply))
		program = append(program,
			bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: r.first, SkipFalse: past + 1},
			bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: r.last, SkipTrue: past})
		program = append(program, reply...)
	}
	program = append(program, sourceHash()...)
	return append(program, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: mask}, bpf.RetA{})
}

// headerLength lets X be the length of the IP header of a frame that the program
// judges, and ends with worker 0 for all others.
func headerLength() []bpf.Instruction {
	ipv6 := slices.Concat(
		[]bpf.Instruction{
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: packet.EtherTypeIPv6, SkipTrue: 1},
			bpf.RetConstant{},
		},
		tcpOrUDP(steerNextHeader),
		[]bpf.Instruction{bpf.LoadConstant{Dst: bpf.RegX, Val: steerHeader6}})
	ipv4 := slices.Concat(
		tcpOrUDP(steerProtocol),
		[]bpf.Instruction{
			bpf.LoadAbsolute{Off: steerFragment, Size: 2},
			bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x3fff, SkipFalse: 1}, // more fragments, or an offset
			bpf.RetConstant{},
			bpf.LoadMemShift{Off: network},
			bpf.Jump{Skip: uint32(len(ipv6))},
		})
	return slices.Concat(
		[]bpf.Instruction{
			bpf.LoadExtension{Num: bpf.ExtProto},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: packet.EtherTypeIPv4, SkipFalse: uint8(len(ipv4))},
		},
		ipv4, ipv6)
}

// tcpOrUDP ends with worker 0 where the protocol, which is at off, is another.
func tcpOrUDP(off uint32) []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: off, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: packet.ProtocolTCP, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: packet.ProtocolUDP, SkipTrue: 1},
		bpf.RetConstant{},
	}
}

// sourceHash makes A a hash of the source's address and port, X being the length
// of the IP header. An IPv6 address is folded to 32 bits first.
func sourceHash() []bpf.Instruction {
	const port = 0 // scratch
	ipv6 := []bpf.Instruction{bpf.LoadAbsolute{Off: steerSource6, Size: 4}}
	for at := uint32(4); at < 16; at += 4 {
		ipv6 = append(ipv6,
			bpf.ALUOpConstant{Op: bpf.ALUOpMul, Val: goldenRatio},
			bpf.TAX{},
			bpf.LoadAbsolute{Off: steerSource6 + at, Size: 4},
			bpf.ALUOpX{Op: bpf.ALUOpXor})
	}
	ipv4 := []bpf.Instruction{
		bpf.LoadAbsolute{Off: steerSource, Size: 4},
		bpf.Jump{Skip: uint32(len(ipv6))},
	}
	return slices.Concat(
		[]bpf.Instruction{
			bpf.LoadIndirect{Off: steerSourcePort, Size: 2},
			bpf.StoreScratch{Src: bpf.RegA, N: port},
			bpf.LoadExtension{Num: bpf.ExtProto},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: packet.EtherTypeIPv6, SkipTrue: uint8(len(ipv4))},
		},
		ipv4, ipv6,
		[]bpf.Instruction{
			bpf.LoadScratch{Dst: bpf.RegX, N: port},
			bpf.ALUOpConstant{Op: bpf.ALUOpMul, Val: goldenRatio},
			bpf.ALUOpX{Op: bpf.ALUOpXor},
			bpf.ALUOpConstant{Op: bpf.ALUOpMul, Val: goldenRatio},
			bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 16},
		})
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
