package fullnat

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
	for i := range numNATPorts {
		p.free = append(p.free, uint16(firstNATPort+(start+i)%numNATPorts))
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
		{"the limit of a target", defaultPortsPerTarget, 300000},
		{"all of them in use", numNATPorts, 300000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			start := random.IntN(numNATPorts)
			fast, slow := &portPool{shard: shard{0, 1}, start: start}, newSlowPool(start)
			var inUse []uint16
			for i := range tt.steps {
				// More is taken than given back at first, then less.
				if takes := random.IntN(100) < 80-60*i/tt.steps; takes {
					got, ok := fast.take(tt.limit, 0, 0)
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
	var p ports
	p.init(shard{0, 1})
	random := rand.New(rand.NewPCG(1, 2))
	rested := ticksOf(poolRest)
	used, idle := poolKey{local: 1, target: 2, port: 80}, poolKey{local: 1, target: 3, port: 80}
	inUse := p.pool(used, random, 0)
	_, ok := p.at(inUse).take(1, 0, 0)
	require.True(t, ok)
	n := p.pool(idle, random, 0)
	port, ok := p.at(n).take(1, 0, 0)
	require.True(t, ok)
	p.giveBack(n, port, 0, 1000)

	forget := func(now uint32) (more bool) {
		_, more = p.forget(now)
		return more
	}
	for forget(rested + 999) {
	}
	require.Contains(t, p.number, idle, "it has not rested for long enough")
	for forget(rested + 1000) {
	}
	require.NotContains(t, p.number, idle)
	require.Contains(t, p.number, used, "a port of it is in use")
	require.Equal(t, n, p.pool(idle, random, 0), "its number is used again")
}

func TestQueue(t *testing.T) {
	var q queue[int]
	_, ok := q.pop()
	require.False(t, ok)
	next := 0
	for i := range 1000 {
		q.push(i)
		if i%3 != 0 {
			v, ok := q.pop()
			require.True(t, ok)
			require.Equal(t, next, v)
			next++
		}
	}
	for ; next < 1000; next++ {
		v, ok := q.pop()
		require.True(t, ok)
		require.Equal(t, next, v)
	}
	require.Zero(t, q.len)
}
