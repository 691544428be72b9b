package flowlog_test

import (
	"encoding/json"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/flowlog"
	"github.com/plinksim/plinksim/pkg/pcap"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

func plan(t *testing.T, cloud, zone string) *topology.Plan {
	t.Helper()
	p, err := topofile.Parse("lab.yaml", []byte(`
name: lab
cloud: `+cloud+`
region: `+zone[:len(zone)-1]+`
vpcs:
  here:
    cidr: 10.0.0.0/16
    subnets: {h: {zone: `+zone+`, cidr: 10.0.1.0/24}}
    instances: {web: {subnet: h, ip: 10.0.1.10}}
  there:
    cidr: 10.0.0.0/16
    subnets: {t: {zone: `+zone+`, cidr: 10.0.1.0/24}}
    instances: {db: {subnet: t, ip: 10.0.1.10, services: [{echo: 80}]}}
server_groups: {g: {vpc: there, servers: [{instance: db, port: 80}]}}
load_balancers: {lb: {type: nlb, vpc: there, subnets: [t], listeners: [{protocol: tcp, port: 80, server_group: g}]}}
endpoint_services: {svc: {resources: [lb], auto_accept: true}}
endpoints: {ep: {service: svc, vpc: here, subnets: [h]}}
`))
	require.NoError(t, err)
	return p
}

// frame is a TCP segment with flags such as "SA" and n bytes.
func frame(t *testing.T, src, dst, flags string, n int) []byte {
	t.Helper()
	from, to := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice()}
	tcp := &layers.TCP{SrcPort: layers.TCPPort(from.Port()), DstPort: layers.TCPPort(to.Port()), Window: 100,
		SYN: strings.Contains(flags, "S"), ACK: strings.Contains(flags, "A"), FIN: strings.Contains(flags, "F"),
		RST: strings.Contains(flags, "R"), PSH: strings.Contains(flags, "P")}
	require.NoError(t, tcp.SetNetworkLayerForChecksum(ip))
	out := gopacket.NewSerializeBuffer()
	require.NoError(t, gopacket.SerializeLayers(out, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4},
		ip, tcp, gopacket.Payload(make([]byte, n))))
	return out.Bytes()
}

var noon = time.Unix(1_800_000_000, 0)

// talk is a log with a connection through ep, and a SYN that was dropped.
func talk(t *testing.T, plan *topology.Plan) *flowlog.Log {
	t.Helper()
	eni := plan.Endpoints[0].Zones[0].ENI
	log, err := flowlog.New(plan, []string{"ep"}, noon)
	require.NoError(t, err)
	const web = "10.0.1.10:40000"
	ep := netip.AddrPortFrom(eni.IP, 80).String()
	add := func(after time.Duration, src, dst, flags string, n int, direction pcap.Direction, comment string) {
		log.Add(&pcap.Packet{Time: noon.Add(after).UnixNano(), Data: frame(t, src, dst, flags, n), Interface: eni.Name,
			Direction: direction, Comment: comment})
	}
	add(1*time.Second, web, ep, "S", 0, pcap.Received, "leaves lb@z as tcp")
	add(1*time.Second, ep, web, "SA", 0, pcap.Sent, "came to lb@z")
	add(2*time.Second, web, ep, "PA", 100, pcap.Received, "leaves")
	add(3*time.Second, ep, web, "FA", 10, pcap.Sent, "came")
	add(4*time.Second, "10.0.1.11:5", ep, "S", 0, pcap.Received, "dropped: Denied")
	log.Add(&pcap.Packet{Time: noon.UnixNano(), Data: make([]byte, 60), Interface: eni.Name})     // no IP packet
	log.Add(&pcap.Packet{Time: noon.UnixNano(), Data: frame(t, web, ep, "S", 0), Interface: "x"}) // not of the log
	return log
}

func TestFlowLogsOfAWSAreLinesOfItsFields(t *testing.T) {
	p := plan(t, "aws", "us-east-1a")
	log := talk(t, p)
	eni, vpc := p.Endpoints[0].Zones[0].ENI, p.VPCs[0]
	fields := strings.Fields(flowlog.Formats[0].Header)
	require.Len(t, fields, 29)
	var got []map[string]string
	for _, r := range log.Cut(noon.Add(time.Minute)) {
		values := strings.Split(log.AWS(r), " ")
		require.Len(t, values, len(fields))
		m := map[string]string{}
		for i, f := range fields {
			m[f] = values[i]
		}
		got = append(got, m)
	}
	require.Len(t, got, 3)
	in, out, denied := got[0], got[1], got[2]
	if in["flow-direction"] == "egress" {
		in, out = out, in
	}
	require.Equal(t, map[string]string{
		"version": "5", "account-id": p.Accounts[0].ID, "interface-id": eni.ID, "srcaddr": "10.0.1.10", "dstaddr": eni.IP.String(),
		"srcport": "40000", "dstport": "80", "protocol": "6", "packets": "2", "bytes": "180", "start": "1800000001", "end": "1800000002",
		"action": "ACCEPT", "log-status": "OK", "vpc-id": vpc.ID, "subnet-id": vpc.Subnets[0].ID, "instance-id": "-", "tcp-flags": "2",
		"type": "IPv4", "pkt-srcaddr": "10.0.1.10", "pkt-dstaddr": eni.IP.String(), "region": "us-east-1", "az-id": "use1-az1",
		"sublocation-type": "-", "sublocation-id": "-", "pkt-src-aws-service": "-", "pkt-dst-aws-service": "-",
		"flow-direction": "ingress", "traffic-path": "-",
	}, in)
	require.Equal(t, "19", out["tcp-flags"], "SYN, ACK and FIN")
	require.Equal(t, "90", out["bytes"])
	require.Equal(t, "egress", out["flow-direction"])
	require.Equal(t, "REJECT", denied["action"])
	format, ok := flowlog.FormatOf("", p)
	require.True(t, ok)
	require.Equal(t, "aws", format.Name)
	require.Equal(t, "10.0.1.11", denied["srcaddr"])
}

func TestFlowLogsOfAlibabaCloudAreObjects(t *testing.T) {
	p := plan(t, "alibaba", "eu-central-1b")
	log := talk(t, p)
	eni := p.Endpoints[0].Zones[0].ENI
	records := log.Cut(noon.Add(time.Minute))
	require.Len(t, records, 3)
	var denied map[string]string
	require.NoError(t, json.Unmarshal([]byte(log.Alibaba(records[2])), &denied))
	require.Equal(t, map[string]string{
		"__topic__": "flow_log", "version": "1", "account-id": p.Accounts[0].ID, "eni-id": eni.ID, "vm-id": "", "vpc-id": p.VPCs[0].ID,
		"vswitch-id": p.VPCs[0].Subnets[0].ID, "region": "eu-central-1", "srcaddr": "10.0.1.11", "srcport": "5",
		"dstaddr": eni.IP.String(), "dstport": "80", "protocol": "6", "direction": "in", "packets": "1", "bytes": "40",
		"start": "1800000004", "end": "1800000004", "log-status": "OK", "action": "REJECT", "tcp-flags": "2",
	}, denied)
}

func TestAnIntervalWithoutTrafficOrWithMissingPacketsSaysSo(t *testing.T) {
	p := plan(t, "aws", "us-east-1a")
	log := talk(t, p)
	log.Skip()
	status := func() (out []string) {
		for _, r := range log.Cut(noon.Add(time.Minute)) {
			out = append(out, r.Status)
		}
		return out
	}
	require.Equal(t, []string{"OK", "OK", "OK", "SKIPDATA"}, status())
	require.Equal(t, []string{"NODATA"}, status(), "what was cut is not there again")
	record := log.Cut(noon.Add(2 * time.Minute))[0]
	require.Contains(t, log.AWS(record), " - - - - - - - 1800000060 1800000120 - NODATA ")

	_, err := flowlog.New(p, []string{"nosuch"}, noon)
	require.ErrorContains(t, err, "nosuch")
}

func TestTooManyFlowsAreSkippedAndNotRemembered(t *testing.T) {
	testenv.NeedNoRace(t) // one goroutine
	p := plan(t, "aws", "us-east-1a")
	log, err := flowlog.New(p, nil, noon)
	require.NoError(t, err)
	name := p.Endpoints[0].Zones[0].ENI.Name
	data := frame(t, "10.0.1.10:1", "10.0.1.20:80", "S", 0)
	for i := range 100_001 {
		data[26+2], data[26+3], data[34+1] = byte(i>>8), byte(i), byte(i>>16) // addresses and ports, whatever the checksum
		log.Add(&pcap.Packet{Data: data, Interface: name})
	}
	records := log.Cut(noon)
	require.Len(t, records, 100_000+len(p.ENIs()))
	require.Equal(t, "SKIPDATA", records[len(records)-1].Status)
}
