package store

// Things are named by numbers, since what is outside the Go heap must not hold
// pointers. A number is good while something uses what it names. The numbers
// of addresses have no type here: they are those of packet.Packet, and an IPv4
// address is its own.
type (
	// SessionID names a session.
	SessionID uint32
	// Slot names a flow until the next flow is removed or moves.
	Slot uint32
	// LinkID names a link, which the store does not know any better.
	LinkID uint32
	// HopID names a hop.
	HopID uint32
	// PoolID names a pool of NAT ports.
	PoolID uint32
	// HalfOpenID names a place among the half-open sessions; 0 is none.
	HalfOpenID uint32
	// Tick is a point in time, or how long something takes, in TickLength.
	// Differences of points are right for 49 days.
	Tick uint32
)

// None is the number of no session.
const None = ^SessionID(0)
