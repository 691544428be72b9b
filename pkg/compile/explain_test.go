package compile_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/lb"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Each row is a lab in a certain state and a question; the answer is where the
// packet stops, and the session table, given the real packet, says the same.
func TestExplainSaysWhatTheTableDoes(t *testing.T) {
	accept := func(t *testing.T, plane *control.Plane) {
		_, err := plane.Do(topology.Operation{Verb: "accept", Service: "api", Endpoint: "to-api"})
		require.NoError(t, err)
		plane.Report(plane.Revision())
	}
	reject := func(t *testing.T, plane *control.Plane) {
		accept(t, plane)
		_, err := plane.Do(topology.Operation{Verb: "reject", Service: "api", Endpoint: "to-api"})
		require.NoError(t, err)
		plane.Report(plane.Revision())
	}
	for _, tt := range []struct {
		name      string
		edit      string // "old=>new" in the topology's text
		state     func(*testing.T, *control.Plane)
		unhealthy []string // servers
		to        string
		stops     string // "" where it passes
		verdict   fullnat.Verdict
		says      string // of the station that stops, or of the last one
	}{
		{name: "all is well", state: accept, to: "to-api", says: "allow tcp 443 from 10.0.0.0/16"},
		{name: "nobody has accepted", to: "to-api", stops: "connection", verdict: fullnat.NotConnected, says: "pendingAcceptance: its provider has not accepted it"},
		{name: "the provider rejected it", state: reject, to: "to-api", stops: "connection", verdict: fullnat.NotConnected, says: "its provider rejected it"},
		{name: "the port has no listener", state: accept, to: "to-api:80", stops: "listener", verdict: fullnat.NoListener, says: "does not listen on tcp 80"},
		{name: "the protocol has no listener", state: accept, to: "udp://to-api:443", stops: "listener", verdict: fullnat.NoListener, says: "does not listen on udp 443"},
		{
			name: "the endpoint's group does not let it in", edit: "source: 10.0.0.0/16=>source: 10.0.1.11/32", state: accept,
			to: "to-api", stops: "security group", verdict: fullnat.Denied, says: `to-api: no rule of security group "app" allows it`,
		},
		{
			name: "the zone's server is unhealthy, and zones keep to themselves", state: accept, unhealthy: []string{"provider/api-a"},
			edit: "api: {vpc: provider,=>api: {vpc: provider, fail_open: false,",
			to:   "to-api@eu-central-1a", stops: "servers", verdict: fullnat.NoBackend, says: "api-a is unhealthy (it does not answer); api-b is in another zone",
		},
		{
			name: "no server of the zone is healthy, and the group opens", state: accept, unhealthy: []string{"provider/api-a"},
			to: "to-api@eu-central-1a", says: "api-a: security group \"api\": allow",
		},
		{
			name: "another zone's server takes it where zones share", edit: "type: nlb,=>type: nlb, cross_zone: true,", state: accept,
			unhealthy: []string{"provider/api-a"}, to: "to-api@eu-central-1a", says: "api-b: security group \"api\": allow",
		},
		{
			name: "weight 0 takes nothing", edit: "{instance: api-b, port: 443}=>{instance: api-b, port: 443, weight: 0}", state: accept,
			to: "to-api@eu-central-1b", stops: "servers", verdict: fullnat.NoBackend, says: "api-b has weight 0",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata", "two-zones.yaml"))
			require.NoError(t, err)
			if before, after, ok := strings.Cut(tt.edit, "=>"); ok {
				require.Contains(t, string(text), before)
				text = []byte(strings.Replace(string(text), before, after, 1))
			}
			s := situationOf(t, text, tt.state, tt.unhealthy)
			e, err := s.Explain("web", tt.to)
			require.NoError(t, err)
			require.NotEmpty(t, e.Ways)
			require.Equal(t, tt.stops == "", e.Passes)
			for _, way := range e.Ways {
				last := way.Stations[len(way.Stations)-1]
				if stop := way.Stops(); tt.stops == "" {
					require.Nil(t, stop)
				} else {
					require.NotNil(t, stop)
					require.Equal(t, tt.stops, stop.Name)
					require.Equal(t, tt.verdict.String(), stop.Verdict)
					last = *stop
				}
				require.Contains(t, last.Text, tt.says)
				require.Equal(t, tt.verdict, verdictOf(t, s, e, way.Address))
			}
		})
	}
}

// situationOf is a topology after state, with servers that do not answer.
func situationOf(t *testing.T, text []byte, state func(*testing.T, *control.Plane), unhealthy []string) compile.Situation {
	t.Helper()
	plan, err := topofile.Parse("two-zones.yaml", text)
	require.NoError(t, err)
	plane, err := control.NewPlane(plan, func() time.Time { return morning })
	require.NoError(t, err)
	if state != nil {
		state(t, plane)
	}
	s := compile.Situation{Plan: plan, State: plane.State(), Numbers: compile.Numbers{}}
	for _, eni := range plan.ENIs() {
		s.Numbers[eni.Device] = packet.ENI(len(s.Numbers) + 1)
	}
	s.Servers = func(group string) (health []lb.ServerHealth) {
		sg, err := plan.ServerGroup(group)
		require.NoError(t, err)
		for _, server := range sg.Servers {
			h := lb.ServerHealth{Instance: server.Instance, Server: netip.AddrPortFrom(server.IP, server.Port), Weight: server.Weight, Healthy: true}
			if slices.Contains(unhealthy, server.Instance) && sg.HealthCheck.Protocol != "none" {
				h.State, h.Healthy, h.Reason = lb.Unhealthy, false, "it does not answer"
			}
			health = append(health, h)
		}
		return health
	}
	s.Names = compile.Names(plan, s.State, s.Health)
	s.Desired = compile.Plan(plan, s.State, s.Numbers, func(_, group, zone string) compile.Chooser {
		sg, err := plan.ServerGroup(group)
		require.NoError(t, err)
		servers := lb.NewGroup(*sg)
		for _, server := range sg.Servers {
			at := netip.AddrPortFrom(server.IP, server.Port)
			for range sg.HealthCheck.Unhealthy {
				var result error
				if slices.Contains(unhealthy, server.Instance) {
					result = errors.New("it does not answer")
				}
				servers.Report(at, result, morning)
			}
		}
		picker := servers.Picker(zone)
		return compile.Chooser{Pick: func(flow packet.FiveTuple, seq uint32) (netip.AddrPort, bool) {
			return picker.Pick(packet.FiveTuple{Src: flow.Src, Dst: flow.Dst}, seq)
		}}
	})
	return s
}

// verdictOf hands the session table the packet that was explained.
func verdictOf(t *testing.T, s compile.Situation, e *status.Explanation, dst netip.Addr) fullnat.Verdict {
	t.Helper()
	table, err := fullnat.New(fullnat.Options{Seed: 1})
	require.NoError(t, err)
	defer func() { require.NoError(t, table.Close()) }()
	require.NoError(t, table.Configure(s.Desired.Dataplane.NAT, 0))
	instance, err := s.Plan.Instance(e.From)
	require.NoError(t, err)
	ingress := packet.ENI(0)
	for _, eni := range s.Plan.ENIs() {
		for _, owned := range s.Desired.Dataplane.Owned {
			if owned.ENI == s.Numbers[eni.Device] && eni.VPC == instance.VPC && slices.Contains(owned.Addrs, dst) {
				ingress = owned.ENI
			}
		}
	}
	frames := []packet.Frame{{ENI: ingress, Data: firstFrame(t, e.Protocol, netip.AddrPortFrom(instance.IP, 40000), netip.AddrPortFrom(dst, e.Port))}}
	verdicts := make([]fullnat.Verdict, 1)
	table.Forward(frames, verdicts, 0)
	return verdicts[0]
}

// firstFrame is a SYN, or a datagram.
func firstFrame(t *testing.T, protocol string, src, dst netip.AddrPort) []byte {
	t.Helper()
	eth := &layers.Ethernet{SrcMAC: mac(src.Addr()), DstMAC: mac(dst.Addr()), EthernetType: layers.EthernetTypeIPv4}
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: src.Addr().AsSlice(), DstIP: dst.Addr().AsSlice()}
	udp := &layers.UDP{SrcPort: layers.UDPPort(src.Port()), DstPort: layers.UDPPort(dst.Port())}
	tcp := &layers.TCP{SrcPort: layers.TCPPort(src.Port()), DstPort: layers.TCPPort(dst.Port()), Seq: 1, Window: 65535, SYN: true}
	require.NoError(t, udp.SetNetworkLayerForChecksum(ip))
	require.NoError(t, tcp.SetNetworkLayerForChecksum(ip))
	above := gopacket.SerializableLayer(udp)
	if protocol == "tcp" {
		ip.Protocol, above = layers.IPProtocolTCP, tcp
	}
	b := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	require.NoError(t, gopacket.SerializeLayers(b, opts, eth, ip, above))
	return b.Bytes()
}

func mac(addr netip.Addr) net.HardwareAddr {
	of := packet.MACOf(addr)
	return of[:]
}

// Each row is a question that ends before the data plane, or that cannot be
// understood.
func TestExplainBeforeTheDataPlane(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "two-zones.yaml"))
	require.NoError(t, err)
	s := situationOf(t, text, nil, nil)
	for _, tt := range []struct {
		name     string
		from, to string
		says     string // of the station that stops
		remedy   string
		err      string
	}{
		{name: "an address that nobody has", from: "web", to: "10.0.1.99:80", says: "nobody in VPC consumer has the address 10.0.1.99"},
		{name: "an address of another VPC", from: "web", to: "10.0.2.10:443", says: "10.0.2.10 is instance api-b of VPC provider, and VPC consumer has no route to it", remedy: "reach it through an endpoint in VPC consumer"},
		{name: "an address outside", from: "web", to: "1.1.1.1:80", says: "1.1.1.1 is outside of VPC consumer (10.0.0.0/16), which has no route out"},
		{name: "the name of an instance elsewhere", from: "web", to: "api-a.provider.internal:443", says: "the resolver of VPC consumer answers REFUSED for api-a.provider.internal", remedy: "names of instances are known in their own VPC alone; use the name of an endpoint in VPC consumer"},
		{name: "a load balancer's own address", from: "api-a", to: "nlb.ip:443", says: "api-a is api-a itself, which sees its clients' addresses and cannot be its own client", remedy: "ask from another instance"},
		{name: "an unknown instance", from: "wob", to: "to-api", err: `there is no instance "wob"`},
		{name: "an unknown reference", from: "web", to: "to-opi", err: `there is no endpoint, load balancer or instance "to-opi"`},
		{name: "no port where none can be told", from: "web", to: "10.0.1.99", err: "10.0.1.99 has no tcp listener to tell the port by: write 10.0.1.99:PORT"},
		{name: "a port that is not a number", from: "web", to: "to-api:http", err: `"to-api:http": "http" is not a port: want 1 to 65535`},
		{name: "an unknown protocol", from: "web", to: "ftp://to-api/", err: `"ftp://to-api/": "ftp" cannot be followed: want tcp, udp, http or https`},
		{name: "nothing", from: "web", to: "http://", err: `"http://" names no place: write for example ep1, ep1:80 or http://ep1/`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := s.Explain(tt.from, tt.to)
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			require.False(t, e.Passes)
			stop := &e.Name
			if len(e.Ways) > 0 {
				stop = e.Ways[0].Stops()
			}
			require.Contains(t, stop.Text, tt.says)
			require.Equal(t, tt.remedy, stop.Remedy)
		})
	}
}

// What a packet would meet is asked of the ports that are in use now.
func TestExplainSaysThatNATPortsAreUsedUp(t *testing.T) {
	s := situationOf(t, []byte(onePort), nil, nil)
	s.Desired.Dataplane.NAT.PortsPerTarget = 1
	table, err := fullnat.New(fullnat.Options{Seed: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, table.Close()) })
	require.NoError(t, table.Configure(s.Desired.Dataplane.NAT, 0))
	eni, err := s.Plan.ENI("ep")
	require.NoError(t, err)
	instance, err := s.Plan.Instance("client")
	require.NoError(t, err)
	open := func(port uint16) fullnat.Verdict {
		frame := firstFrame(t, "tcp", netip.AddrPortFrom(instance.IP, port), netip.AddrPortFrom(eni.IP, 80))
		frames, verdicts := []packet.Frame{{ENI: s.Numbers[eni.Device], Data: frame}}, make([]fullnat.Verdict, 1)
		table.Forward(frames, verdicts, 0)
		return verdicts[0]
	}
	for _, want := range []fullnat.Verdict{fullnat.Forwarded, fullnat.NoNATPort} {
		s.Ports = table.PortUse(nil, 100)
		e, err := s.Explain("client", "ep")
		require.NoError(t, err)
		require.Equal(t, want == fullnat.Forwarded, e.Passes)
		if stop := e.Ways[0].Stops(); !e.Passes {
			require.Equal(t, "NAT ports", stop.Name)
			require.Equal(t, want.String(), stop.Verdict)
		}
		require.Equal(t, want, open(40000+uint16(want)))
	}
}

const onePort = `
name: ports
cloud: alibaba
region: eu-central-1
accounts: [a]
vpcs:
  here: {cidr: 10.0.0.0/16, subnets: {h: {zone: eu-central-1b, cidr: 10.0.1.0/24}}, instances: {client: {subnet: h}}}
  there:
    cidr: 10.1.0.0/16
    subnets: {t: {zone: eu-central-1b, cidr: 10.1.1.0/24}}
    security_groups: {web: {ingress: [{protocol: tcp, ports: 80, source: 0.0.0.0/0}]}}
    instances: {web: {subnet: t, security_groups: [web]}}
server_groups:
  web: {vpc: there, servers: [{instance: web, port: 80}]}
load_balancers:
  nlb: {type: nlb, vpc: there, subnets: [t], listeners: [{protocol: tcp, port: 80, server_group: web}]}
endpoint_services: {svc: {resources: [nlb], auto_accept: true}}
endpoints: {ep: {service: svc, vpc: here, subnets: [h]}}
`

func TestExplainSaysThatAHostIsLost(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "two-zones.yaml"))
	require.NoError(t, err)
	accept := func(t *testing.T, plane *control.Plane) {
		_, err := plane.Do(topology.Operation{Verb: "accept", Service: "api", Endpoint: "to-api"})
		require.NoError(t, err)
		plane.Report(plane.Revision())
	}
	s := situationOf(t, text, accept, nil)
	s.ZonesLost = map[string]string{"eu-central-1b": "host b does not answer"}
	for to, want := range map[string]string{
		"to-api@eu-central-1a": "",
		"to-api@eu-central-1b": "to-api@eu-central-1b is in zone eu-central-1b: host b does not answer",
	} {
		e, err := s.Explain("web", to)
		require.NoError(t, err)
		require.Equal(t, want == "", e.Passes, to)
		if want != "" {
			require.Equal(t, want, e.Ways[0].Stops().Text)
		}
	}
}
