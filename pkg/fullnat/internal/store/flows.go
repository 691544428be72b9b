package store

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"unsafe"
)

// Flows is the table of flows. It is as large as its sessions need, and where
// they outgrow it, or so few are left that memory should go back, or a search
// got so long that somebody must know the secret, all flows move to another
// arena, in the last case one with another secret. They do so in steps of less
// than a microsecond each, a few with every new session and the rest in Expire,
// and packets find them on either side meanwhile.
//
// A flow is named by the number of its slot, of which the highest bit says in
// which of two arenas it is. The number is good until the next removal, move
// or step; sessions are told of moves.
type Flows struct {
	Arena        // new flows go here, and searches start here
	Other  Arena // preparing: the next one; moving: the one before
	half   Slot  // highest bit of the slots of arena
	Phase  phase
	cursor int // preparing: the next page to touch; moving: the next slot to look at
	used   int // flows in both arenas

	sizes []int // sessions that an arena may be made for, ascending
	size  int   // index of arena's
	next  int   // preparing: index of other's
	made  int   // arenas, ever

	random  *rand.Rand
	longest int    // slots that an insert may pass before the secret is changed
	Rekeys  uint64 // how often that happened
	Work    ResizeWork
}

type phase uint8

const (
	Settled   phase = iota // there is one arena
	Preparing              // the next one gets its pages, so that no burst has to wait for many
	Moving                 // flows are in both
)

// ResizeWork counts what is slow, for tests of how much comes at once.
type ResizeWork struct {
	Moved, Looked int // flows, slots
	Touched       int // pages
	Released      int // bytes
}

// BurstSize is how many packets hide each other's wait for memory, and so how
// many sessions may begin before flows may move. Measured with 64-byte frames,
// bursts of 8 and 32 are no faster.
const BurstSize = 16

const (
	HalfFlag Slot = 1 << 31

	// SmallestSize is the size in sessions of a new table, less than growth
	// times that: 0.4 to 1.7 MiB. It must be more than a burst can open.
	SmallestSize = 2048

	// growth is how much larger the next arena is. Flows move less often than
	// with 2, and fewer pages are needed for a while only: a session opens in
	// three quarters of the time.
	growth = 4

	// LongestProbe is how many slots an insert may pass. With a hash that
	// nobody foresees, the longest search of n flows at load a takes about
	// ln n / (a-1-ln a) slots (Gonnet, "Expected length of the longest probe
	// sequence in hash code searching", 1981, for linear probing): 143 for
	// four million sessions at three slots of five.
	LongestProbe = 256

	// SlotsPerStep is how many empty slots a step passes at most, one page
	// of them.
	SlotsPerStep = 64

	// StepsPerSession lets a move end before a new arena is half as full as it
	// may be: a step moves a flow or passes the gap before the next one, so
	// four steps for each new flow take two flows along.
	StepsPerSession = 8
)

// FlowsRegion begins the name of each arena's memory.
const FlowsRegion = "flows."

func (f *Flows) region() string {
	f.made++
	return FlowsRegion + strconv.Itoa(f.made)
}

// Init makes room for sessions, at first for some more than smallest.
func (f *Flows) Init(sessions, smallest, longest int, random *rand.Rand, backing Backing) error {
	f.random, f.longest = random, longest
	if backing.Reserved {
		smallest = sessions
	}
	for n := sessions; ; n /= growth {
		f.sizes = append([]int{n}, f.sizes...)
		if n/growth < smallest {
			break
		}
	}
	return f.Arena.init(f.region(), f.sizes[0], newSecret(random), backing)
}

// Close gives the memory back.
func (f *Flows) Close() error { return errors.Join(f.Arena.Close(), f.Other.Close()) }

// limit is how many flows an arena of a size may hold.
func (f *Flows) limit(size int) int { return 2 * f.sizes[size] }

// Find returns the flow with k, or nil. home is home(k).
func (f *Flows) Find(k Key, home Slot) *Flow {
	if e := f.Arena.Find(k, home); e != nil {
		return e
	}
	return f.FindOther(k)
}

// FindOther looks where find would look next.
func (f *Flows) FindOther(k Key) *Flow {
	if f.Phase != Moving {
		return nil
	}
	home := f.Other.Home(k)
	if int(home) < f.cursor {
		return nil // that slot is empty, and a look would bring its page back
	}
	return f.Other.Find(k, home)
}

// Has says whether there is a flow with k.
func (f *Flows) Has(k Key) bool {
	if f.Phase == Moving {
		f.Other.Prefetch([]Slot{f.Other.Home(k)})
	}
	return f.Find(k, f.Home(k)) != nil
}

// At is the flow in a slot.
func (f *Flows) At(slot Slot) *Flow {
	if slot&HalfFlag == f.half {
		return &f.Arena.All[slot&^HalfFlag]
	}
	return &f.Other.All[slot&^HalfFlag]
}

// LoadAhead starts loading the two flows of a session that is looked at soon.
func (f *Flows) LoadAhead(slots [2]Slot) {
	for _, slot := range slots {
		half := &f.Arena
		if slot&HalfFlag != f.half {
			half = &f.Other
		}
		half.Prefetch([]Slot{slot &^ HalfFlag})
	}
}

// Insert makes an entry for k, which must not be in the table.
func (f *Flows) Insert(k Key) (e *Flow, slot Slot) {
	slot, passed := f.Arena.insert(k)
	f.used++
	if passed > f.longest {
		f.Rekey()
	}
	return &f.Arena.All[slot], slot | f.half
}

// Remove forgets the flow in a slot. moved is told of flows that move because of it.
func (f *Flows) Remove(slot Slot, moved func(e *Flow, to Slot)) {
	f.used--
	if slot&HalfFlag == f.half {
		f.removeFrom(&f.Arena, f.half, slot, moved)
	} else {
		f.removeFrom(&f.Other, f.half^HalfFlag, slot, moved)
	}
}

func (f *Flows) removeFrom(a *Arena, half, slot Slot, moved func(e *Flow, to Slot)) {
	a.remove(slot&^HalfFlag, func(e *Flow, to Slot) { moved(e, to|half) })
}

// MakeRoom says whether one more session fits, and does the share of a new
// session in a move.
func (f *Flows) MakeRoom(moved func(e *Flow, to Slot)) bool {
	if f.Phase == Settled {
		// Early enough for the next arena to get its pages in time.
		soon := f.limit(f.size) * 3 / 4
		if f.used+2 > soon && f.size+1 < len(f.sizes) {
			f.prepare(f.size+1, f.Secret)
		}
		return f.HasRoom()
	}
	if f.Phase == Preparing {
		// One page for two sessions: half of the next arena's before this one
		// is full. The others come when they are written to, and no burst has
		// to wait for more of them. To get one takes as long as many steps.
		if f.used&2 == 0 {
			f.touch()
		}
		return true
	}
	for range StepsPerSession {
		f.Step(moved)
	}
	return true
}

// HasRoom says whether one more session fits. What is moving has room.
func (f *Flows) HasRoom() bool { return f.Phase != Settled || f.used+2 <= f.limit(f.size) }

// Rekey starts a move to an arena with another secret. If one is under way,
// it does as well.
func (f *Flows) Rekey() {
	if f.Phase != Settled {
		return
	}
	next := f.size
	if f.used > f.limit(f.size)/2 {
		next = min(f.size+1, len(f.sizes)-1) // else the move would end in the next one
	}
	if f.prepare(next, newSecret(f.random)) {
		f.Rekeys++
	}
}

// Tidy does a little of a move, and starts one to a smaller arena where a
// sixteenth of this one is enough: the next leaves room for four times as many
// sessions. It says whether there was anything to do. Like swap, it is not for
// the middle of a burst.
func (f *Flows) Tidy(moved func(e *Flow, to Slot)) bool {
	if f.Phase == Settled && f.size > 0 && f.used <= f.limit(f.size)/16 {
		f.prepare(f.size-1, f.Secret)
	}
	f.Swap()
	return f.Step(moved)
}

// prepare maps the next arena. Where there is no memory for it, all stays as
// it is. With the secret of this one, homes are in the same order there: flows
// that move one after the other then come to lie one behind the other, and
// memory is written in its order, which takes half the time.
func (f *Flows) prepare(size int, secret secret) bool {
	onTouch := Backing{Source: f.Arena.backing.Source}
	if f.Other.init(f.region(), f.sizes[size], secret, onTouch) != nil {
		return false
	}
	f.Phase, f.next, f.cursor = Preparing, size, 0
	return true
}

// Swap lets the flows move if the next arena is ready or needed. It may be
// called only where nobody holds a slot or a home.
func (f *Flows) Swap() {
	if f.Phase != Preparing {
		return
	}
	ready := f.cursor >= len(f.Other.All)
	if !ready && f.used < f.limit(f.size)-2*BurstSize {
		return
	}
	f.Arena, f.Other = f.Other, f.Arena
	f.half ^= HalfFlag
	f.size, f.next = f.next, 0
	f.Phase, f.cursor = Moving, 0
}

// Step does a little of a move, and says whether there was anything to do.
func (f *Flows) Step(moved func(e *Flow, to Slot)) bool {
	switch f.Phase {
	case Preparing:
		return f.touch()
	case Moving:
		f.move(moved)
		return true
	}
	return false
}

// touch gets a page for the next arena.
func (f *Flows) touch() bool {
	const perPage = pageSize / int(unsafe.Sizeof(Flow{}))
	if f.cursor >= len(f.Other.All) {
		return false
	}
	f.Other.All[f.cursor] = Flow{}
	f.cursor += perPage
	f.Work.Touched++
	return true
}

// move takes one flow along, or passes some empty slots. No flow is before
// the cursor: what is removed there closes gaps from behind.
func (f *Flows) move(moved func(e *Flow, to Slot)) {
	all := f.Other.All
	end := min(f.cursor+SlotsPerStep, len(all))
	for ; f.cursor < end; f.cursor++ {
		f.Work.Looked++
		if all[f.cursor].Key.Rest != 0 {
			f.moveOne(Slot(f.cursor), moved)
			return
		}
		f.giveBackBehind()
	}
	if f.cursor == len(all) {
		// It cannot fail for a mapping of our own, nor matter here.
		_ = f.Other.Close()
		f.Phase = Settled
	}
}

// lookahead is how many flows ahead the memory for a move is asked for.
const lookahead = 8

func (f *Flows) moveOne(from Slot, moved func(e *Flow, to Slot)) {
	if ahead := int(from) + lookahead; ahead < len(f.Other.All) {
		if k := f.Other.All[ahead].Key; k.Rest != 0 {
			f.Arena.Prefetch([]Slot{f.Arena.Home(k)})
		}
	}
	e := f.Other.All[from]
	to, _ := f.Arena.insert(e.Key)
	f.Arena.All[to] = e
	moved(&f.Arena.All[to], to|f.half)
	f.removeFrom(&f.Other, f.half^HalfFlag, from, moved)
	f.Work.Moved++
}

// giveBackBehind returns memory behind the cursor, a huge page at a time.
func (f *Flows) giveBackBehind() {
	const perChunk = HugePage / int(unsafe.Sizeof(Flow{}))
	if behind := f.cursor + 1; behind%perChunk == 0 {
		f.Other.release(behind-perChunk, behind)
		f.Work.Released += HugePage
	}
}
