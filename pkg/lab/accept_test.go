package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// scarce is a listener whose process has no descriptor at first.
type scarce struct {
	net.Listener
	fails int
	err   error
}

func (s *scarce) Accept() (net.Conn, error) {
	if s.fails > 0 {
		s.fails--
		return nil, &net.OpError{Op: "accept", Err: s.err}
	}
	_, conn := net.Pipe()
	return conn, nil
}

func TestAListenerOutlivesAMomentWithoutDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := make(chan bool, 9)
		listener := func(fails int, err error) *patientListener {
			return &patientListener{
				Listener: &scarce{fails: fails, err: err}, ctx: t.Context(), room: newRoom(nil, nil),
				lacks: func(lacks bool) { told <- lacks },
			}
		}
		_, err := listener(200, syscall.EMFILE).Accept()
		require.NoError(t, err)
		require.True(t, <-told)
		require.False(t, <-told)
		require.Empty(t, told)

		_, err = listener(1, net.ErrClosed).Accept()
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

// caller is a connection of a client with an address, which remembers its end.
type caller struct {
	net.Conn
	from   string
	closed bool
}

func (c *caller) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: netip.MustParseAddr(c.from).AsSlice(), Port: 40000}
}
func (c *caller) LocalAddr() net.Addr { return &net.TCPAddr{} }
func (c *caller) Close() error        { c.closed = true; return nil }

// doorway is a listener to which callers come.
type doorway struct {
	net.Listener
	callers chan net.Conn
	closed  context.Context
	shut    context.CancelFunc
}

func (d *doorway) Close() error { d.shut(); return nil }

func (d *doorway) Accept() (net.Conn, error) {
	select {
	case conn, ok := <-d.callers:
		if ok {
			return conn, nil
		}
	case <-d.closed.Done():
	}
	return nil, net.ErrClosed
}

// newDoorway is a listener with the connections that it has accepted.
func newDoorway(t *testing.T, r *room) (*doorway, chan net.Conn) {
	door, accepted := &doorway{callers: make(chan net.Conn)}, make(chan net.Conn, 10_000)
	door.closed, door.shut = context.WithCancel(context.Background())
	l := &patientListener{Listener: door, ctx: t.Context(), room: r, lacks: func(bool) {}}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	return door, accepted
}

func newTestRoom(size, places int) *room {
	return &room{size: size, places: places, log: slog.New(slog.DiscardHandler)}
}

// One that waits keeps nobody behind it from being served.
func TestWhoeverTakesAllRoomKeepsNobodyFromBeingServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRoom(100, 20)
		a, fromA := newDoorway(t, r)
		b, fromB := newDoorway(t, r)
		defer close(a.callers)
		defer close(b.callers)

		var crowd []*caller
		for range 5000 {
			crowd = append(crowd, &caller{from: "10.0.0.1"})
			a.callers <- crowd[len(crowd)-1]
		}
		synctest.Wait()
		require.Len(t, fromA, 100, "whoever comes alone has all")
		closed := 0
		for _, c := range crowd {
			if c.closed {
				closed++
			}
		}
		require.Equal(t, 5000-100-20, closed, "what cannot wait is refused")

		for range 10 {
			a.callers <- &caller{from: "10.0.0.2"}
			b.callers <- &caller{from: "10.0.0.1"}
		}
		synctest.Wait()
		require.Len(t, fromA, 110, "another source of the same listener is served at once")
		require.Len(t, fromB, 10, "and so is the same source at another listener")
		require.False(t, crowd[0].closed, "the newest ones make room")
		require.True(t, crowd[99].closed)
		require.False(t, crowd[79].closed, "and no more of them than need be")

		require.NoError(t, (<-fromB).Close())
		synctest.Wait()
		require.Len(t, fromA, 111, "those that wait have what is given back")
	})
}

func TestConnectionsThatWaitEndWithTheirListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRoom(1, 20)
		a, accepted := newDoorway(t, r)
		first, second := &caller{from: "10.0.0.1"}, &caller{from: "10.0.0.1"}
		a.callers <- first
		a.callers <- second
		close(a.callers)
		synctest.Wait()
		require.False(t, first.closed, "it drains")
		require.True(t, second.closed)
		require.NoError(t, (<-accepted).Close())
		require.Zero(t, r.all.open+r.all.waits)
	})
}

func TestRoomIsLeftOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRoom(2, 20)
		a, accepted := newDoorway(t, r)
		defer close(a.callers)
		for range 4 {
			a.callers <- &caller{from: "10.0.0.1"}
		}
		synctest.Wait()
		require.Len(t, accepted, 2)
		first := <-accepted
		require.NoError(t, errors.Join(first.Close(), first.Close()))
		synctest.Wait()
		require.Len(t, accepted, 2)
		require.Equal(t, 2, r.all.open)
	})
}

// guests are the connections of a room, which a test looks at one by one.
type guests struct {
	open, queue []*guest // in the order in which they got room, and came
	parties     map[*guest]party
}

// counts are how many have room, by what they are counted by, of those within.
func (s *guests) counts(by func(party) party, within func(party) bool) (counts map[party]int, most int) {
	counts = map[party]int{}
	for _, g := range s.open {
		if p := s.parties[g]; within(p) {
			counts[by(p)]++
			most = max(most, counts[by(p)])
		}
	}
	return counts, most
}

// mayGo are those of which one makes room for a connection of p: the newest of each source
// that has most.
func (s *guests) mayGo(p party) (victims []*guest) {
	self := func(p party) party { return p }
	everywhere, most := s.counts(party.through, func(party) bool { return true })
	within := func(o party) bool { return everywhere[o.through()] == most }
	if most <= everywhere[p.through()]+1 {
		within = func(o party) bool { return o.through() == p.through() }
		if sources, most := s.counts(self, within); most <= sources[p]+1 {
			return nil
		}
	}
	seen := map[party]bool{}
	for _, g := range slices.Backward(s.open) {
		o := s.parties[g]
		sources, most := s.counts(self, func(other party) bool { return other.through() == o.through() })
		if within(o) && !seen[o] && sources[o] == most {
			victims = append(victims, g)
		}
		seen[o] = true
	}
	return victims
}

// settle moves those that got room, or were refused, and returns how many of each.
func (s *guests) settle() (admitted, refused int) {
	s.queue = slices.DeleteFunc(s.queue, func(g *guest) bool {
		select {
		case ok := <-g.admitted:
			if ok {
				s.open = append(s.open, g)
				admitted++
			} else {
				refused++
			}
			return true
		default:
			return false
		}
	})
	return admitted, refused
}

func TestRoomIsSharedAsALookAtEachConnectionSays(t *testing.T) {
	seed := rand.Uint64()
	if text := os.Getenv("PLINKSIM_SEED"); text != "" {
		_, err := fmt.Sscan(text, &seed)
		require.NoError(t, err)
	}
	t.Logf("PLINKSIM_SEED=%d gives the same again", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 50 {
		size, places := 1+random.IntN(30), 1+random.IntN(10)
		r, s := newTestRoom(size, places), guests{parties: map[*guest]party{}}
		listeners := []*patientListener{{}, {}, {}}
		for range 300 {
			waited := len(s.queue)
			if len(s.open) > 0 && random.IntN(3) == 0 {
				i := random.IntN(len(s.open))
				r.leave(s.open[i])
				s.open = slices.Delete(s.open, i, i+1)
				admitted, refused := s.settle()
				require.Equal(t, min(waited, 1), admitted)
				require.Zero(t, refused)
			} else {
				p := party{
					listener: listeners[min(random.IntN(9), 2)], endpoint: fmt.Sprint("ep", random.IntN(2)),
					source: netip.AddrFrom4([4]byte{10, 0, 0, byte(min(random.IntN(8), 3))}),
				}
				had, victims := len(s.open), s.mayGo(p)
				g, wait := r.come(&caller{from: p.source.String()}, p)
				s.parties[g] = p
				require.Equal(t, had == size && len(victims) == 0, wait)
				if wait {
					s.queue = append(s.queue, g)
				} else {
					s.open = append(s.open, g)
				}
				admitted, refused := s.settle()
				require.Zero(t, admitted)
				require.Equal(t, max(0, len(s.queue)+refused-places), refused)
				s.open = slices.DeleteFunc(s.open, func(g *guest) bool {
					closed := g.conn.(*caller).closed
					require.True(t, !closed || had == size && slices.Contains(victims, g))
					return closed
				})
			}
			require.Equal(t, len(s.open), r.all.open)
			require.LessOrEqual(t, len(s.open), size)
			require.Equal(t, s.queue, r.queue)
			require.True(t, len(s.queue) == 0 || len(s.open) == size, "nobody waits while there is room")
		}
		for _, g := range slices.Concat(s.queue, s.open) {
			r.leave(g)
		}
		require.Zero(t, r.all.open+r.all.waits+len(r.all.parts)+len(r.all.heaviest), "nothing is remembered")
	}
}

// A server that ends with its context may have taken back by then what was to close the
// listener.
func TestAListenerIsClosedWhenItsContextEnds(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	l := &patientListener{Listener: inner, ctx: ctx, lacks: func(bool) {}}
	time.AfterFunc(10*time.Millisecond, cancel)
	_, err = l.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = inner.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
}
