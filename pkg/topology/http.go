package topology

import (
	"net/netip"
	"slices"
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

// HTTPListener is what an http or https listener has beyond the others. Its
// server group is where requests go that no rule matches.
type HTTPListener struct {
	// RequestTimeout is how long a server may be silent before the client is
	// told 504; the same silence in the middle of an answer ends it.
	RequestTimeout time.Duration
	Rules          []ListenerRule // in the order in which they are asked
	// Forwarded names the headers that tell servers of the client beside
	// X-Forwarded-For: proto, port, client_port, slb_id.
	Forwarded []string
	// Certificates of an https listener. Where there is none the lab makes one
	// for CertificateNames, which are names and addresses.
	Certificates     []CertificateFiles
	CertificateNames []string
}

// CertificateFiles are two files in PEM form, as the user wrote their names:
// relative ones are beside the topology file.
type CertificateFiles struct {
	Certificate string // and behind it the chain up to its CA
	Key         string
}

// ListenerRule says what becomes of the requests that it matches. Exactly one
// of ServerGroup, FixedResponse and Redirect is set.
type ListenerRule struct {
	Priority int // 1 is asked first
	// Hosts and Paths are patterns in which * stands for any characters and ?
	// for one. A list matches if one of its patterns does, an empty one always.
	Hosts, Paths  []string
	ServerGroup   string
	FixedResponse *FixedResponse
	Redirect      *Redirect
}

// Groups are the server groups that a listener and its rules lead to, each
// once.
func (l Listener) Groups() []string {
	out := []string{l.ServerGroup}
	if l.HTTP == nil {
		return out
	}
	for _, rule := range l.HTTP.Rules {
		if rule.ServerGroup != "" && !slices.Contains(out, rule.ServerGroup) {
			out = append(out, rule.ServerGroup)
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
