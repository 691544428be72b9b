package store

import (
	"math/bits"
	"unsafe"

	"github.com/plinksim/plinksim/pkg/packet"
)

// Flow is one direction of a session: all that an established packet needs,
// in one cache line.
type Flow struct {
	Key     Key
	Rewrite packet.Rewrite
	Hop     HopID
	Session SessionID
	Last    Tick // of the last packet that refreshed the session
	Flags   Flags
	lately  uint8  // TCP: see Lately
	Window  Window // TCP: how far the numbers of its segments may go
	Ack     uint32 // TCP: the highest number that was acknowledged
	Next    uint32 // TCP: the sequence number behind the last byte that came
	Count   Count
}

var _ [64]byte = [unsafe.Sizeof(Flow{})]byte{}

// Flags of a flow are the session's State, the direction, and what makes its
// packets more than translated.
type Flags uint8

const (
	// Identifies: the table tells the provider of the session who the consumer is.
	Identifies Flags = 1 << 3
	// HasIPv6: some address of the session is one of IPv6.
	HasIPv6 Flags = 1 << 4
	// Doubted: whether the session goes on is asked when its next packet comes.
	Doubted Flags = 1 << 5
	// Cached: packets may pass by a flow cache, which knows more than the flow.
	Cached Flags = 1 << 6

	stateBits       = 7
	backwards Flags = 1 << 7
)

// IsOrdinary says whether packets of the flow are translated and nothing else.
func (e *Flow) IsOrdinary() bool { return e.Flags&^backwards == Flags(Established) }

// IsCacheable says whether a flow cache can do all that its packets need.
func (e *Flow) IsCacheable() bool {
	protocol := e.Key.Protocol()
	return e.Flags&^(backwards|Cached) == Flags(Established) &&
		(protocol == packet.ProtocolTCP || protocol == packet.ProtocolUDP)
}

// State is the session's.
func (e *Flow) State() State { return State(e.Flags & stateBits) }

// SetState is told of another one.
func (e *Flow) SetState(s State) { e.Flags = e.Flags&^stateBits | Flags(s) }

// Direction is where packets of the flow go.
func (e *Flow) Direction() Direction { return Direction(e.Flags >> 7) }

// IsSettled says whether the session is established and nobody doubts it.
func (e *Flow) IsSettled() bool { return e.Flags&(stateBits|Doubted) == Flags(Established) }

// SetDirection is for a new flow.
func (e *Flow) SetDirection(d Direction) { e.Flags = e.Flags&^backwards | Flags(d)<<7 }

// Window is how far the numbers of a flow's segments may be from those that
// came before: five bits each for what the receiver takes and for what the
// sender itself takes, of which the largest that was offered is less than two
// to that power, and four bits for the sender's window scale. The flow has both,
// so that an ordinary segment is judged without a look at the other flow.
type Window uint16

// largestOffer is the number of bits of the largest window (RFC 7323, 2.3).
const largestOffer = 30

func newWindow(reach, offer, scale uint8) Window {
	return Window(reach)&31 | Window(offer)&31<<5 | Window(scale)&15<<10
}

func (w Window) reach() uint8 { return uint8(w & 31) }

func (w Window) offer() uint8 { return uint8(w >> 5 & 31) }

func (w Window) scale() uint8 { return uint8(w >> 10 & 15) }

// Parts is what Expects judges by.
func (w Window) Parts() (reach, offer, scale uint8) { return w.reach(), w.offer(), w.scale() }

// Begin starts the numbers of a flow with a SYN that offers a window, of which
// the size is never scaled.
func (e *Flow) Begin(end, window uint32) {
	e.Next, e.Window, e.lately = end, newWindow(0, offerOf(window), 0), 0
}

// Agree is told of both SYNs: from now on each end may send as much as the
// other has offered, with these window scales.
func Agree(there, back *Flow, scaleThere, scaleBack uint8) {
	there.Window = newWindow(back.Window.offer(), there.Window.offer(), scaleThere)
	back.Window = newWindow(there.Window.offer(), back.Window.offer(), scaleBack)
}

// Offer notes the window of a segment that has been judged. What a receiver
// once offered it may get late.
func (e *Flow) Offer(window uint32, other *Flow) {
	if offer := offerOf((window | 0xff) << e.Window.scale()); offer > e.Window.offer() {
		e.Window = newWindow(e.Window.reach(), offer, e.Window.scale())
		other.Window = newWindow(offer, other.Window.offer(), other.Window.scale())
	}
}

// offerOf is how many bits a window has. What is less than lately counts is not
// looked at.
func offerOf(window uint32) uint8 { return min(uint8(bits.Len32(window|0xff)), largestOffer) }

// Lately notes the upper half of the window field of a segment that brings
// nothing else: it is looked at when somebody sends more than was known to be
// welcome.
func (e *Flow) Lately(offer uint8) { e.lately = offer }

// OfferedLately is what Lately noted.
func (e *Flow) OfferedLately() uint8 { return e.lately }

// Offers notes the windows that both flows have offered lately.
func Offers(one, other *Flow) {
	one.Offer(uint32(one.lately)<<8|0xff, other)
	other.Offer(uint32(other.lately)<<8|0xff, one)
}

// Expects says whether a segment that ends before the sequence number end and
// acknowledges what is before ack belongs to what its sender has sent so far
// (RFC 9293, 3.4 and 3.8.6): both are at most a window ahead of those before,
// or behind them, and the window that it offers is no larger than is known.
func (e *Flow) Expects(end, ack, window uint32) bool {
	reach, offer, scale := e.Window&31, e.Window>>5&31, e.Window>>10&15
	ahead := end - e.Next + 1<<reach
	acked := ack - e.Ack + 1<<offer
	return ahead>>1>>reach|acked>>1>>offer|window<<scale>>offer == 0
}

// Numbers are Next above Ack, which are loaded as one.
func (e *Flow) Numbers() uint64 { return uint64(e.Next)<<32 | uint64(e.Ack) }

// Follow notes the numbers of an ordinary segment of an established session, end
// above ack, if it was expected, and says whether it was. It is not for
// sessions in which the two ends count in different ways.
func (e *Flow) Follow(numbers uint64, window uint16) bool {
	end, ack := uint32(numbers>>32), uint32(numbers)
	if e.State() != Established || e.Flags&Identifies != 0 || !e.Expects(end, ack, uint32(window)) {
		return false
	}
	e.Advance(end, ack)
	return true
}

// Advance notes the numbers of a segment that was expected. What is older is
// not progress.
func (e *Flow) Advance(end, ack uint32) {
	if int32(end-e.Next) > 0 {
		e.Next = end
	}
	if int32(ack-e.Ack) > 0 {
		e.Ack = ack
	}
}

// Resume gives a new flow what packets have changed of an old one, whose clock was
// behind by later. What a flow cache knew is gone with its owner: the flow was used
// until now then, and any numbers are expected.
func (e *Flow) Resume(old *Flow, later, now Tick) {
	e.Last, e.lately, e.Window = old.Last+later, old.lately, old.Window
	e.Ack, e.Next, e.Count = old.Ack, old.Next, old.Count
	e.Flags |= old.Flags & Doubted
	if old.Flags&Cached != 0 {
		e.Last, e.Window = now, newWindow(31, 31, old.Window.scale())
	}
}

// Accepts is what Expects says with a look at the flow of the answers, as
// torvalds/linux:net/netfilter/nf_conntrack_proto_tcp.c:tcp_in_window looks: a
// segment ends a window behind what the other end has acknowledged at most, or
// one byte later, which is how a closed window is probed (RFC 9293, 3.8.6.1),
// and a window before what its sender has sent at least. It acknowledges at
// most what has been sent. Fragments of a segment are not counted, so that may
// be a window too little.
func (e *Flow) Accepts(end, ack uint32, other *Flow) bool {
	reach, offer := e.Window.reach(), e.Window.offer()
	acked := ack - e.Ack
	return int32(end-other.Ack-1<<reach) <= 1 && int32(end-e.Next+1<<reach) >= 0 &&
		((acked+1<<offer)>>1>>offer == 0 || int32(acked) > 0 && int32(ack-other.Next) <= 0)
}
