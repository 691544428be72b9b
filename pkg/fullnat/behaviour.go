package fullnat

import (
	"errors"
	"fmt"

	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
)

// Behaviour is what a cloud does with the packets of a link that it does not
// forward, and how long and how many sessions it keeps. The zero value drops
// in silence, has the table's timers and no limits.
type Behaviour struct {
	// ResetStray answers TCP segments that no session knows and that cannot
	// open one with a RST (RFC 9293, 3.10.7.1): on the link's address and
	// port, and on its NAT IPs. Who sends after a session was idle for too
	// long is answered too, for then no session knows the segment. That is
	// what AWS states: User Guide for Network Load Balancers, "Connection
	// idle timeout".
	ResetStray bool
	// ReportTTL answers packets that may not be forwarded once more with ICMP
	// time exceeded (RFC 1812, 5.3.1), from the address that they were sent
	// to: it is the one address here that their sender can surely route to.
	ReportTTL bool
	// ReportExhaustion answers the packet of which the session has no NAT
	// port, no place in the table or none in the link with ICMP
	// communication administratively prohibited (RFC 5508, REQ-8).
	ReportExhaustion bool
	// ReportTooBig answers packets that are longer than the MTU where they
	// would leave, and not to be fragmented, with ICMP fragmentation needed
	// and that MTU (RFC 1191, 4). Without it the path MTU is a black hole.
	ReportTooBig bool
	// ClampMSS lowers the MSS that SYNs announce to what fits the MTU of both
	// interfaces, so that TCP needs no such answer.
	ClampMSS bool

	// Timers are the link's own; a zero field means the table's.
	Timers Timers
	// MaxSessions limits the sessions of the link: RFC 6888, REQ-4. What is
	// beyond gets LinkFull. 0 is no limit.
	MaxSessions int
	// MaxHalfOpen limits the TCP sessions of the link that the consumer has
	// not confirmed. One more takes the place of the oldest. 0 is no limit.
	MaxHalfOpen int
}

func (b *Behaviour) check() (timers [store.NumStates]uint32, err error) {
	timers, err = b.Timers.ticks(Timers{})
	if b.MaxSessions < 0 {
		err = errors.Join(err, fmt.Errorf("its limit is %d sessions: want 1 or more, or 0 for none", b.MaxSessions))
	}
	if b.MaxHalfOpen < 0 {
		err = errors.Join(err, fmt.Errorf("its limit is %d half-open sessions: want 1 or more, or 0 for none", b.MaxHalfOpen))
	}
	return timers, err
}
