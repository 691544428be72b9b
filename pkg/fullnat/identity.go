package fullnat

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
	"github.com/plinksim/plinksim/pkg/packet"
)

// Identity is how the targets of a link learn who the consumer is, whose
// address the NAT takes away. It may be shared by links and is never changed.
// A session keeps what it started with.
type Identity struct {
	// Header is the PROXY protocol header that goes before what the consumer
	// sends: once in a TCP connection, and in the first datagram of a UDP
	// session.
	Header Layout
	// Placement says when the header of a TCP connection goes.
	Placement Placement
	// VPC, Endpoint and Service are the identifiers that the header tells; an
	// empty one is left out. LayoutAWS has room for the endpoint's alone.
	VPC, Endpoint, Service string
	// TOA writes the consumer's address and port into a TCP option of the
	// first segments: see toa.go. Not for UDP.
	TOA bool
}

// Placement is the segment that the PROXY protocol header comes with. The
// names are those of the values of the target group attribute
// proxy_protocol_v2.client_to_server.header_placement of AWS.
type Placement uint8

const (
	// OnFirstAckWithPayload writes it before the first bytes that the consumer
	// sends. Where the server speaks first, both wait for each other.
	OnFirstAckWithPayload Placement = iota
	// OnFirstAck sends it as soon as the consumer confirms the connection.
	OnFirstAck
)

// check says what is wrong with i for links of a protocol, to which consumers
// send by IPv6 or not.
func (i *Identity) check(protocol uint8, six bool) error {
	if i == nil {
		return nil
	}
	var errs []error
	if i.TOA && protocol != packet.ProtocolTCP {
		errs = append(errs, errors.New("TOA is a TCP option: it is not for other protocols"))
	}
	if i.Placement > OnFirstAck {
		errs = append(errs, fmt.Errorf("placement %d of the PROXY header: want OnFirstAckWithPayload or OnFirstAck",
			i.Placement))
	}
	return errors.Join(append(errs, i.checkHeader(six))...)
}

// identityState is what a session remembers in order to tell the provider who the
// consumer is. Sequence numbers are those that the consumer uses, unless they
// are the provider's own.
type identityState struct {
	insertion
	progress progress
	early    bool // the header goes with the first acknowledgment
	toa      bool
	answered bool // theirs is known
	// optionSize is how many bytes the option has that tells the address.
	optionSize uint16
	theirs     uint32 // the provider's number of its first byte
	again      uint32 // where the stream starts if the provider accepts a SYN that came late
	room       uint16 // bytes of the longest IP packet that the provider takes

	// What a header that goes alone says of the rest of the connection.
	ack, value, echo uint32 // acknowledgment number; timestamps, as in the option
	window           uint16
	stamped          bool // timestamps are in use

	sent   store.Tick // tick at which the header last went
	armed  store.Tick // tick at which the timer was set
	check  uint64     // over what never changes: see seal
	header [maxHeader]byte
}

// progress is how far the PROXY protocol header is.
type progress uint8

const (
	noHeader      progress = iota // there is none in this session
	waiting                       // it is not in the stream, and no number is moved
	unconfirmed                   // it was sent; what the consumer sends is behind it
	confirmed                     // the provider has all of it
	longConfirmed                 // so long ago that old numbers cannot come any more
)

// identityStates holds those of the sessions that have one, by their number, in
// chunks that are made when they are needed. There are no pointers in a chunk.
type identityStates struct {
	chunks [][]identityState
	source store.Source
	kept   []byte // where the chunks are, if they outlive the process
	resend resend
	longer longer
}

// identitiesRegion is the name of the memory of identityStates.
const identitiesRegion = "identities"

func (c *identityStates) init(sessions int, source store.Source) (err error) {
	c.source = source
	chunks := (sessions + statesInChunk - 1) / statesInChunk
	c.kept, err = source.Map(identitiesRegion, chunks*statesInChunk*int(unsafe.Sizeof(identityState{})))
	return err
}

func (c *identityStates) close() error {
	if c.kept == nil {
		return nil
	}
	kept := c.kept
	c.kept, c.chunks = nil, nil
	return c.source.Unmap(identitiesRegion, kept)
}

func (c *identityStates) newChunk(n int) []identityState {
	if c.kept == nil {
		return make([]identityState, statesInChunk)
	}
	return store.View[identityState](c.kept)[n*statesInChunk:][:statesInChunk]
}

const statesInChunk = 1 << 8

// at is the identityState of a session that has one.
func (c *identityStates) at(session store.SessionID) *identityState {
	return &c.chunks[session/statesInChunk][session%statesInChunk]
}

func (c *identityStates) add(session store.SessionID) *identityState {
	chunk := int(session / statesInChunk)
	for len(c.chunks) <= chunk {
		c.chunks = append(c.chunks, nil)
	}
	if c.chunks[chunk] == nil {
		c.chunks[chunk] = c.newChunk(chunk)
	}
	v := c.at(session)
	*v = identityState{}
	return v
}

// mayIdentify refuses connections that the link would break: signatures cover
// the numbers and the options (RFC 2385, 2.0; RFC 5925, 5.1). It also refuses
// SYNs of which data could not be taken away.
func (l *link) mayIdentify(f *packet.Frame, p *packet.Packet) Verdict {
	if l.Identity == nil || p.Kind != packet.TCP {
		return Forwarded
	}
	_, md5 := p.FindOption(f.Data, packet.OptionMD5)
	_, authenticated := p.FindOption(f.Data, packet.OptionAuthenticated)
	switch {
	case md5 || authenticated:
		return SignedTCP
	case l.Identity.Header != NoHeader && p.MoreFragments():
		return Straddling
	}
	return Forwarded
}

// beginIdentity starts to tell the provider of a new session with the first packet p,
// if the link does so.
func (t *Table) beginIdentity(id store.SessionID, l *link, f *packet.Frame, p *packet.Packet) {
	identity := l.Identity
	if identity == nil || identity.Header == NoHeader && !identity.TOA {
		return
	}
	c := t.identities.add(id)
	c.toa = identity.TOA && p.Kind == packet.TCP
	c.early = identity.Placement == OnFirstAck
	c.optionSize = toaSize(p)
	there := t.flows.At(t.sessions.At(id).Slots[store.ToProvider])
	c.room = l.roomToProvider(defaultMSS, store.IsIPv6(there.Rewrite.Dst))
	if identity.Header != NoHeader {
		c.progress = waiting
		c.length = uint32(len(identity.appendHeader(c.header[:0], t.tupleOf(p))))
	}
	if p.Kind == packet.TCP {
		c.at = p.Seq(f.Data) + 1
	}
	for _, slot := range t.sessions.At(id).Slots {
		t.flows.At(slot).Flags |= store.Identifies
	}
}

// forgetIdentity is told of a session that ends.
func (b *book) forgetIdentity(id store.SessionID) {
	if b.flows.At(b.sessions.At(id).Slots[store.ToProvider]).Flags&store.Identifies != 0 {
		*b.identities.at(id) = identityState{}
	}
}

// defaultMSS is that of a host that announces none (RFC 9293, 3.7.1).
const defaultMSS = 536

// roomToProvider is the longest IP packet that the target takes in one packet
// if it announces mss, which counts no options (RFC 6691, 2).
func (l *link) roomToProvider(mss uint16, six bool) uint16 {
	return uint16(min(int(mss)+headersOf(six), int(l.mtu[store.ToProvider])))
}

// sendIdentified is send for the packets of sessions with an identityState.
func (t *Table) sendIdentified(f *packet.Frame, w *work, e *store.Flow, l *link) Verdict {
	p := &w.packet
	c := t.identities.at(e.Session)
	switch {
	case p.Kind == packet.UDP:
		t.prefixDatagram(f, p, e, c)
	case e.Direction() == store.ToConsumer:
		t.fromProvider(f, p, e, c, l)
	case c.straddles(f, p):
		return l.count(Straddling)
	default:
		if hasTCPOptions(p) {
			scrub(f, p)
		}
		t.fromConsumer(f, p, e, c)
		t.address(f, p, e, c, l)
	}
	if c.progress == noHeader && !c.toa {
		t.stopIdentifying(e.Session)
	}
	return t.finish(f, w, e, l)
}

// stopIdentifying makes the packets of a session ordinary.
func (b *book) stopIdentifying(id store.SessionID) {
	for _, slot := range b.sessions.At(id).Slots {
		b.flows.At(slot).Flags &^= store.Identifies
	}
}

// longer is the memory of frames that became longer than what they came in.
// What is made in one burst stays until the next.
type longer struct {
	bytes []byte
	used  int
}

func (b *longer) reset() { b.used = 0 }

func (b *longer) room(size int) []byte {
	if b.used+size > len(b.bytes) {
		// Frames that were made keep the memory that they are in.
		b.bytes, b.used = make([]byte, max(2*len(b.bytes), size, 16<<10)), 0
	}
	b.used += size
	return b.bytes[b.used-size : b.used : b.used]
}
