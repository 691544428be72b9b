package topology

import (
	"net/netip"
	"time"
)

// DNSZone is a domain with records that the file gives.
type DNSZone struct {
	Name    string
	Domain  string // without a final dot
	Public  bool   // known in every VPC
	VPCs    []string
	TTL     time.Duration // 0: Profile.NameTTL
	Records []Record
}

// Record is a name with everything that it has.
type Record struct {
	Name  string // the whole name, without a final dot
	Addrs []netip.Addr
	CNAME string // without a final dot
	TXT   []string
	SRV   []SRV
}

// SRV is where a service is to be found (RFC 2782).
type SRV struct {
	Priority, Weight, Port uint16
	Target                 string // without a final dot
}
