package dataplane

import "golang.org/x/sys/unix"

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

// steeringProgram chooses a worker, by classic BPF (bpf(4) of the BSDs;
// linux/filter.h), as fullnat.Steering does for unfragmented TCP and UDP over
// IPv4: of a reply by the low bits of its destination port, of what goes to a
// provider by a hash of its source. replies are the interfaces that replies come
// from, in order. All other frames go to worker 0, which looks closer.
func steeringProgram(replies []uint32, workers int) []unix.SockFilter {
	var p program
	mask := uint32(workers - 1)

	p.load(unix.BPF_W|unix.BPF_ABS, extensionProtocol)
	p.zeroUnless(unix.BPF_JEQ, 0x0800)
	p.load(unix.BPF_B|unix.BPF_ABS, network+9)
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 6, 2, 0)
	p.add(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 17, 1, 0)
	p.result(0)
	p.load(unix.BPF_H|unix.BPF_ABS, network+6) // flags and offset
	p.add(unix.BPF_JMP|unix.BPF_JSET|unix.BPF_K, 0x3fff, 0, 1)
	p.result(0)
	p.add(unix.BPF_LDX|unix.BPF_MSH|unix.BPF_B, network, 0, 0) // X: the length of the IPv4 header

	p.load(unix.BPF_W|unix.BPF_ABS, extensionIfindex)
	for _, r := range ranges(replies) {
		// Not within: three further on. Each reply's answer stands beside its
		// range, as conditional jumps reach 255 instructions.
		p.add(unix.BPF_JMP|unix.BPF_JGE|unix.BPF_K, r.first, 0, 4)
		p.add(unix.BPF_JMP|unix.BPF_JGT|unix.BPF_K, r.last, 3, 0)
		p.load(unix.BPF_H|unix.BPF_IND, network+2) // the destination port
		p.add(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, mask, 0, 0)
		p.add(unix.BPF_RET|unix.BPF_A, 0, 0, 0)
	}

	const golden = 0x9e3779b1                // as in fullnat's spread
	p.load(unix.BPF_H|unix.BPF_IND, network) // the source port
	p.add(unix.BPF_MISC|unix.BPF_TAX, 0, 0, 0)
	p.load(unix.BPF_W|unix.BPF_ABS, network+12)
	p.add(unix.BPF_ALU|unix.BPF_MUL|unix.BPF_K, golden, 0, 0)
	p.add(unix.BPF_ALU|unix.BPF_XOR|unix.BPF_X, 0, 0, 0)
	p.add(unix.BPF_ALU|unix.BPF_MUL|unix.BPF_K, golden, 0, 0)
	p.add(unix.BPF_ALU|unix.BPF_RSH|unix.BPF_K, 16, 0, 0)
	p.add(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, mask, 0, 0)
	p.add(unix.BPF_RET|unix.BPF_A, 0, 0, 0)
	return p
}

type program []unix.SockFilter

func (p *program) add(code uint16, k uint32, ifTrue, ifFalse uint8) {
	*p = append(*p, unix.SockFilter{Code: code, K: k, Jt: ifTrue, Jf: ifFalse})
}

func (p *program) load(code uint16, k uint32) { p.add(unix.BPF_LD|code, k, 0, 0) }

func (p *program) result(worker uint32) { p.add(unix.BPF_RET|unix.BPF_K, worker, 0, 0) }

// zeroUnless ends with worker 0 where the condition does not hold.
func (p *program) zeroUnless(condition uint16, k uint32) {
	p.add(unix.BPF_JMP|condition|unix.BPF_K, k, 1, 0)
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
