package topology

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/plinksim/plinksim/pkg/packet"
)

// Proxy is where the listeners of an alb's node run: a namespace of its own
// with an address in the node's subnet.
type Proxy struct {
	IP        netip.Addr // what clients in the VPC use, and what servers see
	MAC       packet.MAC // packet.MACOf(IP)
	Namespace string     // file name of its network namespace
	Device    string     // in its own namespace: eth0
	Port      string     // the other end, on the subnet's bridge
}

// IP is the address of a node in its subnet.
func (n *Node) IP() netip.Addr {
	if n.Proxy != nil {
		return n.Proxy.IP
	}
	return n.ENI.IP
}

// HTTPListener is what an http or https listener has beyond the others.
type HTTPListener struct {
	// RequestTimeout is how long a server may be silent before the client is
	// told 504; the same silence in the middle of an answer ends it.
	RequestTimeout time.Duration
	Rules          []ListenerRule // in the order in which they are asked
	// Otherwise is what becomes of requests that no rule matches, where they do not
	// simply go to the listener's server group; else nil.
	Otherwise *Action
	// Forwarded names the headers that tell servers of the client beside
	// X-Forwarded-For: proto, port, client_port, slb_id.
	Forwarded []string
	// Certificates of an https listener. Where there is none the lab makes one
	// for CertificateNames, which are names and addresses.
	Certificates     []Certificate
	CertificateNames []string
}

// Certificate is two files in PEM form, as the user wrote their names: relative
// ones are beside the topology file. Or it is one that the lab makes for Names.
type Certificate struct {
	Certificate string // and behind it the chain up to its CA
	Key         string
	Names       []string // "*." before one stands for one label
}

// ListenerRule says what becomes of the requests that it matches. A request must
// match all of its lists; an empty one matches everything. In patterns * stands for
// any characters and ? for one.
type ListenerRule struct {
	Priority     int            // 1 is asked first
	Hosts, Paths []string       // patterns, of which one must match
	Headers      []HeaderMatch  // each of which must match
	Query        []QueryMatch   // of which one must match
	Methods      []string       // of which it has one
	Sources      []netip.Prefix // of which one has the client's address, as the node sees it
	Action
}

// HeaderMatch is for requests in which a header has a value of one of the patterns,
// in whatever case.
type HeaderMatch struct {
	Name   string
	Values []string
}

// QueryMatch is for requests whose query has a value of a pattern, in whatever case.
type QueryMatch struct {
	Key   string // a pattern too; "" is any key
	Value string
}

// Action is what becomes of a request. Exactly one of its fields is set.
type Action struct {
	ServerGroup   string
	Split         []Share
	FixedResponse *FixedResponse
	Redirect      *Redirect
}

// Share is the part of the requests that a server group gets: its weight, from 0 to
// 999, of the sum of all weights.
type Share struct {
	ServerGroup string
	Weight      int
}

// Default is what becomes of what no rule matches.
func (l *Listener) Default() Action {
	if l.HTTP != nil && l.HTTP.Otherwise != nil {
		return *l.HTTP.Otherwise
	}
	return Action{ServerGroup: l.ServerGroup}
}

// Groups are the server groups that an action leads to.
func (a *Action) Groups() (out []string) {
	if a.ServerGroup != "" {
		return []string{a.ServerGroup}
	}
	for _, s := range a.Split {
		out = append(out, s.ServerGroup)
	}
	return out
}

// String is the action in a few words: a server group, or what is done otherwise.
func (a *Action) String() string {
	switch {
	case len(a.Split) > 0:
		var parts []string
		for _, s := range a.Split {
			parts = append(parts, fmt.Sprintf("%s (%d)", s.ServerGroup, s.Weight))
		}
		return strings.Join(parts, ", ")
	case a.FixedResponse != nil:
		return fmt.Sprintf("answer %d", a.FixedResponse.Status)
	case a.Redirect != nil:
		return fmt.Sprintf("redirect %d", a.Redirect.Status)
	}
	return a.ServerGroup
}

// Groups are the server groups that a listener and its rules lead to, each
// once.
func (l Listener) Groups() []string {
	action := l.Default()
	out := action.Groups()
	if l.HTTP == nil {
		return out
	}
	for i := range l.HTTP.Rules {
		for _, group := range l.HTTP.Rules[i].Groups() {
			if !slices.Contains(out, group) {
				out = append(out, group)
			}
		}
	}
	return out
}

// FixedResponse is an answer that the load balancer gives by itself.
type FixedResponse struct {
	Status      int
	ContentType string
	Body        string
}

// Redirect sends the client elsewhere. What is "" or 0 is the request's.
type Redirect struct {
	Status   int
	Protocol Protocol // HTTP or HTTPS; "": the request's
	Host     string
	Port     uint16
	Path     string
	Query    string
}

// Persistence keeps a client at its server by a cookie.
type Persistence struct {
	// Mode is insert: the load balancer sets a cookie of its own; or rewrite:
	// it writes the server into the cookie that the server sets.
	Mode    string
	Cookie  string
	Timeout time.Duration // of an inserted cookie
	// Renew sets an inserted cookie again with every answer.
	Renew bool
}
