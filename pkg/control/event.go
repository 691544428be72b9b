package control

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// HistoryLimit is how many events a plane keeps for Events and Subscribe. The
// oldest go first.
const HistoryLimit = 10_000

// Kinds of events of what the control plane itself knows nothing of.
const (
	KindEdit     Kind = "edit"     // of the topology: Name is the path of its first change
	KindInstance Kind = "instance" // that was switched off or on
	KindHost     Kind = "host"     // the way to another one of the lab
)

// Event is one change of the lab.
type Event struct {
	Seq  uint64    `json:"seq"` // 1, 2, 3, … also over restarts
	Time time.Time `json:"time"`
	Kind Kind      `json:"kind"`
	// Name is service/endpoint for a connection, service/endpoint@zone for its
	// zone.
	Name    string `json:"name"`
	Account string `json:"account,omitempty"` // who did it; "" where nobody did
	By      string `json:"by,omitempty"`      // who made an edit, in words
	Request string `json:"request,omitempty"` // id of the call of a cloud's API that asked for it
	Verb    Verb   `json:"verb"`
	From    string `json:"from,omitempty"` // states in the words of the lab's cloud
	To      string `json:"to,omitempty"`
	Text    string `json:"text"` // one line for people
}

func (c *connection) event(verb Verb, account, from, to string) Event {
	return Event{
		Kind: KindConnection, Name: c.name(), Account: account, Verb: verb, From: from, To: to,
		Text: c.eventText(verb, account, to),
	}
}

func (c *connection) eventText(verb Verb, account, to string) string {
	switch verb {
	case Create:
		return fmt.Sprintf("endpoint %q asks for a connection to endpoint service %q", c.Endpoint, c.Service)
	case Delete:
		return fmt.Sprintf("%s is gone", c)
	case Reset:
		return fmt.Sprintf("%s waits for its provider again", c)
	case Accept, Reject:
		who := fmt.Sprintf("account %q", account)
		if account == "" {
			who = "the service itself"
		}
		return fmt.Sprintf("%s %sed %s", who, verb, c)
	case Bandwidth:
		return fmt.Sprintf("account %q gave %s a bandwidth of %s", account, c, limitText(c.Bandwidth))
	}
	return fmt.Sprintf("%s is %s", c, to)
}

func (c *connection) zoneEvent(verb Verb, z Zone, from, to string) Event {
	text := fmt.Sprintf("zone %q of %s is %s", z.Zone, c, to)
	switch verb {
	case Create:
		text = fmt.Sprintf("zone %q joined %s", z.Zone, c)
	case Delete:
		text = fmt.Sprintf("zone %q left %s", z.Zone, c)
	}
	return Event{Kind: KindZone, Name: c.name() + "@" + z.Zone, Verb: verb, From: from, To: to, Text: text}
}

func limitText(mbit int) string {
	if mbit == 0 {
		return "any size"
	}
	return fmt.Sprintf("%d Mbit/s", mbit)
}

// Events gives the kept events whose Seq is above since, oldest first.
func (p *Plane) Events(since uint64) []Event {
	events, _ := p.eventsAndSignal(since)
	return events
}

// Subscribe sends every event whose Seq is above since, those of the past
// first, and closes the channel when ctx ends. A reader may be slow: nothing
// waits for it. One that is more than HistoryLimit events behind misses some,
// which it sees by their Seq.
func (p *Plane) Subscribe(ctx context.Context, since uint64) <-chan Event {
	out := make(chan Event)
	go func() {
		defer close(out)
		for {
			events, signal := p.eventsAndSignal(since)
			for _, e := range events {
				select {
				case out <- e:
					since = e.Seq
				case <-ctx.Done():
					return
				}
			}
			select {
			case <-signal:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// Observe adds an event that others saw, for example the health of a server, to
// the same stream. Seq is given here, and Time where it is zero. The state and
// its revision stay as they are.
func (p *Plane) Observe(e Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.history.record(e, p.state.now)
	p.signalLocked()
}

// eventsAndSignal also gives the channel that closes at the next change.
func (p *Plane) eventsAndSignal(since uint64) ([]Event, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.history.since(since), p.signal
}

// history keeps the newest events.
type history struct {
	events []Event
	last   uint64 // the number of the newest event, also of one that is not kept
}

// record numbers an event and keeps it.
func (h *history) record(e Event, now func() time.Time) Event {
	h.last++
	e.Seq = h.last
	if e.Time.IsZero() {
		e.Time = now()
	}
	if len(h.events) >= HistoryLimit {
		h.events = slices.Delete(h.events, 0, HistoryLimit/10)
	}
	h.events = append(h.events, e)
	return e
}

// since gives the kept events with a number above seq.
func (h *history) since(seq uint64) []Event {
	first, _ := slices.BinarySearchFunc(h.events, seq+1, func(e Event,
		seq uint64) int {
		return cmp.Compare(e.Seq, seq)
	})
	return slices.Clone(h.events[first:])
}
