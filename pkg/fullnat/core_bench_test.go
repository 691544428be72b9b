package fullnat

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// BenchmarkCore translates 64-byte TCP frames of established sessions, from
// parsing to the finished frame: five-tuple, session, both addresses and
// ports, both checksums, TTL, MACs and every counter. The sessions take turns
// in an order that caches cannot foresee, each as often as any other, which is
// the worst case of real traffic.
//
// In the figures are the random choice of the session and one copy of 64
// bytes for each frame, which stand for what a driver does at least. Not in
// them are system calls, interrupts and the copies of a real interface.
// Mlines/s is the machine's own limit, and of-limit what there is of it.
// B/session counts the pages of the session table that are in memory. The
// table is one with Options.Reserve; others have smaller pages.
func BenchmarkCore(b *testing.B) {
	for _, bench := range []struct {
		name     string
		sessions int
	}{
		{"1", 1}, {"10k", 10_000}, {"100k", 100_000}, {"1M", 1_000_000}, {"4M", 4_000_000},
	} {
		b.Run("sessions="+bench.name, func(b *testing.B) {
			l := newLabWith(b, Options{MaxSessions: bench.sessions, Seed: 1, Reserve: true})
			l.openForBenchmark(b, bench.sessions)
			const burst = 64
			t := newTraffic(l, burst)
			random := uint64(1)
			b.ReportAllocs()
			for b.Loop() {
				for i := range t.frames {
					random = random*6364136223846793005 + 1442695040888963407
					t.set(i, uint32(random>>33*uint64(bench.sessions)>>31), packet.FlagACK)
				}
				l.table.Forward(t.frames, t.verdicts, time.Second)
			}
			seconds := b.Elapsed().Seconds()
			packets := float64(b.N) * burst
			b.ReportMetric(0, "ns/op") // an op is a burst
			b.ReportMetric(packets/seconds/1e6, "Mpps")
			limit := linesPerSecond(&l.table.flows.Arena)
			b.ReportMetric(limit/1e6, "Mlines/s")
			b.ReportMetric(packets/seconds/limit, "of-limit")
			b.ReportMetric(seconds*1e9/packets, "ns/packet")
			b.ReportMetric(float64(residentBytes(b, l.table))/float64(bench.sessions), "B/session")
			for _, v := range t.verdicts {
				require.Equal(b, Forwarded, v)
			}
		})
	}
}

// linesPerSecond is how many lines of a session table the machine reads in random
// order, one for a packet, in bursts that are asked for as Forward asks: what would be
// left of a packet's time if nothing else were done.
func linesPerSecond(a *store.Arena) float64 {
	const burst, bursts = 64, 500_000
	var slots [burst]store.Slot
	random, sum := uint64(1), store.Count(0)
	began := time.Now()
	for range bursts {
		for i := range slots {
			random = random*6364136223846793005 + 1442695040888963407
			slots[i] = store.Slot(random >> 33 * uint64(len(a.All)) >> 31)
			if i%prefetchSize == prefetchSize-1 {
				a.Prefetch(slots[i+1-prefetchSize : i+1])
			}
		}
		for _, at := range slots {
			sum += a.All[at].Count
		}
	}
	runtime.KeepAlive(sum)
	return burst * bursts / time.Since(began).Seconds()
}

// openForBenchmark opens sessions 0 to n-1, to as many targets as it takes.
func (l *lab) openForBenchmark(b testing.TB, n int) {
	for i := range n {
		l.targetForBenchmark(i)
		if v, port := l.send(i, packet.FlagSYN, 0); v != Forwarded {
			b.Fatalf("session %d: %s", i, v)
		} else if v := l.answer(port, "SA", 0); v != Forwarded {
			b.Fatalf("answer to session %d: %s", i, v)
		}
		l.send(i, packet.FlagACK, 0)
	}
	drain(l.table, 0)
}

// targetForBenchmark lets session n have a target that has ports left.
func (l *lab) targetForBenchmark(n int) {
	l.target = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 168, byte(n / 50000), 1}), 80)
}

// residentBytes is how much of a table's mapped memory has pages.
func residentBytes(tb testing.TB, t *Table) (bytes int) {
	for _, mapped := range [][]byte{t.flows.Arena.Mapped, t.flows.Other.Mapped, t.sessions.Mapped, t.half.Mapped} {
		bytes += resident(tb, mapped)
	}
	return bytes
}

// BenchmarkOpen opens sessions until there are a million and starts anew:
// SYNs of 64 bytes in bursts of 64, from parsing to the finished frame, with a
// target, a NAT port, both flows and a place among those that expire. A table
// with Options.Reserve has the memory; the other one takes it from the system,
// and all flows move each time that it grows.
func BenchmarkOpen(b *testing.B) {
	b.Run("table=reserved", func(b *testing.B) { benchmarkOpen(b, true) })
	b.Run("table=growing", func(b *testing.B) { benchmarkOpen(b, false) })
}

func benchmarkOpen(b *testing.B, reserve bool) {
	const sessions, burst = 1_000_000, 64
	l := newLabWith(b, Options{MaxSessions: sessions, Seed: 1, Reserve: reserve})
	t := newTraffic(l, burst)
	b.ReportAllocs()
	now, opened := time.Duration(0), 0
	for b.Loop() {
		if opened+burst > sessions {
			b.StopTimer()
			now += time.Hour
			drain(l.table, now)
			now += store.PoolRest
			drain(l.table, now)
			opened = 0
			b.StartTimer()
		}
		l.targetForBenchmark(opened)
		for i := range t.frames {
			t.set(i, uint32(opened+i), packet.FlagSYN)
		}
		l.table.Forward(t.frames, t.verdicts, now)
		for i, v := range t.verdicts {
			if v != Forwarded {
				b.Fatalf("session %d: %s", opened+i, v)
			}
		}
		opened += burst
	}
	b.ReportMetric(0, "ns/op") // an op is a burst
	b.ReportMetric(float64(b.N)*burst/b.Elapsed().Seconds(), "sessions/s")
}

// traffic is a burst of 64-byte frames of the lab's consumers.
type traffic struct {
	frames   []packet.Frame
	verdicts []Verdict
	pattern  [64]byte
}

func newTraffic(l *lab, burst int) *traffic {
	t := &traffic{frames: make([]packet.Frame, burst), verdicts: make([]Verdict, burst)}
	copy(t.pattern[:], l.pristine)
	t.pattern[41] = 1
	buffers := make([]byte, burst*64)
	for i := range t.frames {
		t.frames[i].Data = buffers[i*64 : i*64+64 : i*64+64]
	}
	return t
}

// set makes frame i one of consumer n, who is as in lab.send.
func (t *traffic) set(i int, n uint32, flags byte) {
	f := &t.frames[i]
	data := (*[64]byte)(f.Data)
	*data = t.pattern
	binary.BigEndian.PutUint32(data[26:], 0x0b000000+n>>15)
	binary.BigEndian.PutUint16(data[34:], uint16(10000+n&0x7fff))
	if flags == packet.FlagSYN {
		data[41] = 0 // the sequence number, which is 1 behind it
	}
	data[47] = flags
	f.ENI = 1
}

// BenchmarkLongestBurst tells how long a packet may have to wait: bursts of 64
// open a million sessions, others translate while the million expires and its
// memory goes back, and after each burst Expire does its 256 steps, as the
// engine of pkg/dataplane lets it. It is the processor's time, the kernel's
// included, so that other programs do not count; the hypervisor does.
func BenchmarkLongestBurst(b *testing.B) {
	const sessions, burst, budget = 1_000_000, 64, 256
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l := newLab(b, sessions)
	t := newTraffic(l, burst)
	now := time.Duration(0)
	var growing, shrinking []time.Duration
	measure := func(bursts []time.Duration, first uint32, flags byte) []time.Duration {
		for i := range t.frames {
			t.set(i, first+uint32(i), flags)
		}
		start := threadTime(b)
		l.table.Forward(t.frames, t.verdicts, now)
		l.table.Expire(now, budget)
		return append(bursts, threadTime(b)-start)
	}
	for b.Loop() {
		for n := 0; n+burst <= sessions; n += burst {
			l.targetForBenchmark(n)
			growing = measure(growing, uint32(n), packet.FlagSYN)
			require.Equal(b, Forwarded, t.verdicts[burst-1])
		}
		now += time.Hour
		for l.table.sessions.Used > 0 || l.table.flows.Phase != store.Settled {
			shrinking = measure(shrinking, 0, packet.FlagACK)
		}
		drain(l.table, now+store.PoolRest)
		now += time.Hour
	}
	b.ReportMetric(0, "ns/op")
	for name, bursts := range map[string][]time.Duration{"opening": growing, "expiring": shrinking} {
		slices.Sort(bursts)
		b.ReportMetric(float64(bursts[len(bursts)-1])/1e3, name+"-longest-µs")
		b.ReportMetric(float64(bursts[len(bursts)-1-len(bursts)/10000])/1e3, name+"-p99.99-µs")
		b.ReportMetric(float64(bursts[len(bursts)/2])/1e3, name+"-median-µs")
	}
}
