package fullnat

import (
	"net/netip"
	"time"

	"github.com/plinksim/plinksim/pkg/packet"
)

// Config is everything a Table needs to know to judge a packet. It is built
// whole by the control side and swapped in by Table.Configure; from then on
// nobody changes it.
type Config struct {
	// ENIs are the interfaces that packets may come from and go to.
	ENIs []Interface
	// Links are what the interfaces translate. Two links with the same
	// ingress ENI, address, port and protocol are an error.
	Links []Link
	// PortsPerTarget limits the sessions that one NAT IP may hold to one
	// target (address, port, protocol). 0 means 55,000, which is what AWS
	// states: Elastic Load Balancing user guide for Network Load Balancers,
	// "Target groups", section on client IP preservation. Shards divide them.
	PortsPerTarget int
	// PortRest is how long after the last packet of its session a NAT port is
	// used again for the same target at the earliest, which may still have the
	// connection in TIME-WAIT and refuse the next one. 0 means a minute, which
	// is what Linux waits: TCP_TIMEWAIT_LEN in torvalds/linux:include/net/tcp.h.
	PortRest time.Duration
}

// Interface is what the table knows of an ENI.
type Interface struct {
	ENI packet.ENI
	// Name tells the interface from all others in every process that keeps
	// sessions for the next: see Left. Numbers may change from one to the next.
	Name string
	MAC  packet.MAC // source of every frame that leaves here
	MTU  int
	// NextHop gives the MAC to which a frame for addr is sent. It is asked
	// once for a session and must be a pure function.
	NextHop func(addr netip.Addr) packet.MAC
}

// Link is one way through the data plane: whoever sends to Match on the
// ingress ENI is brought to a target behind the egress ENI. Forward and
// reverse access are both links; only who owns the ENIs differs.
//
// A session lives as long as the Config has a connected link of the same Name
// between the same ENIs.
type Link struct {
	Name    string // unique in the Config, stable over swaps: ep1@zone tcp/80
	Ingress packet.ENI
	Match   netip.AddrPort
	// Protocol is the IANA number: TCP, UDP or ICMP. A link for ICMP lets echo
	// requests through to the target, whose port is of no interest, nor is
	// that of Match. Without one, the address does not answer.
	Protocol uint8
	Egress   packet.ENI
	// Local are the NAT IPs, addresses of the egress ENI. At least one. A target
	// is reached with one of its version of IP, whichever Match is of: from IPv6
	// to IPv4 and back, headers are translated as RFC 7915 says.
	Local []netip.Addr
	// Connected is false while the connection is not accepted: packets get
	// the verdict NotConnected.
	Connected bool
	// Draining links take no new sessions, and those that they have go on.
	// Another link may match the same.
	Draining bool
	// Was is the name that a draining link had while it took sessions.
	Was string
	// Admit says whether a new session may start; nil admits all. It is the
	// endpoint's security group, and must be a pure function.
	Admit func(packet.FiveTuple) bool
	// Pick chooses the target of a new session, from its first packet's
	// five-tuple and TCP sequence number, 0 without one; false where no backend can
	// take one. The goroutine of every table that has the Config calls it.
	Pick func(packet.FiveTuple, uint32) (netip.AddrPort, bool)
	// Ended is told each target that Pick gave, once: when its session has
	// ended, or could not start; an echo's with port 0. nil where nobody
	// counts. It is called as Pick is.
	Ended func(target netip.AddrPort)
	// Resumed is told the target of each session that began in another table and
	// goes on in this one, once; Ended will be told, too. nil where nobody counts.
	Resumed func(target netip.AddrPort)
	// Lost is asked when a packet of a doubted session comes, see Table.Cut:
	// whether the session ends now. nil ends none.
	Lost func(target netip.AddrPort) bool
	// MTU is the longest IP packet of its sessions in either direction; 0 leaves that
	// to the MTUs of the interfaces.
	MTU int
	// Idle is how long an established session may be silent.
	Idle time.Duration
	// Behaviour is what differs between clouds.
	Behaviour Behaviour
	// Identity is how the targets learn who the consumer is; nil is not at
	// all.
	Identity *Identity
}

// Verdict says what became of a packet. Every way to drop one has its own
// verdict, and the table counts them all, for the table and for the link.
type Verdict uint8

// Each verdict but Forwarded drops the packet.
const (
	Forwarded       Verdict = iota
	NotIP                   // neither IP nor ARP: not for the core
	Malformed               // headers that contradict the frame or each other
	Unsupported             // a protocol, an ICMP message or a chain of headers that the core does not translate
	NotOurs                 // for an address that the ENI does not own
	NoListener              // for an owned address, on a port that no link matches
	NotConnected            // the link's connection is not accepted
	Denied                  // the endpoint's security group does not admit the session
	NoSession               // not a first packet, and no session knows it
	NoBackend               // no healthy server could take the session
	NoNATPort               // every NAT port to this target is in use
	TableFull               // the session table is full
	LinkFull                // the link has as many sessions as it may have
	TTLExpired              // the packet may not be forwarded once more
	BadICMP                 // an ICMP error that quotes no session of ours or has a wrong checksum
	NoEcho                  // an ICMP echo request to an address that does not answer
	SourceRouted            // the packet wants to choose its routers
	TooBig                  // longer than the interface that it would leave by allows, and not to be cut
	Held                    // a fragment kept until the first one comes: Stats has those that wait now, none else
	TinyFragment            // a first fragment without the whole L4 header, or one that would overwrite it
	FragmentOverlap         // a fragment with bytes that came before, or one of a datagram that had such
	FragmentTooLong         // a fragment that ends behind what a datagram can have
	FragmentLimit           // no room to remember the datagram, or to hold its fragment
	FragmentTimeout         // a fragment that was Held until its datagram was given up
	SignedTCP               // a TCP connection with signatures, which the link's Identity would break
	NoChecksum              // a fragmented UDP datagram without a checksum, which IPv6 must have
	Straddling              // a TCP segment from before the PROXY header to behind it, or such a SYN in fragments
	// These are not the table's: whoever gives it frames has looked for them before.
	WrongMAC    // a frame for another Ethernet address than the ENI's, or for a group
	BadHeader   // the checksum of the IPv4 header is wrong
	Martian     // from an address that no sender has: the ENI's own, or its subnet's broadcast
	NumVerdicts // how many there are; not a verdict
)

var verdictNames = [NumVerdicts]string{
	"Forwarded", "NotIP", "Malformed", "Unsupported", "NotOurs", "NoListener", "NotConnected",
	"Denied", "NoSession", "NoBackend", "NoNATPort", "TableFull", "LinkFull", "TTLExpired", "BadICMP",
	"NoEcho", "SourceRouted", "TooBig", "Held", "TinyFragment", "FragmentOverlap", "FragmentTooLong",
	"FragmentLimit", "FragmentTimeout", "SignedTCP", "NoChecksum", "Straddling",
	"WrongMAC", "BadHeader", "Martian",
}

// String is the verdict's name as it stands in counters and stories.
func (v Verdict) String() string {
	if v < NumVerdicts {
		return verdictNames[v]
	}
	return "Verdict?"
}

// Counters counts packets by verdict.
type Counters [NumVerdicts]uint64

// LinkStats is what a link has done since the table was made.
type LinkStats struct {
	Name              string
	Verdicts          Counters
	Sessions          int    // now
	HalfOpen          int    // of them, not confirmed by the consumer
	Evicted           uint64 // half-open ones that gave way to others
	SessionsOpened    uint64 // ever
	PacketsToProvider uint64
	BytesToProvider   uint64 // of IP packets
	PacketsToConsumer uint64
	BytesToConsumer   uint64
	Superframes       uint64 // frames with GSOSize > 0, both directions
	Segments          uint64 // packets after superframes are segmented, both directions
	WithoutTOA        uint64 // segments that had no room for the TOA option that they should have had
}

// Stats is a copy of a table's counters.
type Stats struct {
	Verdicts Counters
	Sessions int
	// MaxSessions is how many there may be.
	MaxSessions int
	HalfOpen    int // TCP sessions that the consumer has not confirmed
	Fragments   FragmentStats
	// Unexpected are TCP segments outside of their window. They were passed on,
	// and changed nothing.
	Unexpected uint64
	Unsent     uint64 // frames of the table's own for which Pending had no room
	Answers    Answers
	Rekeys     uint64 // how often a search was so long that the table changed its secret
	Bytes      uint64 // of memory reserved for the sessions of now, or of a while ago
	Cache      CacheStats
	Links      []LinkStats
}

// CacheStats counts what a table's FlowCache has done. Its packets are in all
// other counters too.
type CacheStats struct {
	Sessions      int    // that have a place in it
	Frames, Bytes uint64 // that it has forwarded, of IP packets
}

// Session is a copy of one session, for people to read.
type Session struct {
	Link     string
	Protocol uint8
	State    string // syn-sent, syn-received, established, closing, closed; open for UDP
	// ToProvider is the five-tuple as the consumer sends it and as the
	// backend receives it; the replies are the same with the ends exchanged.
	Consumer, Endpoint netip.AddrPort
	Local, Target      netip.AddrPort

	PacketsToProvider, BytesToProvider uint64
	PacketsToConsumer, BytesToConsumer uint64

	Cached bool // the flow cache may forward its packets

	Idle    time.Duration // since the last packet that refreshed it
	Expires time.Duration // until it is removed if nothing more comes
}
