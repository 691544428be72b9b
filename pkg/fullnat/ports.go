package fullnat

import (
	"math/rand/v2"
	"time"

	"github.com/plinksim/plinksim/pkg/packet"
)

// NAT ports are 1024 to 65535: a backend may refuse clients with a port that
// needs privileges, and RFC 6335, 6 calls those below the system ports.
const (
	firstNATPort = 1024
	numNATPorts  = 1<<16 - firstNATPort
)

// defaultPortsPerTarget is explained at Config.PortsPerTarget.
const defaultPortsPerTarget = 55000

// defaultPortRest is explained at Config.PortRest.
const defaultPortRest = time.Minute

// poolRest is how long a pool without sessions is remembered, so that a port does
// not come back while the target may still keep its last connection in
// TIME-WAIT: twice the maximum segment lifetime of two minutes (RFC 9293,
// 3.4.2).
const poolRest = 4 * time.Minute

// portPool is the queue of the free ports of one NAT IP towards one target.
// The port that was free for longest is the next: first those that were never
// used, from a random one on (RFC 6056, 3.3.3 explains why not always from
// the same), then those that came back, in their order, each after a rest.
// Both ends are O(1), and nothing is searched when the ports run out.
type portPool struct {
	key     poolKey
	shard   shard
	inUse   int
	start   int
	touched int // ports from start on that were used at least once
	back    queue[freePort]

	idleSince uint32 // tick, while inUse is 0
	resting   bool   // in the queue of ports.resting
}

// freePort is a port that came back.
type freePort struct {
	port  uint16
	since uint32 // tick of the last packet of its session
}

// poolKey is what makes two uses of a port different to the target.
type poolKey struct {
	local, target uint32
	port          uint16
	eni           packet.ENI
	protocol      uint8
}

// take hands out a port, unless limit of them are in use. One that came back
// must have rested. That the next in the queue has not, but another has, is
// rare, and not worth a search.
func (p *portPool) take(limit int, now, rest uint32) (port uint16, ok bool) {
	if p.inUse >= limit {
		return 0, false
	}
	if all := p.shard.ports(); p.touched < all {
		port = p.shard.port((p.start + p.touched) % all)
		p.touched++
	} else if next, ok := p.back.peek(); !ok || now-next.since < rest {
		return 0, false
	} else {
		port = next.port
		p.back.pop()
	}
	p.inUse++
	return port, true
}

func (p *portPool) giveBack(port uint16, since uint32) {
	p.inUse--
	p.back.push(freePort{port, since})
}

// ports has a pool for every NAT IP and target that has sessions or had some
// not long ago. Pools are named by number, as sessions hold no pointers.
type ports struct {
	shard   shard
	all     []*portPool
	free    []uint32
	number  map[poolKey]uint32
	resting queue[uint32] // pools that became idle, the longest first
	asked   uint64        // how often a pool was asked for a port: what openings cost is counted
}

func (p *ports) init(shard shard) { p.shard, p.number = shard, map[poolKey]uint32{} }

// poolFor is the pool for k, which has numbers of addresses for as long as it
// is remembered.
func (t *Table) poolFor(k poolKey) uint32 {
	if n, ok := t.ports.number[k]; ok {
		return n
	}
	t.addrs.hold(k.local)
	t.addrs.hold(k.target)
	return t.ports.pool(k, t.random, t.clock.now)
}

// forgetPool is one step of forgetting pools.
func (t *Table) forgetPool() bool {
	gone, more := t.ports.forget(t.clock.now)
	if gone != nil {
		t.addrs.release(gone.key.local, gone.key.target)
	}
	return more
}

// pool returns the number of the pool for k and makes it if there is none.
// A new pool rests from now on until somebody takes a port.
func (p *ports) pool(k poolKey, random *rand.Rand, now uint32) uint32 {
	if n, ok := p.number[k]; ok {
		return n
	}
	pool := &portPool{key: k, shard: p.shard, start: random.IntN(p.shard.ports())}
	n := uint32(len(p.all))
	if last := len(p.free) - 1; last >= 0 {
		n, p.free = p.free[last], p.free[:last]
		p.all[n] = pool
	} else {
		p.all = append(p.all, pool)
	}
	p.number[k] = n
	p.rest(n, now)
	return n
}

func (p *ports) at(n uint32) *portPool { return p.all[n] }

// giveBack returns a port of which the last packet was sent at since.
func (p *ports) giveBack(n uint32, port uint16, since, now uint32) {
	pool := p.all[n]
	if pool.giveBack(port, since); pool.inUse == 0 {
		p.rest(n, now)
	}
}

func (p *ports) rest(n, now uint32) {
	pool := p.all[n]
	pool.idleSince = now
	if !pool.resting {
		pool.resting = true
		p.resting.push(n)
	}
}

// forget looks at the pool that is idle for longest, if it has been so for
// long enough, and says whether it did, and which it forgot. A pool that was
// used in between goes to the end.
func (p *ports) forget(now uint32) (gone *portPool, more bool) {
	n, ok := p.resting.peek()
	if !ok {
		return nil, false
	}
	pool := p.all[n]
	if pool.inUse == 0 && now-pool.idleSince < ticksOf(poolRest) {
		return nil, false
	}
	p.resting.pop()
	pool.resting = false
	if pool.inUse > 0 {
		return nil, true
	}
	delete(p.number, pool.key)
	p.all[n] = nil
	p.free = append(p.free, n)
	return pool, true
}

// queue is a ring that doubles when it is full.
type queue[T any] struct {
	ring []T
	head int
	len  int
}

func (q *queue[T]) push(v T) {
	if q.len == len(q.ring) {
		q.grow()
	}
	q.ring[(q.head+q.len)%len(q.ring)] = v
	q.len++
}

func (q *queue[T]) grow() {
	ring := make([]T, max(16, 2*len(q.ring)))
	n := copy(ring, q.ring[q.head:])
	copy(ring[n:], q.ring[:q.head])
	q.ring, q.head = ring, 0
}

func (q *queue[T]) peek() (v T, ok bool) {
	if q.len == 0 {
		return v, false
	}
	return q.ring[q.head], true
}

func (q *queue[T]) pop() (v T, ok bool) {
	if v, ok = q.peek(); ok {
		q.head = (q.head + 1) % len(q.ring)
		q.len--
	}
	return v, ok
}
