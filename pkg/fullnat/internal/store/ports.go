package store

import (
	"math/rand/v2"
	"time"

	"github.com/plinksim/plinksim/pkg/packet"
)

// NAT ports are 1024 to 65535: a backend may refuse clients with a port that
// needs privileges, and RFC 6335, 6 calls those below the system ports.
const (
	FirstNATPort = 1024
	NumNATPorts  = 1<<16 - FirstNATPort
)

// DefaultPortsPerTarget is explained at Config.PortsPerTarget.
const DefaultPortsPerTarget = 55000

// DefaultPortRest is explained at Config.PortRest.
const DefaultPortRest = time.Minute

// PoolRest is how long a pool without sessions is remembered, so that a port does
// not come back while the target may still keep its last connection in
// TIME-WAIT: twice the maximum segment lifetime of two minutes (RFC 9293,
// 3.4.2).
const PoolRest = 4 * time.Minute

// PortPool is the queue of the free ports of one NAT IP towards one target.
// The port that was free for longest is the next: first those that were never
// used, from a random one on (RFC 6056, 3.3.3 explains why not always from
// the same), then those that came back, in their order, each after a rest.
// Both ends are O(1), and nothing is searched when the ports run out.
type PortPool struct {
	Key     PoolKey
	Shard   Shard
	InUse   int
	Start   int
	Touched int // ports from start on that were used at least once
	back    Queue[freePort]
	// HalfOpen are the sessions with these ports that nobody has confirmed.
	HalfOpen HalfOpenList
	// claimed are the ports that sessions brought along: they are in use or back
	// before their turn among those that were never used comes. nil: none are.
	claimed *[NumNATPorts/64 + 1]uint64

	idleSince Tick // while InUse is 0
	resting   bool // in the queue of ports.resting
}

// freePort is a port that came back.
type freePort struct {
	port  uint16
	since Tick // of the last packet of its session
}

// PoolKey is what makes two uses of a port different to the target.
type PoolKey struct {
	Local, Target uint32
	Port          uint16
	ENI           packet.ENI
	Protocol      uint8
}

// Take hands out a port, unless limit of them are in use. One that came back
// must have rested. That the next in the queue has not, but another has, is
// rare, and not worth a search.
func (p *PortPool) Take(limit int, now, rest Tick) (port uint16, ok bool) {
	if p.InUse >= limit {
		return 0, false
	}
	if port, ok = p.takeUnused(); !ok {
		next, ok := p.back.Peek()
		if !ok || now-next.since < rest {
			return 0, false
		}
		port = next.port
		p.back.Pop()
	}
	p.InUse++
	return port, true
}

// takeUnused is the next port that was never used.
func (p *PortPool) takeUnused() (port uint16, ok bool) {
	for all := p.Shard.ports(); p.Touched < all; {
		port = p.Shard.port((p.Start + p.Touched) % all)
		p.Touched++
		if p.claimed == nil || !p.isClaimed(port) {
			return port, true
		}
	}
	return 0, false
}

func (p *PortPool) isClaimed(port uint16) bool {
	n := port - FirstNATPort
	return p.claimed[n/64]>>(n%64)&1 != 0
}

// Claim takes a certain port for a session that another table began. It is for a
// new pool, and false where the port is not the shard's, or has an owner.
func (p *PortPool) Claim(port uint16) bool {
	if port < FirstNATPort || int(port)%p.Shard.Of != p.Shard.Number {
		return false
	}
	if p.claimed == nil {
		p.claimed = new([NumNATPorts/64 + 1]uint64)
	}
	if p.isClaimed(port) {
		return false
	}
	n := port - FirstNATPort
	p.claimed[n/64] |= 1 << (n % 64)
	p.InUse++
	return true
}

// TakeRested takes the port that was given back just now as one that has rested.
func (p *PortPool) TakeRested() (port uint16) {
	next, _ := p.back.Pop()
	p.InUse++
	return next.port
}

func (p *PortPool) giveBack(port uint16, since Tick) {
	p.InUse--
	p.back.Push(freePort{port, since})
}

// giveBackRested returns a port of which the target knows nothing: it need not wait
// behind those that rest.
func (p *PortPool) giveBackRested(port uint16, since Tick) {
	p.InUse--
	p.back.pushFront(freePort{port, since})
}

// Ports has a pool for every NAT IP and target that has sessions or had some
// not long ago. Pools are named by number, as sessions hold no pointers.
type Ports struct {
	shard   Shard
	All     []*PortPool
	free    []PoolID
	Number  map[PoolKey]PoolID
	resting Queue[PoolID] // pools that became idle, the longest first
	Asked   uint64        // how often a pool was asked for a port: what openings cost is counted
}

// Init makes it empty.
func (p *Ports) Init(shard Shard) { p.shard, p.Number = shard, map[PoolKey]PoolID{} }

// Pool returns the number of the pool for k and makes it if there is none.
// A new pool rests from now on until somebody takes a port.
func (p *Ports) Pool(k PoolKey, random *rand.Rand, now Tick) PoolID {
	if n, ok := p.Number[k]; ok {
		return n
	}
	pool := &PortPool{Key: k, Shard: p.shard, Start: random.IntN(p.shard.ports())}
	n := PoolID(len(p.All))
	if last := len(p.free) - 1; last >= 0 {
		n, p.free = p.free[last], p.free[:last]
		p.All[n] = pool
	} else {
		p.All = append(p.All, pool)
	}
	p.Number[k] = n
	p.rest(n, now)
	return n
}

// At is the pool with a number.
func (p *Ports) At(n PoolID) *PortPool { return p.All[n] }

// GiveBack returns a port of which the last packet was sent at since.
func (p *Ports) GiveBack(n PoolID, port uint16, since, now Tick) {
	pool := p.All[n]
	if pool.giveBack(port, since); pool.InUse == 0 {
		p.rest(n, now)
	}
}

// GiveBackRested returns a port that its target does not know.
func (p *Ports) GiveBackRested(n PoolID, port uint16, now, rest Tick) {
	pool := p.All[n]
	if pool.giveBackRested(port, now-rest); pool.InUse == 0 {
		p.rest(n, now)
	}
}

func (p *Ports) rest(n PoolID, now Tick) {
	pool := p.All[n]
	pool.idleSince = now
	if !pool.resting {
		pool.resting = true
		p.resting.Push(n)
	}
}

// Forget looks at the pool that is idle for longest, if it has been so for
// long enough, and says whether it did, and which it forgot. A pool that was
// used in between goes to the end.
func (p *Ports) Forget(now Tick) (gone *PortPool, more bool) {
	n, ok := p.resting.Peek()
	if !ok {
		return nil, false
	}
	pool := p.All[n]
	if pool.InUse == 0 && now-pool.idleSince < TicksOf(PoolRest) {
		return nil, false
	}
	p.resting.Pop()
	pool.resting = false
	if pool.InUse > 0 {
		return nil, true
	}
	delete(p.Number, pool.Key)
	p.All[n] = nil
	p.free = append(p.free, n)
	return pool, true
}

// Queue is a ring that doubles when it is full.
type Queue[T any] struct {
	ring []T
	head int
	len  int
}

// Push adds v as the last.
func (q *Queue[T]) Push(v T) {
	if q.len == len(q.ring) {
		q.grow()
	}
	q.ring[(q.head+q.len)%len(q.ring)] = v
	q.len++
}

// pushFront adds v as the first.
func (q *Queue[T]) pushFront(v T) {
	if q.len == len(q.ring) {
		q.grow()
	}
	q.head = (q.head + len(q.ring) - 1) % len(q.ring)
	q.ring[q.head] = v
	q.len++
}

func (q *Queue[T]) grow() {
	ring := make([]T, max(16, 2*len(q.ring)))
	n := copy(ring, q.ring[q.head:])
	copy(ring[n:], q.ring[:q.head])
	q.ring, q.head = ring, 0
}

// Peek is the first; false where there is none.
func (q *Queue[T]) Peek() (v T, ok bool) {
	if q.len == 0 {
		return v, false
	}
	return q.ring[q.head], true
}

// Pop takes the first away; false where there is none.
func (q *Queue[T]) Pop() (v T, ok bool) {
	if v, ok = q.Peek(); ok {
		q.head = (q.head + 1) % len(q.ring)
		q.len--
	}
	return v, ok
}

// ports is how many NAT ports the shard has, and port which they are, from 0.
func (s Shard) ports() int { return NumNATPorts / s.Of }

func (s Shard) port(n int) uint16 { return uint16(FirstNATPort + n*s.Of + s.Number) }

// Share is the shard's part of a limit that is for all together.
func (s Shard) Share(limit int) int {
	share := limit / s.Of
	if s.Number < limit%s.Of {
		share++
	}
	return share
}

// Shard is one of several tables that share the sessions of a Config. Each
// hands out NAT ports of its own, those with the shard's number in their low
// bits, and so a reply says which table knows it. DPVS and VPP split ports in
// the same way (iqiyi/dpvs:src/sa_pool.c; FDio/vpp:src/plugins/nat/nat44-ed).
type Shard struct{ Number, Of int }
