package store

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// slowPool is a portPool that keeps all its free ports in a slice, and the
// next one is the first.
type slowPool struct {
	free  []uint16
	inUse int
}

func newSlowPool(start int) *slowPool {
	p := &slowPool{}
	for i := range NumNATPorts {
		p.free = append(p.free, uint16(FirstNATPort+(start+i)%NumNATPorts))
	}
	return p
}

func (p *slowPool) take(limit int) (port uint16, ok bool) {
	if p.inUse >= limit || len(p.free) == 0 {
		return 0, false
	}
	port, p.free = p.free[0], p.free[1:]
	p.inUse++
	return port, true
}

func (p *slowPool) giveBack(port uint16) {
	p.free = append(p.free, port)
	p.inUse--
}

func TestPortPoolIsAQueueOfAllPorts(t *testing.T) {
	for _, tt := range []struct {
		name  string
		limit int
		steps int
	}{
		{"few of them in use at a time", 10, 200000},
		{"the limit of a target", DefaultPortsPerTarget, 300000},
		{"all of them in use", NumNATPorts, 300000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			start := random.IntN(NumNATPorts)
			fast, slow := &PortPool{Shard: Shard{0, 1}, Start: start}, newSlowPool(start)
			var inUse []uint16
			for i := range tt.steps {
				// More is taken than given back at first, then less.
				if takes := random.IntN(100) < 80-60*i/tt.steps; takes {
					got, ok := fast.Take(tt.limit, 0, 0)
					want, wantOK := slow.take(tt.limit)
					require.Equal(t, wantOK, ok)
					require.Equal(t, want, got)
					if ok {
						inUse = append(inUse, got)
					}
				} else if len(inUse) > 0 {
					n := random.IntN(len(inUse))
					port := inUse[n]
					inUse[n] = inUse[len(inUse)-1]
					inUse = inUse[:len(inUse)-1]
					fast.giveBack(port, 0)
					slow.giveBack(port)
				}
			}
		})
	}
}

func TestPoolsAreForgottenAfterARest(t *testing.T) {
	var p Ports
	p.Init(Shard{0, 1})
	random := rand.New(rand.NewPCG(1, 2))
	rested := TicksOf(PoolRest)
	used, idle := PoolKey{Local: 1, Target: 2, Port: 80}, PoolKey{Local: 1, Target: 3, Port: 80}
	inUse := p.Pool(used, random, 0)
	_, ok := p.At(inUse).Take(1, 0, 0)
	require.True(t, ok)
	n := p.Pool(idle, random, 0)
	port, ok := p.At(n).Take(1, 0, 0)
	require.True(t, ok)
	p.GiveBack(n, port, 0, 1000)

	forget := func(now Tick) (more bool) {
		_, more = p.Forget(now)
		return more
	}
	for forget(rested + 999) {
	}
	require.Contains(t, p.Number, idle, "it has not rested for long enough")
	for forget(rested + 1000) {
	}
	require.NotContains(t, p.Number, idle)
	require.Contains(t, p.Number, used, "a port of it is in use")
	require.Equal(t, n, p.Pool(idle, random, 0), "its number is used again")
}

func TestQueue(t *testing.T) {
	var q Queue[int]
	_, ok := q.Pop()
	require.False(t, ok)
	next := 0
	for i := range 1000 {
		q.Push(i)
		if i%3 != 0 {
			v, ok := q.Pop()
			require.True(t, ok)
			require.Equal(t, next, v)
			next++
		}
	}
	for ; next < 1000; next++ {
		v, ok := q.Pop()
		require.True(t, ok)
		require.Equal(t, next, v)
	}
	require.Zero(t, q.len)
}
