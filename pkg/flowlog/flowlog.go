// Package flowlog makes flow log records of captured packets, in the formats of the
// clouds: AWS's VPC flow logs with the fields of version 5, space by space in the
// order in which its documentation lists them (Amazon VPC User Guide, "Flow log
// records"), and Alibaba Cloud's, as the key-value records that Simple Log Service
// gets (its documentation, "VPC flow log fields").
//
// A record is what one interface saw of one direction of one five-tuple within one
// interval. A packet that the lab dropped, for whatever reason, has the action
// REJECT. The package is pure; a Log is for one goroutine.
package flowlog

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/pcap"
	"github.com/plinksim/plinksim/pkg/topology"
)

// maxFlows bounds what one interval remembers; what exceeds it makes the interval's
// records SKIPDATA, as the clouds do where they cannot keep up.
const maxFlows = 100_000

// Log gathers the packets of one interval.
type Log struct {
	plan    *topology.Plan
	enis    []*topology.ENI
	byName  map[string]*topology.ENI
	flows   map[key]*flow
	skipped bool
	began   time.Time
}

type key struct {
	eni      *topology.ENI
	src, dst netip.AddrPort
	protocol uint8
	sent     bool
	reject   bool
}

type flow struct {
	key
	packets, bytes uint64
	first, last    int64 // nanoseconds
	flags          uint8
}

// New makes a log of the ENIs that are named, or of all where none is. It keeps the
// plan, which must not change. The first interval begins at began.
func New(plan *topology.Plan, names []string, began time.Time) (*Log, error) {
	l := &Log{plan: plan, byName: map[string]*topology.ENI{}, flows: map[key]*flow{}, began: began}
	enis := plan.ENIs()
	if len(names) > 0 {
		enis = nil
		for _, name := range names {
			eni, err := plan.ENI(name)
			if err != nil {
				return nil, err
			}
			enis = append(enis, eni)
		}
	}
	for _, eni := range enis {
		l.enis = append(l.enis, eni)
		l.byName[eni.Name] = eni
	}
	return l, nil
}

// Add counts a packet of a capture. What is no IP packet is in no flow log.
func (l *Log) Add(p *pcap.Packet) {
	eni := l.byName[p.Interface]
	if eni == nil {
		return
	}
	var parsed packet.Packet
	switch packet.Parse(p.Data, &parsed) {
	case packet.ARP, packet.NotIP, packet.Malformed:
		return
	}
	src, dst := parsed.Addrs(p.Data)
	_, rejected := pcap.DroppedBy(p.Comment)
	k := key{
		eni: eni, src: netip.AddrPortFrom(src, parsed.SrcPort), dst: netip.AddrPortFrom(dst, parsed.DstPort),
		protocol: parsed.Protocol, sent: p.Direction == pcap.Sent, reject: rejected,
	}
	f := l.flows[k]
	if f == nil {
		if len(l.flows) >= maxFlows {
			l.skipped = true
			return
		}
		f = &flow{key: k, first: p.Time}
		l.flows[k] = f
	}
	f.packets++
	f.bytes += uint64(parsed.Length())
	f.last = p.Time
	f.flags |= loggedFlags(parsed.Flags)
}

// loggedFlags are the flags that flow logs have: FIN, SYN and RST, and ACK beside
// SYN alone.
func loggedFlags(flags uint8) uint8 {
	kept := flags & (packet.FlagFIN | packet.FlagSYN | packet.FlagRST)
	if flags&packet.FlagSYN != 0 {
		kept |= flags & packet.FlagACK
	}
	return kept
}

// Skip says that packets of this interval are missing.
func (l *Log) Skip() { l.skipped = true }

// Record is one record. Those of an interface without traffic, and those that say
// that something is missing, have no flow: their Status says so.
type Record struct {
	ENI      *topology.ENI
	Account  string // the identifier
	Src, Dst netip.AddrPort
	Protocol uint8
	Sent     bool // by the interface
	Reject   bool
	Packets  uint64
	Bytes    uint64 // of IP packets
	Flags    uint8
	Start    int64 // Unix seconds
	End      int64
	Status   string // OK, NODATA or SKIPDATA
}

// Cut ends the interval at now, begins the next one, and returns the records of the
// one that ended, in a fixed order.
func (l *Log) Cut(now time.Time) []Record {
	var out []Record
	seen := map[*topology.ENI]bool{}
	for _, f := range l.flows {
		seen[f.eni] = true
		out = append(out, Record{
			ENI: f.eni, Account: l.accountOf(f.eni), Src: f.src, Dst: f.dst, Protocol: f.protocol,
			Sent: f.sent, Reject: f.reject, Packets: f.packets, Bytes: f.bytes, Flags: f.flags,
			Start: f.first / 1e9, End: f.last / 1e9, Status: "OK",
		})
	}
	slices.SortFunc(out, func(a, b Record) int {
		return cmp.Or(cmp.Compare(a.ENI.Name, b.ENI.Name), cmp.Compare(a.Start, b.Start), a.Src.Compare(b.Src), a.Dst.Compare(b.Dst),
			cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(fmt.Sprint(a.Sent, a.Reject), fmt.Sprint(b.Sent, b.Reject)))
	})
	for _, eni := range l.enis {
		status := ""
		switch {
		case l.skipped:
			status = "SKIPDATA"
		case !seen[eni]:
			status = "NODATA"
		default:
			continue
		}
		out = append(out, Record{ENI: eni, Account: l.accountOf(eni), Start: l.began.Unix(), End: now.Unix(), Status: status})
	}
	l.flows, l.skipped, l.began = map[key]*flow{}, false, now
	return out
}

func (l *Log) accountOf(eni *topology.ENI) string {
	if vpc, err := l.plan.VPC(eni.VPC); err == nil {
		for _, a := range l.plan.Accounts {
			if a.Name == vpc.Account {
				return a.ID
			}
		}
	}
	return "unknown"
}

func (l *Log) vpcID(eni *topology.ENI) string {
	if vpc, err := l.plan.VPC(eni.VPC); err == nil {
		return vpc.ID
	}
	return ""
}

func (l *Log) subnetID(eni *topology.ENI) string {
	if vpc, err := l.plan.VPC(eni.VPC); err == nil {
		for _, s := range vpc.Subnets {
			if s.Name == eni.Subnet {
				return s.ID
			}
		}
	}
	return ""
}

func action(r Record) string {
	if r.Reject {
		return "REJECT"
	}
	return "ACCEPT"
}

// Format is how a cloud writes records.
type Format struct {
	Name   string
	Header string // the first line of a file, or ""
	Line   func(*Log, Record) string
}

// Formats are the formats that there are.
var Formats = []Format{
	{"aws", awsFields, (*Log).AWS},
	{"alibaba", "", (*Log).Alibaba},
}

// FormatOf is the format of a name; "" is that of the plan's cloud.
func FormatOf(name string, plan *topology.Plan) (Format, bool) {
	for _, f := range Formats {
		if f.Name == cmp.Or(name, plan.Profile.FlowLogs) {
			return f, true
		}
	}
	return Format{}, false
}

// awsFields are the fields of versions 2 to 5, in the order of AWS's documentation.
const awsFields = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action " +
	"log-status vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr region az-id sublocation-type " +
	"sublocation-id pkt-src-aws-service pkt-dst-aws-service flow-direction traffic-path"

// AWS is a record as a line of AWS's format; "-" is a field without a value.
func (l *Log) AWS(r Record) string {
	value := map[string]string{
		"version": "5", "account-id": r.Account, "interface-id": r.ENI.ID, "log-status": r.Status,
		"start": strconv.FormatInt(r.Start, 10), "end": strconv.FormatInt(r.End, 10),
		"vpc-id": l.vpcID(r.ENI), "subnet-id": l.subnetID(r.ENI), "region": l.plan.Region,
		"az-id": topology.ZoneID(l.plan.Region, r.ENI.Zone),
	}
	if r.Status == "OK" {
		for name, v := range l.ofFlow(r) {
			value[name] = v
		}
		value["type"] = "IPv4"
		if r.Src.Addr().Is6() {
			value["type"] = "IPv6"
		}
		value["pkt-srcaddr"], value["pkt-dstaddr"] = value["srcaddr"], value["dstaddr"]
		value["flow-direction"] = "ingress"
		if r.Sent {
			value["flow-direction"] = "egress"
			value["traffic-path"] = "1" // to something in the same VPC
		}
	}
	var fields []string
	for name := range strings.FieldsSeq(awsFields) {
		fields = append(fields, cmp.Or(value[name], "-"))
	}
	return strings.Join(fields, " ")
}

// Alibaba is a record as a line of JSON with the names of Alibaba Cloud's fields.
func (l *Log) Alibaba(r Record) string {
	value := map[string]string{
		"__topic__": "flow_log", "version": "1", "account-id": r.Account, "eni-id": r.ENI.ID, "vm-id": "",
		"vpc-id": l.vpcID(r.ENI), "vswitch-id": l.subnetID(r.ENI), "region": l.plan.Region,
		"start": strconv.FormatInt(r.Start, 10), "end": strconv.FormatInt(r.End, 10), "log-status": r.Status,
	}
	if r.Status == "OK" {
		for name, v := range l.ofFlow(r) {
			value[name] = v
		}
		value["direction"] = "in"
		if r.Sent {
			value["direction"] = "out"
		}
	}
	line, err := json.Marshal(value)
	if err != nil {
		panic("texts are JSON: " + err.Error())
	}
	return string(line)
}

// ofFlow are the fields that both clouds call the same.
func (l *Log) ofFlow(r Record) map[string]string {
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	return map[string]string{
		"srcaddr": r.Src.Addr().String(), "dstaddr": r.Dst.Addr().String(),
		"srcport": number(uint64(r.Src.Port())), "dstport": number(uint64(r.Dst.Port())),
		"protocol": number(uint64(r.Protocol)), "packets": number(r.Packets), "bytes": number(r.Bytes),
		"action": action(r), "tcp-flags": number(uint64(r.Flags)),
	}
}
