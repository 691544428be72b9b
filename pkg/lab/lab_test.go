package lab_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

const scenario = "../../testdata/topologies/alibaba-clb.yaml"

// upFake runs the scenario without a kernel.
func upFake(t *testing.T, store lab.Store) (*lab.Lab, *fakeMachine) {
	t.Helper()
	plan, err := topofile.Load(scenario)
	require.NoError(t, err)
	machine := newFakeMachine()
	l, err := lab.Start(t.Context(), lab.Config{Plan: plan, Machine: machine, Store: store})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, l.Close(context.Background()))
		require.Zero(t, machine.open(), "sockets that are still open")
	})
	return l, machine
}

func decide(t *testing.T, l *lab.Lab, verb topology.Verb) {
	t.Helper()
	_, err := l.Do(t.Context(), topology.Operation{Verb: verb, Service: "svc1", Endpoint: "ep1"}, 10*time.Second)
	require.NoError(t, err)
}

// A whole lab runs as an ordinary user: names, explain and packets follow what
// the provider decides.
func TestALabRunsOnAnyMachine(t *testing.T) {
	l, machine := upFake(t, nil)
	plan := l.Plan()
	endpoint, node := plan.Endpoints[0].Zones[0].ENI, plan.LoadBalancers[0].Nodes[0].ENI
	client, err := l.Client("ecs1")
	require.NoError(t, err)
	consumer := netip.MustParseAddrPort("10.0.0.182:40000")

	answer, err := l.Query(t.Context(), "ecs1", "ep1", "A")
	require.NoError(t, err)
	require.Contains(t, answer.Steps[0].Addresses[0].Reason, "its connection is Wait in this zone")
	e, err := l.Explain("ecs1", "ep1:80")
	require.NoError(t, err)
	require.False(t, e.Passes)
	inject(machine, endpoint, consumer, netip.AddrPortFrom(endpoint.IP, 80), packet.FlagSYN)
	require.Eventually(t, func() bool { return l.Status().Dataplane.Verdicts["NotConnected"] == 1 }, 5*time.Second, time.Millisecond)

	decide(t, l, topology.VerbAccept)
	require.Equal(t, "Connected", l.Status().Endpoints[0].State)
	addrs, err := client.Resolver().LookupHost(t.Context(), plan.Endpoints[0].Domain)
	require.NoError(t, err)
	require.Equal(t, []string{endpoint.IP.String()}, addrs)
	e, err = l.Explain("ecs1", "ep1:80")
	require.NoError(t, err)
	require.True(t, e.Passes, "%+v", e)

	inject(machine, endpoint, consumer, netip.AddrPortFrom(endpoint.IP, 80), packet.FlagSYN)
	out, flow := receive(t, machine)
	require.Equal(t, machine.number(node), out, "it leaves at the load balancer's node")
	require.Contains(t, plan.LoadBalancers[0].Nodes[0].Local, flow.Src.Addr(), "translated to a NAT IP")
	require.Contains(t, []string{"192.168.24.200:80", "192.168.24.2:80"}, flow.Dst.String())
	inject(machine, node, flow.Dst, flow.Src, packet.FlagSYN|packet.FlagACK)
	out, flow = receive(t, machine)
	require.Equal(t, machine.number(endpoint), out, "the answer leaves at the endpoint")
	require.Equal(t, netip.AddrPortFrom(endpoint.IP, 80), flow.Src)
	require.Equal(t, consumer, flow.Dst)
	require.Len(t, l.Sessions(), 1)

	decide(t, l, topology.VerbReject)
	require.Equal(t, "Disconnected", l.Status().Endpoints[0].State)
	e, err = l.Explain("ecs1", "ep1:80")
	require.NoError(t, err)
	require.False(t, e.Passes)
}

// Programs of the lab answer on the spaces, and so do its counters.
func TestServicesAnswerInTheirSpaces(t *testing.T) {
	l, _ := upFake(t, nil)
	client, err := l.Client("ecs3")
	require.NoError(t, err)
	resp, err := client.HTTP().Get("http://192.168.24.200/")
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "ecs2\n", string(body))

	status := l.Status()
	require.Equal(t, "memory", status.Dir)
	for _, server := range status.ServerGroups[0].Servers {
		require.True(t, server.Healthy, "%s is probed from its VPC", server.Instance)
	}
	_, err = l.Client("nobody")
	require.Error(t, err)
}

// What the lab needs later is in its store, so another process goes on with it.
func TestALabGoesOnWithWhatItsStoreHas(t *testing.T) {
	store := &lab.MemoryStore{}
	plan, err := topofile.Load(scenario)
	require.NoError(t, err)
	l, err := lab.Start(t.Context(), lab.Config{Plan: plan, Machine: newFakeMachine(), Store: store})
	require.NoError(t, err)
	decide(t, l, topology.VerbAccept)
	require.NoError(t, l.TakeDown("ep1", true))
	require.NoError(t, l.Pace().SetTransition(time.Millisecond))
	require.NoError(t, l.Close(context.Background()))

	next, _ := upFake(t, store)
	require.Equal(t, time.Millisecond, next.Pace().Transition())
	c, ok := next.Plane().State().Connection("svc1", "ep1")
	require.True(t, ok)
	require.Equal(t, control.Connected, c.State)
	require.Equal(t, "blackhole", next.Faults().ENIs[0].Fault)
	require.Empty(t, next.Status().Problems)
}

// A change is there as a whole or not at all, whatever of it fails.
func TestAChangeThatFailsIsTakenBack(t *testing.T) {
	l, machine := upFake(t, nil)
	text, err := os.ReadFile(scenario)
	require.NoError(t, err)
	before, sockets := textOf(t, l.Plan()), machine.open()
	for _, tt := range []struct {
		name, from, to string
		fail           error
		want           string
	}{
		{name: "the machine cannot", from: "body: ecs2", to: "body: two", fail: errors.New("no room"), want: "no room"},
		{name: "a program cannot start here", from: "{http: 80, body: ecs2}", to: "{command: [sleep, 1000]}", want: "needs a kernel lab"},
		{name: "it is another lab", from: "name: alibaba-clb", to: "name: other", want: `the lab is "alibaba-clb"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			plan, err := topofile.Parse("changed.yaml", bytes.Replace(text, []byte(tt.from), []byte(tt.to), 1))
			require.NoError(t, err)
			machine.mu.Lock()
			machine.fail = tt.fail
			machine.mu.Unlock()
			changed, err := l.Apply(t.Context(), plan, func(int, int, string) {})
			require.ErrorContains(t, err, tt.want)
			require.False(t, changed)
			require.Equal(t, before, textOf(t, l.Plan()))
			require.Equal(t, sockets, machine.open(), "the same programs listen")
		})
	}
	plan, err := topofile.Parse("changed.yaml", bytes.Replace(text, []byte("body: ecs2"), []byte("body: two"), 1))
	require.NoError(t, err)
	changed, err := l.Apply(t.Context(), plan, func(int, int, string) {})
	require.NoError(t, err)
	require.True(t, changed)
}

// The checks of a file that need no packet through an endpoint pass.
func TestChecksRunOnAnyMachine(t *testing.T) {
	text, err := os.ReadFile(scenario)
	require.NoError(t, err)
	head, _, found := bytes.Cut(text, []byte("\nchecks:\n"))
	require.True(t, found)
	plan, err := topofile.Parse(filepath.Base(scenario), append(head, `
checks:
  - {name: the provider accepts, accept: {service: svc1, endpoint: ep1}}
  - {name: the name leads to the ENI, from: ecs1, resolve: "${ep1}", expect: {addresses: ["${ep1.ip}"]}}
  - {name: a neighbour answers, from: ecs3, get: "http://192.168.24.200/", expect: {bodies: [ecs2]}}
`...))
	require.NoError(t, err)
	l, err := lab.Start(t.Context(), lab.Config{Plan: plan, Machine: newFakeMachine()})
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close(context.Background())) }()
	checked := 0
	require.NoError(t, l.Check(t.Context(), func(c status.Check) {
		require.True(t, c.Passed, "%s: %s", c.Name, c.Got)
		checked++
	}))
	require.Equal(t, 3, checked)
}

func (m *fakeMachine) number(eni topology.ENI) packet.ENI {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.numbers[eni.Device]
}

// inject lets a TCP segment arrive at an ENI.
func inject(m *fakeMachine, eni topology.ENI, src, dst netip.AddrPort, flags uint8) {
	number := func(a netip.Addr) uint32 { b := a.As4(); return binary.BigEndian.Uint32(b[:]) }
	segment := packet.Segment{
		Envelope: packet.Envelope{SrcMAC: packet.MACOf(src.Addr()), DstMAC: eni.MAC, Src: number(src.Addr()), Dst: number(dst.Addr())},
		SrcPort:  src.Port(), DstPort: dst.Port(), Seq: 1, Flags: flags,
	}
	frame := make([]byte, packet.ResetSize)
	segment.Build(frame)
	m.memory.Inject(packet.Frame{ENI: m.number(eni), Data: frame})
}

// receive is the next TCP segment that left, and where.
func receive(t *testing.T, m *fakeMachine) (packet.ENI, packet.FiveTuple) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		frame, err := m.memory.Receive(ctx)
		require.NoError(t, err)
		var p packet.Packet
		if packet.Parse(frame.Data, &p) != packet.TCP {
			continue // ARP
		}
		src, dst := p.Addrs(frame.Data)
		return frame.ENI, packet.FiveTuple{
			Protocol: packet.ProtocolTCP, Src: netip.AddrPortFrom(src, p.SrcPort), Dst: netip.AddrPortFrom(dst, p.DstPort),
		}
	}
}

func TestTheFileSaysHowManySessionsThereMayBe(t *testing.T) {
	for file, want := range map[int]int{0: fullnat.DefaultMaxSessions, 1000: 1000} {
		plan, err := topofile.Load(scenario)
		require.NoError(t, err)
		plan.MaxSessions = file
		l, err := lab.Start(t.Context(), lab.Config{Plan: plan, Machine: newFakeMachine()})
		require.NoError(t, err)
		require.Equal(t, want, l.Status().Dataplane.MaxSessions)
		require.NoError(t, l.Close(context.Background()))
	}
}
