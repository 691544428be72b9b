package fullnat

import (
	"errors"
	"math/rand/v2"
	"unsafe"
)

// flows is the table of flows. It is as large as its sessions need, and where
// they outgrow it, or so few are left that memory should go back, or a search
// got so long that somebody must know the secret, all flows move to another
// arena, in the last case one with another secret. They do so in steps of less
// than a microsecond each, a few with every new session and the rest in Expire,
// and packets find them on either side meanwhile.
//
// A flow is named by the number of its slot, of which the highest bit says in
// which of two arenas it is. The number is good until the next removal, move
// or step; sessions are told of moves.
type flows struct {
	arena         // new flows go here, and searches start here
	other  arena  // preparing: the next one; moving: the one before
	half   uint32 // highest bit of the slots of arena
	phase  phase
	cursor int // preparing: the next page to touch; moving: the next slot to look at
	used   int // flows in both arenas

	sizes []int // sessions that an arena may be made for, ascending
	size  int   // index of arena's
	next  int   // preparing: index of other's

	random  *rand.Rand
	longest uint32 // slots that an insert may pass before the secret is changed
	rekeys  uint64 // how often that happened
	work    resizeWork
}

type phase uint8

const (
	settled   phase = iota // there is one arena
	preparing              // the next one gets its pages, so that no burst has to wait for many
	moving                 // flows are in both
)

// resizeWork counts what is slow, for tests of how much comes at once.
type resizeWork struct {
	moved, looked int // flows, slots
	touched       int // pages
	released      int // bytes
}

const (
	halfFlag = 1 << 31

	// smallestSize is the size in sessions of a new table, less than growth
	// times that: 0.4 to 1.7 MiB. It must be more than a burst can open.
	smallestSize = 2048

	// growth is how much larger the next arena is. Flows move less often than
	// with 2, and fewer pages are needed for a while only: a session opens in
	// three quarters of the time.
	growth = 4

	// longestProbe is how many slots an insert may pass. With a hash that
	// nobody foresees, the longest search of n flows at load a takes about
	// ln n / (a-1-ln a) slots (Gonnet, "Expected length of the longest probe
	// sequence in hash code searching", 1981, for linear probing): 143 for
	// four million sessions at three slots of five.
	longestProbe = 256

	// slotsPerStep is how many empty slots a step passes at most, one page
	// of them.
	slotsPerStep = 64

	// stepsPerSession lets a move end before a new arena is half as full as it
	// may be: a step moves a flow or passes the gap before the next one, so
	// four steps for each new flow take two flows along.
	stepsPerSession = 8
)

func (f *flows) init(sessions, smallest int, longest uint32, random *rand.Rand, backing backing) error {
	f.random, f.longest = random, longest
	if backing == reserved {
		smallest = sessions
	}
	for n := sessions; ; n /= growth {
		f.sizes = append([]int{n}, f.sizes...)
		if n/growth < smallest {
			break
		}
	}
	return f.arena.init(f.sizes[0], newSecret(random), backing)
}

func (f *flows) close() error { return errors.Join(f.arena.close(), f.other.close()) }

// limit is how many flows an arena of a size may hold.
func (f *flows) limit(size int) int { return 2 * f.sizes[size] }

// find returns the flow with k, or nil. home is home(k).
func (f *flows) find(k key, home uint32) *flow {
	if e := f.arena.find(k, home); e != nil {
		return e
	}
	return f.findOther(k)
}

// findOther looks where find would look next.
func (f *flows) findOther(k key) *flow {
	if f.phase != moving {
		return nil
	}
	home := f.other.home(k)
	if int(home) < f.cursor {
		return nil // that slot is empty, and a look would bring its page back
	}
	return f.other.find(k, home)
}

func (f *flows) has(k key) bool {
	if f.phase == moving {
		f.other.prefetch([]uint32{f.other.home(k)})
	}
	return f.find(k, f.home(k)) != nil
}

// prefetchOthers starts loading where else flows may be while they move.
func (f *flows) prefetchOthers(burst []work) {
	var homes [burstSize]uint32
	for i := range burst {
		homes[i] = f.other.home(burst[i].key)
	}
	f.other.prefetch(homes[:len(burst)])
}

func (f *flows) at(slot uint32) *flow {
	if slot&halfFlag == f.half {
		return &f.arena.all[slot&^halfFlag]
	}
	return &f.other.all[slot&^halfFlag]
}

// insert makes an entry for k, which must not be in the table.
func (f *flows) insert(k key) (e *flow, slot uint32) {
	slot, passed := f.arena.insert(k)
	f.used++
	if passed > f.longest {
		f.rekey()
	}
	return &f.arena.all[slot], slot | f.half
}

func (f *flows) remove(slot uint32, moved func(e *flow, to uint32)) {
	f.used--
	if slot&halfFlag == f.half {
		f.removeFrom(&f.arena, f.half, slot, moved)
	} else {
		f.removeFrom(&f.other, f.half^halfFlag, slot, moved)
	}
}

func (f *flows) removeFrom(a *arena, half, slot uint32, moved func(e *flow, to uint32)) {
	a.remove(slot&^halfFlag, func(e *flow, to uint32) { moved(e, to|half) })
}

// makeRoom says whether one more session fits, and does the share of a new
// session in a move.
func (f *flows) makeRoom(moved func(e *flow, to uint32)) bool {
	if f.phase == settled {
		// Early enough for the next arena to get its pages in time.
		soon := f.limit(f.size) * 3 / 4
		if f.used+2 > soon && f.size+1 < len(f.sizes) {
			f.prepare(f.size+1, f.secret)
		}
		return f.hasRoom()
	}
	if f.phase == preparing {
		// One page for two sessions: half of the next arena's before this one
		// is full. The others come when they are written to, and no burst has
		// to wait for more of them. To get one takes as long as many steps.
		if f.used&2 == 0 {
			f.touch()
		}
		return true
	}
	for range stepsPerSession {
		f.step(moved)
	}
	return true
}

// hasRoom says whether one more session fits. What is moving has room.
func (f *flows) hasRoom() bool { return f.phase != settled || f.used+2 <= f.limit(f.size) }

// rekey starts a move to an arena with another secret. If one is under way,
// it does as well.
func (f *flows) rekey() {
	if f.phase != settled {
		return
	}
	next := f.size
	if f.used > f.limit(f.size)/2 {
		next = min(f.size+1, len(f.sizes)-1) // else the move would end in the next one
	}
	if f.prepare(next, newSecret(f.random)) {
		f.rekeys++
	}
}

// tidy does a little of a move, and starts one to a smaller arena where a
// sixteenth of this one is enough: the next leaves room for four times as many
// sessions. It says whether there was anything to do. Like swap, it is not for
// the middle of a burst.
func (f *flows) tidy(moved func(e *flow, to uint32)) bool {
	if f.phase == settled && f.size > 0 && f.used <= f.limit(f.size)/16 {
		f.prepare(f.size-1, f.secret)
	}
	f.swap()
	return f.step(moved)
}

// prepare maps the next arena. Where there is no memory for it, all stays as
// it is. With the secret of this one, homes are in the same order there: flows
// that move one after the other then come to lie one behind the other, and
// memory is written in its order, which takes half the time.
func (f *flows) prepare(size int, secret secret) bool {
	if f.other.init(f.sizes[size], secret, onTouch) != nil {
		return false
	}
	f.phase, f.next, f.cursor = preparing, size, 0
	return true
}

// swap lets the flows move if the next arena is ready or needed. It may be
// called only where nobody holds a slot or a home.
func (f *flows) swap() {
	if f.phase != preparing {
		return
	}
	ready := f.cursor >= len(f.other.all)
	if !ready && f.used < f.limit(f.size)-2*burstSize {
		return
	}
	f.arena, f.other = f.other, f.arena
	f.half ^= halfFlag
	f.size, f.next = f.next, 0
	f.phase, f.cursor = moving, 0
}

// step does a little of a move, and says whether there was anything to do.
func (f *flows) step(moved func(e *flow, to uint32)) bool {
	switch f.phase {
	case preparing:
		return f.touch()
	case moving:
		f.move(moved)
		return true
	}
	return false
}

// touch gets a page for the next arena.
func (f *flows) touch() bool {
	const perPage = pageSize / int(unsafe.Sizeof(flow{}))
	if f.cursor >= len(f.other.all) {
		return false
	}
	f.other.all[f.cursor] = flow{}
	f.cursor += perPage
	f.work.touched++
	return true
}

// move takes one flow along, or passes some empty slots. No flow is before
// the cursor: what is removed there closes gaps from behind.
func (f *flows) move(moved func(e *flow, to uint32)) {
	all := f.other.all
	end := min(f.cursor+slotsPerStep, len(all))
	for ; f.cursor < end; f.cursor++ {
		f.work.looked++
		if all[f.cursor].key.rest != 0 {
			f.moveOne(uint32(f.cursor), moved)
			return
		}
		f.giveBackBehind()
	}
	if f.cursor == len(all) {
		// It cannot fail for a mapping of our own, nor matter here.
		_ = f.other.close()
		f.phase = settled
	}
}

// lookahead is how many flows ahead the memory for a move is asked for.
const lookahead = 8

func (f *flows) moveOne(from uint32, moved func(e *flow, to uint32)) {
	if ahead := int(from) + lookahead; ahead < len(f.other.all) {
		if k := f.other.all[ahead].key; k.rest != 0 {
			f.arena.prefetch([]uint32{f.arena.home(k)})
		}
	}
	e := f.other.all[from]
	to, _ := f.arena.insert(e.key)
	f.arena.all[to] = e
	moved(&f.arena.all[to], to|f.half)
	f.removeFrom(&f.other, f.half^halfFlag, from, moved)
	f.work.moved++
}

// giveBackBehind returns memory behind the cursor, a huge page at a time.
func (f *flows) giveBackBehind() {
	const perPiece = hugePage / int(unsafe.Sizeof(flow{}))
	if behind := f.cursor + 1; behind%perPiece == 0 {
		f.other.release(behind-perPiece, behind)
		f.work.released += hugePage
	}
}
