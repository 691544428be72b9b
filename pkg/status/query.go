package status

import (
	"net/netip"
	"time"
)

// NameAnswer is what a VPC's resolver answers an instance, and why.
type NameAnswer struct {
	Schema  string     `json:"schema"`
	Name    string     `json:"name"` // without a final dot
	Type    string     `json:"type"`
	From    string     `json:"from"` // the instance
	IP      netip.Addr `json:"ip"`   // the instance's
	Zone    string     `json:"zone"` // the instance's
	VPC     string     `json:"vpc"`
	Code    string     `json:"code"`
	Source  string     `json:"source"`  // authority, cache, upstream, refused or hosts
	Records []string   `json:"records"` // as zone files have them
	Steps   []NameStep `json:"steps"`
}

// NameStep is what one name contributed: the one that was asked for, or one
// that CNAMEs led to.
type NameStep struct {
	Name      string        `json:"name"`
	Outcome   string        `json:"outcome"`
	Authority string        `json:"authority,omitempty"` // the zone that answers for it
	Wildcard  string        `json:"wildcard,omitempty"`  // the name that stands for it
	Affinity  bool          `json:"zone_affinity"`
	Addresses []NameAddress `json:"addresses"`
}

// NameAddress is one address of a name, given or left out.
type NameAddress struct {
	IP     netip.Addr `json:"ip"`
	Zone   string     `json:"zone,omitempty"`
	Given  bool       `json:"given"`
	Reason string     `json:"reason"`
}

// QueryTypes are the record types that can be asked for by name.
func QueryTypes() []string {
	return []string{"A", "AAAA", "CNAME", "TXT", "SRV", "PTR", "NS", "SOA", "ANY", "MX", "HTTPS", "SVCB"}
}

// NameQuery is one question that an instance asked.
type NameQuery struct {
	Time      time.Time      `json:"time"`
	VPC       string         `json:"vpc"`
	From      string         `json:"from,omitempty"` // the instance; empty where it was none
	Asker     netip.AddrPort `json:"asker"`
	Transport string         `json:"transport"` // udp or tcp
	Name      string         `json:"name"`      // as asked, the case too
	Type      string         `json:"type"`
	Code      string         `json:"code"`
	Source    string         `json:"source"`
	Data      []string       `json:"data"`
	Bytes     int            `json:"bytes"`
	Micros    int64          `json:"microseconds"`
}
