package lab

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// testWire is what is between two hosts in a test: their VXLAN.
type testWire struct {
	mu       sync.Mutex
	sockets  map[string]*wireSocket // by address
	carries  map[string]int         // bytes of the longest datagram that passes to an address; 0: none does
	delay    time.Duration
	datagram func(b []byte, to string) // sees each one that passes
}

// wireSocket is the socket of a host.
type wireSocket struct {
	net.PacketConn
	wire *testWire
	at   *net.UDPAddr
	in   chan wireDatagram
	stop chan struct{}
	once sync.Once
}

type wireDatagram struct {
	b    []byte
	from net.Addr
}

func (s *wireSocket) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-s.in:
		return copy(b, d.b), d.from, nil
	case <-s.stop:
		return 0, nil, net.ErrClosed
	}
}

func (s *wireSocket) WriteTo(b []byte, to net.Addr) (int, error) {
	s.wire.send(b, s.at, to.String())
	return len(b), nil
}

func (s *wireSocket) Close() error {
	s.once.Do(func() {
		s.wire.mu.Lock()
		delete(s.wire.sockets, s.at.String())
		s.wire.mu.Unlock()
		close(s.stop)
	})
	return nil
}

func (w *testWire) send(b []byte, from net.Addr, to string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	longest, limited := w.carries[to]
	socket := w.sockets[to]
	if socket == nil || limited && len(b) > longest {
		return
	}
	if w.datagram != nil {
		w.datagram(b, to)
	}
	d := wireDatagram{append([]byte{}, b...), from}
	time.AfterFunc(w.delay, func() {
		select {
		case socket.in <- d:
		default: // nobody reads so much
		}
	})
}

// carry lets datagrams pass to an address that are not longer, or all of them with -1.
func (w *testWire) carry(to string, longest int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.carries, to)
	if longest >= 0 {
		w.carries[to] = longest
	}
}

// wireMachine is the machine of a host with nothing but the socket.
type wireMachine struct {
	Machine
	wire *testWire
}

func (m wireMachine) Space(string) (Space, error) { return wireSpace{wire: m.wire}, nil }

type wireSpace struct {
	Space
	wire *testWire
}

func (s wireSpace) Close() error { return nil }

func (s wireSpace) ListenTransit(_ context.Context, _, address string) (net.PacketConn, error) {
	at := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address))
	socket := &wireSocket{wire: s.wire, at: at, in: make(chan wireDatagram, 100), stop: make(chan struct{})}
	s.wire.mu.Lock()
	defer s.wire.mu.Unlock()
	s.wire.sockets[at.String()] = socket
	return socket, nil
}

// Where the two hosts hear each other.
const atA, atB = "169.254.239.1:14789", "169.254.239.2:14789"

// wireHost is a host of a test that runs nothing but its paths.
type wireHost struct {
	*paths
	plan *topology.Plan

	mu     sync.Mutex
	events []string
	lost   map[string]string
}

func twoHosts() *topology.Plan {
	return &topology.Plan{
		Name: "lab", Underlay: topology.Underlay{MTU: 1550, Port: 14789},
		Hosts: []topology.Host{
			{Name: "a", Address: netip.MustParseAddr("198.18.0.1"), Zones: []string{"h"}},
			{Name: "b", Address: netip.MustParseAddr("198.18.0.2"), Zones: []string{"i", "j"}},
		},
		VPCs: []topology.VPC{
			{Name: "small", Namespace: "small", MTU: 1400, HealthSources: make([]netip.Addr, 2)},
			{Name: "vendor", Namespace: "vendor", MTU: 1500, HealthSources: make([]netip.Addr, 2)},
			{Name: "shop", Namespace: "shop", MTU: 1500, HealthSources: make([]netip.Addr, 2)},
		},
	}
}

func newWireHost(t *testing.T, wire *testWire, name string) *wireHost {
	t.Helper()
	slice, err := twoHosts().On(name)
	require.NoError(t, err)
	h := &wireHost{plan: slice}
	began := time.Now()
	h.paths = &paths{process: newProcess(wireMachine{wire: wire}, slog.New(slog.DiscardHandler))}
	h.observe = func(e control.Event) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.events = append(h.events, fmt.Sprintf("%4.1f %s", time.Since(began).Seconds(), e.Text))
	}
	h.changed = func(lost map[string]string) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.lost = lost
	}
	return h
}

func (h *wireHost) up(t *testing.T) { t.Helper(); require.NoError(t, h.start(h.plan)) }

func (h *wireHost) down() { h.stopMissing(&topology.Plan{}) }

// of is what is known of the other host.
func (h *wireHost) of(other string) status.Host {
	hosts := []status.Host{{Name: other}}
	h.addTo(hosts)
	return hosts[0]
}

func (h *wireHost) told() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.events
}

func (h *wireHost) lostZones() map[string]string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lost
}

func newTestWire() *testWire {
	return &testWire{sockets: map[string]*wireSocket{}, carries: map[string]int{}}
}

// long is a datagram as long as packets of 1500 bytes allow.
const long = 1500 - 28

func TestPathsBetweenHosts(t *testing.T) {
	type deed struct {
		at time.Duration
		do func(wire *testWire, b *wireHost)
	}
	to := func(at string, bytes int) func(*testWire, *wireHost) {
		return func(w *testWire, _ *wireHost) { w.carry(at, bytes) }
	}
	both := func(bytes int) func(*testWire, *wireHost) {
		return func(w *testWire, _ *wireHost) { w.carry(atA, bytes); w.carry(atB, bytes) }
	}
	delayed := func(by time.Duration) func(*testWire, *wireHost) {
		return func(w *testWire, _ *wireHost) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.delay = by
		}
	}
	const s = time.Second
	for _, tt := range []struct {
		name  string
		deeds []deed
		until time.Duration
		path  string   // at the end
		told  []string // by a, with the second in which it is
	}{
		{"nothing happens where nothing is wrong", nil, 60 * s, status.PathOK, nil},
		{"a host that is not there is lost after three questions in haste", []deed{{0, both(0)}}, 30 * s, status.PathLost,
			[]string{" 0.9 host b does not answer: its zones are left out of the names here"}},
		{"a host that dies is lost when three answers in a row are missing, and back with the first answer",
			[]deed{{10500 * time.Millisecond, both(0)}, {20500 * time.Millisecond, both(-1)}}, 40 * s, status.PathOK,
			[]string{"14.3 host b does not answer: its zones are left out of the names here", "21.3 host b answers again"}},
		{"two answers that are missing are no loss", []deed{{10500 * time.Millisecond, to(atA, 0)}, {12500 * time.Millisecond, to(atA, -1)}},
			40 * s, status.PathOK, nil},
		{"one direction is enough to be lost", []deed{{10500 * time.Millisecond, to(atB, 0)}}, 40 * s, status.PathLost,
			[]string{"14.3 host b does not answer: its zones are left out of the names here"}},
		{"an underlay that carries less is too small at once", []deed{{0, both(long - 1)}}, 10 * s, status.PathTooSmall,
			[]string{" 0.9 host b: packets of 44 bytes pass, those of 1500 do not, in both directions: the underlay carries less than 1550 bytes"}},
		{"one that comes to carry less, to there, and is set right",
			[]deed{{10500 * time.Millisecond, to(atB, 1300)}, {40500 * time.Millisecond, to(atB, -1)}}, 60 * s, status.PathOK,
			[]string{
				"20.3 host b: packets of 44 bytes pass, those of 1500 do not to there: the underlay carries less than 1550 bytes",
				"41.3 host b: answers, and packets of 1500 bytes pass in both directions",
			}},
		{"one that carries less from there", []deed{{10500 * time.Millisecond, to(atA, 1300)}}, 30 * s, status.PathTooSmall,
			[]string{"20.3 host b: packets of 44 bytes pass, those of 1500 do not from there: the underlay carries less than 1550 bytes"}},
		{"answers that come late are answers", []deed{{10500 * time.Millisecond, delayed(900 * time.Millisecond)}}, 60 * s, status.PathOK, nil},
		{"but not those that come too late", []deed{{10500 * time.Millisecond, delayed(2100 * time.Millisecond)}}, 60 * s, status.PathLost,
			[]string{"14.3 host b does not answer: its zones are left out of the names here"}},
		{"a host that is taken down says so, and that it is there again",
			[]deed{{10500 * time.Millisecond, func(_ *testWire, b *wireHost) { b.leave(); b.down() }},
				{20500 * time.Millisecond, func(_ *testWire, b *wireHost) { _ = b.start(b.plan) }}},
			30 * s, status.PathOK,
			[]string{"10.5 host b was taken down: its zones are left out of the names here", "20.5 host b answers again"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wire := newTestWire()
				a, b := newWireHost(t, wire, "a"), newWireHost(t, wire, "b")
				began := time.Now()
				if len(tt.deeds) > 0 && tt.deeds[0].at == 0 {
					tt.deeds[0].do(wire, b)
					tt.deeds = tt.deeds[1:]
				}
				b.up(t)
				a.up(t)
				defer a.down()
				defer b.down()
				a.wait(t.Context(), quietly)
				require.LessOrEqual(t, time.Since(began), 2*time.Second, "until everything is known")
				for _, d := range tt.deeds {
					time.Sleep(d.at - time.Since(began))
					d.do(wire, b)
				}
				time.Sleep(tt.until - time.Since(began))
				require.Equal(t, tt.told, a.told())
				is := a.of("b")
				require.Equal(t, tt.path, is.Path, is.Text)
				if tt.path == status.PathLost {
					require.Equal(t, map[string]string{"i": is.Text, "j": is.Text}, a.lostZones())
				} else {
					require.Empty(t, a.lostZones())
				}
			})
		})
	}
}

func TestHostsChooseTheVPCWithTheLongestPackets(t *testing.T) {
	for _, name := range []string{"a", "b"} {
		slice, err := twoHosts().On(name)
		require.NoError(t, err)
		of, ok := transitOfPlan(slice)
		require.True(t, ok)
		require.Equal(t, "shop", of.vpc)
	}
	_, ok := transitOfPlan(twoHosts())
	require.False(t, ok, "a plan that is on no host")
}

func TestAPathThatIsMadeAgainKeepsWhatWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := newTestWire()
		a := newWireHost(t, wire, "a")
		a.up(t)
		time.Sleep(2 * time.Second)
		require.Equal(t, status.PathLost, a.of("b").Path)
		a.plan.VPCs[2].Transit.Port++
		a.stopMissing(a.plan)
		a.up(t)
		defer a.down()
		require.Equal(t, status.PathLost, a.of("b").Path)
		require.Len(t, a.lostZones(), 2)
		require.Len(t, a.told(), 1)
	})
}

// TestDatagramsOfStrangers has what somebody may send who is in a VPC, or in the underlay.
func TestDatagramsOfStrangers(t *testing.T) {
	one, two := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(atA)), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(atB))
	said := func(kind datagramKind, number uint64, size int) []byte {
		return aDatagram{kind: kind, answer: smallest, number: number}.append(nil, size)
	}
	for _, tt := range []struct {
		name    string
		send    func(number uint64) []byte // number is that of a question without an answer
		from    *net.UDPAddr
		after   time.Duration
		answers int  // that it gets
		counts  bool // it is taken for an answer of the host
	}{
		{"an answer of the host", func(n uint64) []byte { return said(anAnswer, n, smallest) }, two, 0, 0, true},
		{"an answer with a number that was guessed", func(n uint64) []byte { return said(anAnswer, n+1, smallest) }, two, 0, 0, false},
		{"an answer from an instance", func(n uint64) []byte { return said(anAnswer, n, smallest) },
			&net.UDPAddr{IP: net.IPv4(10, 0, 2, 10), Port: 14789}, 0, 0, false},
		{"an answer from oneself", func(n uint64) []byte { return said(anAnswer, n, smallest) }, one, 0, 0, false},
		{"an answer from another port", func(n uint64) []byte { return said(anAnswer, n, smallest) },
			&net.UDPAddr{IP: two.IP, Port: 14790}, 0, 0, false},
		{"an old answer", func(n uint64) []byte { return said(anAnswer, n, smallest) }, two, pathLate + time.Millisecond, 0, false},
		{"an answer that is longer than it should be", func(n uint64) []byte { return said(anAnswer, n, long) }, two, 0, 0, false},
		{"an answer that is cut", func(n uint64) []byte { return said(anAnswer, n, smallest)[:smallest-1] }, two, 0, 0, false},
		{"nothing", func(uint64) []byte { return nil }, two, 0, 0, false},
		{"something else", func(uint64) []byte { return make([]byte, 1500) }, two, 0, 0, false},
		{"a kind that is not there", func(n uint64) []byte { return said(aGoodbye+1, n, smallest) }, two, 0, 0, false},
		{"a goodbye with a number that was guessed", func(n uint64) []byte { return said(aGoodbye, n+1, smallest) }, two, 0, 0, false},
		{"a goodbye from an instance", func(n uint64) []byte { return said(aGoodbye, n, smallest) },
			&net.UDPAddr{IP: net.IPv4(10, 0, 2, 10), Port: 14789}, 0, 0, false},
		{"a question of the host", func(n uint64) []byte { return said(aQuestion, 7, smallest) }, two, 0, 1, false},
		{"a question of an instance", func(n uint64) []byte { return said(aQuestion, 7, smallest) },
			&net.UDPAddr{IP: net.IPv4(10, 0, 2, 10), Port: 14789}, 0, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wire := newTestWire()
				a := newWireHost(t, wire, "a")
				stop := make(chan struct{})
				defer close(stop)
				wire.sockets[atB] = &wireSocket{wire: wire, at: two, in: make(chan wireDatagram, 1000), stop: stop}
				answers := 0
				wire.datagram = func(b []byte, to string) {
					if d, _ := parseDatagram(b); d.kind == anAnswer && to == atB {
						answers++
					}
				}
				a.up(t)
				defer a.down()
				synctest.Wait()
				a.paths.mu.Lock()
				p := a.running.all[0]
				number := p.small.last[0].number
				a.paths.mu.Unlock()
				time.Sleep(tt.after)
				a.hear(a.running, tt.send(number), tt.from)
				synctest.Wait()
				require.Equal(t, tt.answers, answers)
				a.paths.mu.Lock()
				counted := p.small.state == doesPass
				a.paths.mu.Unlock()
				require.Equal(t, tt.counts, counted)
				require.False(t, p.gone)
				a.hear(a.running, tt.send(number), tt.from) // once more
				a.paths.mu.Lock()
				defer a.paths.mu.Unlock()
				require.Equal(t, tt.counts, p.small.state == doesPass)
			})
		})
	}
}

func TestAHostIsAnsweredAsOftenAsItMayAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wire := newTestWire()
		a := newWireHost(t, wire, "a")
		two := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(atB))
		stop := make(chan struct{})
		defer close(stop)
		wire.sockets[atB] = &wireSocket{wire: wire, at: two, in: make(chan wireDatagram, 1000), stop: stop}
		var sizes []int
		wire.datagram = func(b []byte, _ string) {
			if d, _ := parseDatagram(b); d.kind == anAnswer {
				sizes = append(sizes, len(b))
			}
		}
		a.up(t)
		defer a.down()
		q := aDatagram{kind: aQuestion, answer: 65535, number: 1}.append(nil, smallest)
		for range 100 {
			a.hear(a.running, q, two)
		}
		require.Len(t, sizes, answersASecond)
		require.Equal(t, long, sizes[0], "no answer is longer than the packets of the VPC")
		time.Sleep(time.Second)
		a.hear(a.running, q, two)
		require.Len(t, sizes, answersASecond+1)
	})
}

func FuzzParseDatagram(f *testing.F) {
	f.Add(aDatagram{aQuestion, 1472, 1}.append(nil, 1472))
	f.Add([]byte("plp1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, ok := parseDatagram(b); ok {
			again, ok := parseDatagram(d.append(nil, len(b)))
			require.True(t, ok)
			require.Equal(t, d, again)
		}
	})
}
