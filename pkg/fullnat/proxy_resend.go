package fullnat

import (
	"time"

	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
)

// resend sends PROXY protocol headers again that nobody has acknowledged: the
// consumer does not know of them. It waits for a second at first and then
// twice as long each time (RFC 6298, 2.1 and 5.5), and gives up when a server
// would have closed the connection for want of a header. Each wait has a queue
// of its own, in which the first is the one that is due first.
type resend struct {
	waits [resendTries]store.Queue[resendEntry]
}

const (
	resendTries = 6
	resendFirst = store.Tick(time.Second / store.TickLength)
	// resendSoon is how long a header must be on its way before the provider's
	// complaint that something is missing is one about the header.
	resendSoon = store.Tick(200 * time.Millisecond / store.TickLength)
)

// resendEntry is good while armed is what it is in the identityState.
type resendEntry struct {
	session store.SessionID
	armed   store.Tick
}

func (r *resend) arm(session store.SessionID, c *identityState, try int, now store.Tick) {
	c.armed = now
	r.waits[try].Push(resendEntry{session, now})
}

// resendStep looks at the entry that is due first in one of the queues, and
// says whether there was one.
func (t *Table) resendStep() bool {
	r := &t.identities.resend
	for try := range r.waits {
		next, ok := r.waits[try].Peek()
		if !ok || t.clock.Now-next.armed < resendFirst<<try {
			continue
		}
		r.waits[try].Pop()
		t.resendHeader(next, try)
		return true
	}
	return false
}

func (t *Table) resendHeader(due resendEntry, try int) {
	c := t.identities.at(due.session)
	if c.progress != unconfirmed || c.armed != due.armed {
		return
	}
	s := t.sessions.At(due.session)
	if s.State == store.Closed || !t.links.at(s.Link).live || t.timedOut(s) {
		return
	}
	t.sendHeader(t.flows.At(s.Slots[store.ToProvider]), c)
	if try+1 < resendTries {
		t.identities.resend.arm(due.session, c, try+1, t.clock.Now)
	}
}

// hurryHeader sends the header again at once when the provider says that it
// has what comes behind.
func (t *Table) hurryHeader(back *store.Flow, c *identityState) {
	if c.progress != unconfirmed || t.clock.Now-c.sent < resendSoon {
		return
	}
	t.sendHeader(t.flows.At(t.sessions.At(back.Session).Slots[store.ToProvider]), c)
}
