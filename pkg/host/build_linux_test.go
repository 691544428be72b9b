package host

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

func TestBuildMakesTheLab(t *testing.T) {
	dir := labDir(t)
	plan := twoVPCs()
	last, things := 0, map[string]bool{}
	err := Build(t.Context(), dir, plan, func(done, total int, what string) {
		require.Equal(t, last+1, done)
		require.Equal(t, len(Steps(plan)), total)
		last, things[what] = done, true
	})
	require.NoError(t, err)
	require.Equal(t, len(Steps(plan)), last)
	require.Contains(t, things, "instance ecs3 of VPC vpc2")

	names, err := Namespaces(dir)
	require.NoError(t, err)
	require.Equal(t, []string{"dataplane", "vpc1", "vpc1.ecs1", "vpc2", "vpc2.ecs2", "vpc2.ecs3"}, names)
	state := stateOf(t, dir)
	require.ElementsMatch(t, []string{
		"lo  mtu 65536 device up=true master=",
		"lo 127.0.0.1/8",
		"eth0 02:00:0a:0a:02:01 mtu 1500 veth up=true master=",
		"eth0 10.10.2.1/24",
		"0.0.0.0/0 via 10.10.2.253 dev eth0 universe",
		"10.10.2.0/24 via <nil> dev eth0 link",
		"100.64.0.16/32 via <nil> dev eth0 link",
	}, state["vpc2.ecs2"])
	require.Contains(t, state["vpc2"], "br-vsw2 02:00:0a:0a:02:fd mtu 1500 bridge up=true master=")
	require.Contains(t, state["vpc2"], "lo 100.100.2.136/32")
	require.Contains(t, state["vpc2"], "lo 100.64.0.1/32")
	require.Contains(t, state["vpc2"], "100.64.0.16/32 via <nil> dev br-vsw2 link")
	require.NotContains(t, state["vpc2.ecs3"], "100.64.0.16/32 via <nil> dev eth0 link", "it goes over the router")
	require.Contains(t, state["vpc2.ecs3"], "10.99.0.0/24 via <nil> dev eth0 link", "the gateway is in its subnet")
	require.Contains(t, state["vpc2"], "10.99.0.0/24 via <nil> dev br-vsw3 link")
	require.ElementsMatch(t, []string{
		"lo  mtu 65536 device up=false master=",
		"eni1 06:00:0a:0a:02:f0 mtu 1500 veth up=true master=",
		"eni2 06:00:0a:0a:02:f0 mtu 1500 veth up=true master=",
		"eni3 06:00:0a:0a:03:f0 mtu 1500 veth up=true master=",
	}, state["dataplane"], "devices without addresses and routes")
}

// A device without a carrier drops what is sent into it.
func TestPacketsPassWhenBuildReturns(t *testing.T) {
	plan := twoVPCs()
	for range 5 {
		dir := built(t, plan)
		for _, vpc := range plan.VPCs {
			ns, err := Open(dir, vpc.Namespace)
			require.NoError(t, err)
			require.NoError(t, ns.Do(func() error {
				links, err := netlink.LinkList()
				for _, l := range links {
					if l.Type() == "veth" || l.Type() == "bridge" {
						require.Equal(t, netlink.LinkOperState(netlink.OperUp), l.Attrs().OperState, "%s in %s", l.Attrs().Name, vpc.Namespace)
					}
				}
				return err
			}))
			require.NoError(t, ns.Close())
		}
	}
}

func TestBuildGivesUpOnADeviceWithoutACarrier(t *testing.T) {
	plan := twoVPCs()
	dir := built(t, plan)
	instance := plan.VPCs[1].Instances[0]
	ns, err := Open(dir, instance.Namespace)
	require.NoError(t, err)
	defer ns.Close()
	require.NoError(t, ns.Do(func() error {
		link, err := netlink.LinkByName(instance.Device)
		require.NoError(t, err)
		return netlink.LinkSetDown(link)
	}))
	vpc, err := Open(dir, plan.VPCs[1].Namespace)
	require.NoError(t, err)
	defer vpc.Close()
	require.Eventually(t, func() (down bool) {
		require.NoError(t, vpc.Do(func() error {
			port, err := netlink.LinkByName(instance.Port)
			down = err == nil && port.Attrs().OperState != netlink.OperUp
			return err
		}))
		return down
	}, 10*time.Second, time.Millisecond, "the kernel notices")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("enough"))
	defer cancel()
	err = awaitCarriers(ctx, dir, groups(plan))
	require.EqualError(t, err, fmt.Sprintf("wait for the carrier of %s in namespace %s: enough", instance.Port, plan.VPCs[1].Namespace))
}

func TestNothingIsMadeInTheHostsNamespace(t *testing.T) {
	plan := twoVPCs()
	built(t, plan)
	ours := map[string]bool{}
	for _, s := range Steps(plan) {
		switch s := s.(type) {
		case Bridge:
			ours[s.Device] = true
		case Veth:
			ours[s.Port] = true
		}
	}
	links, err := net.Interfaces()
	require.NoError(t, err)
	for _, l := range links {
		require.False(t, ours[l.Name], "%s is in the host's namespace", l.Name)
	}
}

func TestBuildTwiceChangesNothing(t *testing.T) {
	plan := twoVPCs()
	plan.VPCs[0].SecurityGroups = []topology.SecurityGroup{{Name: "web"}}
	plan.VPCs[0].Instances[0].SecurityGroups = []string{"web"}
	dir := built(t, plan)
	before := stateOf(t, dir)
	indexes, err := ENIIndexes(dir, plan, nil)
	require.NoError(t, err)

	require.NoError(t, Build(t.Context(), dir, plan, nil))
	require.Equal(t, before, stateOf(t, dir))
	again, err := ENIIndexes(dir, plan, nil)
	require.NoError(t, err)
	require.Equal(t, indexes, again, "no device was made again")
	some, err := ENIIndexes(dir, plan, map[string]int{"eni1": 7})
	require.NoError(t, err)
	require.Equal(t, map[string]int{"eni1": 7, "eni2": indexes["eni2"], "eni3": indexes["eni3"]}, some)
	require.Len(t, indexes, len(plan.ENIs()))
}

func TestBuildRepairsWhatIsMissing(t *testing.T) {
	plan := twoVPCs()
	dir := built(t, plan)
	before := stateOf(t, dir)
	require.NoError(t, undoAll(dir, []Step{Bridge{Namespace: "vpc2", Device: "br-vsw2"}, Netns{"vpc1.ecs1"}}))
	require.NotEqual(t, before, stateOf(t, dir))
	require.NoError(t, Build(t.Context(), dir, plan, nil))
	for name, state := range stateOf(t, dir) {
		require.ElementsMatch(t, before[name], state, name)
	}
}

func TestChangeGivesTheSameLabAsBuild(t *testing.T) {
	t.Parallel()
	bigger := twoVPCs()
	addInstanceTo(&bigger.VPCs[0], "vsw1", "ecs9", "10.10.2.9")
	otherMTU := twoVPCs()
	otherMTU.VPCs[1].MTU = 8500
	renumbered := twoVPCs()
	renumbered.VPCs[0].Instances[0].IP = bigger.VPCs[0].Instances[1].IP
	renumbered.VPCs[0].Instances[0].MAC = bigger.VPCs[0].Instances[1].MAC
	noEndpoint := twoVPCs()
	noEndpoint.Endpoints = nil
	oneVPC := twoVPCs()
	oneVPC.VPCs, oneVPC.LoadBalancers, oneVPC.NATGateways = oneVPC.VPCs[:1], nil, nil
	for _, tt := range []struct {
		name     string
		old, new *topology.Plan
	}{
		{"an instance comes", twoVPCs(), bigger},
		{"an instance goes", bigger, twoVPCs()},
		{"the MTU of a VPC changes", twoVPCs(), otherMTU},
		{"an instance gets another address", twoVPCs(), renumbered},
		{"an endpoint goes", twoVPCs(), noEndpoint},
		{"a VPC goes", twoVPCs(), oneVPC},
		{"a VPC comes", oneVPC, twoVPCs()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			changed, fresh := built(t, tt.old), built(t, tt.new)
			require.NoError(t, Change(t.Context(), changed, tt.old, tt.new, nil))
			want, got := stateOf(t, fresh), stateOf(t, changed)
			require.Len(t, got, len(want))
			for name := range want {
				require.ElementsMatch(t, want[name], got[name], name)
			}
			require.Equal(t, filesBelow(t, fresh), filesBelow(t, changed))
		})
	}
}

func filesBelow(t *testing.T, dir string) map[string]string {
	files := map[string]string{}
	root := os.DirFS(filepath.Join(dir, "etc"))
	paths, err := filepath.Glob(filepath.Join(dir, "etc", "*", "*"))
	require.NoError(t, err)
	for _, p := range paths {
		rel, err := filepath.Rel(filepath.Join(dir, "etc"), p)
		require.NoError(t, err)
		file, err := root.Open(rel)
		require.NoError(t, err)
		file.Close()
		text, err := os.ReadFile(p)
		require.NoError(t, err)
		files[rel] = string(text)
	}
	return files
}

func TestChangeEndsTheProcessesOfAnInstanceThatGoes(t *testing.T) {
	old := twoVPCs()
	addInstanceTo(&old.VPCs[0], "vsw1", "ecs9", "10.10.2.9")
	dir := built(t, old)
	stays, goes := sleeper(t, dir, "vpc1.ecs1"), sleeper(t, dir, "vpc1.ecs9")
	require.NoError(t, Change(t.Context(), dir, old, twoVPCs(), nil))
	require.Error(t, goes.Wait(), "it was ended by a signal")
	require.NoError(t, stays.Process.Signal(unix.Signal(0)), "it still runs")
}

func TestBuildThatIsCancelledLeavesNothing(t *testing.T) {
	t.Parallel()
	plan := twoVPCs()
	for after := 1; after < len(Steps(plan)); after += 7 {
		t.Run(fmt.Sprintf("after %d steps", after), func(t *testing.T) {
			t.Parallel()
			dir := labDir(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			err := Build(ctx, dir, plan, func(done, _ int, _ string) {
				if done == after {
					cancel()
				}
			})
			require.ErrorIs(t, err, context.Canceled)
			require.NoDirExists(t, dir)
		})
	}
}

func TestChangeThatIsCancelledGoesBack(t *testing.T) {
	old, plan := twoVPCs(), twoVPCs()
	plan.VPCs[0].Instances = nil
	addInstanceTo(&plan.VPCs[1], "vsw3", "ecs9", "10.10.3.9")
	dir := built(t, old)
	before := stateOf(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := Change(ctx, dir, old, plan, func(done, total int, _ string) {
		if done == total-5 {
			cancel()
		}
	})
	require.ErrorIs(t, err, context.Canceled)
	after := stateOf(t, dir)
	require.Len(t, after, len(before))
	for name := range before {
		require.ElementsMatch(t, before[name], after[name], name)
	}
}

func TestBuildThatFailsSaysWhatItWasDoing(t *testing.T) {
	dir := labDir(t)
	plan := twoVPCs()
	plan.VPCs[1].Instances[0].Port = "a-name-that-is-too-long"
	err := Build(t.Context(), dir, plan, nil)
	require.ErrorContains(t, err, "instance ecs2 of VPC vpc2: ip -n vpc2 link add a-name-that-is-too-long")
	require.NoDirExists(t, dir)
}

func TestRemoveOfWhatIsNotThereSucceeds(t *testing.T) {
	dir := built(t, twoVPCs())
	require.NoError(t, Remove(t.Context(), dir))
	require.NoDirExists(t, dir)
	require.NoError(t, Remove(t.Context(), dir))
	names, err := Namespaces(dir)
	require.NoError(t, err)
	require.Empty(t, names)
}

func TestRemoveWorksOnWhatACrashLeaves(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		leave func(t *testing.T, dir string)
	}{
		{"an empty directory", func(t *testing.T, dir string) { require.NoError(t, os.MkdirAll(dir, 0o755)) }},
		{"directories without namespaces", func(t *testing.T, dir string) { require.NoError(t, makeTrees(dir)) }},
		{"directories that are not mounted", func(t *testing.T, dir string) { require.NoError(t, os.MkdirAll(netnsDir(dir), 0o755)) }},
		{"a pin without a namespace", func(t *testing.T, dir string) {
			require.NoError(t, makeTrees(dir))
			require.NoError(t, os.WriteFile(netnsFile(dir, "vpc1"), nil, 0o444))
		}},
		{"namespaces", func(t *testing.T, dir string) {
			require.NoError(t, Build(t.Context(), dir, twoVPCs(), nil))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := labDir(t)
			tt.leave(t, dir)
			require.NoError(t, Remove(t.Context(), dir))
			require.NoDirExists(t, dir)
			require.NoError(t, Build(t.Context(), dir, twoVPCs(), nil), "the name is free again")
		})
	}
}

func TestRemoveLeavesWhatTheCallerKeeps(t *testing.T) {
	dir := labDir(t)
	require.NoError(t, Build(t.Context(), dir, twoVPCs(), nil))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "lock"), nil, 0o600))
	require.NoError(t, Remove(t.Context(), dir))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing but the caller's file")
	require.NoError(t, os.Remove(filepath.Join(dir, "lock")))
	require.NoError(t, Remove(t.Context(), dir))
	require.NoDirExists(t, dir)
}

func TestRemoveRefusesWhatIsNoLab(t *testing.T) {
	for _, dir := range []string{"", "/", "lab", "/home", "/run/.."} {
		require.ErrorContains(t, Remove(t.Context(), dir), "cannot be a lab's directory", dir)
	}
}

func TestRemoveEndsProcesses(t *testing.T) {
	dir := built(t, twoVPCs())
	polite := sleeper(t, dir, "vpc1.ecs1")
	stubborn := inside(dir, "vpc2", "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done")
	startReady(t, stubborn)
	processes, err := Processes(dir)
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(processes), 2)
	found := map[int]string{}
	for _, p := range processes {
		found[p.PID] = p.Namespace
	}
	require.Equal(t, "vpc1.ecs1", found[polite.Process.Pid])
	require.Equal(t, "vpc2", found[stubborn.Process.Pid])

	// Whoever started them waits, as a shell would.
	ends := make(chan error, 2)
	go func() { ends <- polite.Wait() }()
	go func() { ends <- stubborn.Wait() }()
	require.NoError(t, Remove(t.Context(), dir))
	var exit *exec.ExitError
	require.True(t, errors.As(<-ends, &exit))
	require.True(t, errors.As(<-ends, &exit))
	processes, err = Processes(dir)
	require.NoError(t, err)
	require.Empty(t, processes)
}

func TestLabsDoNotDisturbEachOther(t *testing.T) {
	plan := twoVPCs()
	a, b := built(t, plan), built(t, plan)
	before := stateOf(t, b)
	runs := sleeper(t, b, "vpc1.ecs1")
	require.NoError(t, Remove(t.Context(), a))
	require.Equal(t, before, stateOf(t, b))
	require.NoError(t, runs.Process.Signal(unix.Signal(0)))
}

func TestMountNamespacesThatWereCopiedDoNotKeepALab(t *testing.T) {
	a, b := built(t, twoVPCs()), built(t, twoVPCs())
	// A program in lab b has a copy of every mount, those of lab a included.
	runs := sleeper(t, b, "vpc1.ecs1")
	mounts := fmt.Sprintf("/proc/%d/mounts", runs.Process.Pid)
	text, err := os.ReadFile(mounts)
	require.NoError(t, err)
	require.Contains(t, string(text), a)
	require.NoError(t, Remove(t.Context(), a))
	text, err = os.ReadFile(mounts)
	require.NoError(t, err)
	require.NotContains(t, string(text), a+"/netns/")
}

func TestENIIndexesNamesAnENIThatIsMissing(t *testing.T) {
	dir := built(t, twoVPCs())
	plan := twoVPCs()
	plan.Endpoints[0].Zones[0].ENI.Device = "eni9"
	_, err := ENIIndexes(dir, plan, nil)
	require.ErrorContains(t, err, "ENI ep1@b has no device eni9 in namespace dataplane")
}

// BenchmarkBuild brings 1,000 instances in 100 VPCs with 200 endpoints up. The
// kernel frees the namespaces of a round in the background, and making new ones
// meanwhile takes several times as long: run it with -benchtime=1x.
func BenchmarkBuild(b *testing.B) {
	testenv.NeedRoot(b)
	plan := large(100, 1000, 200)
	var up, down time.Duration
	for b.Loop() {
		dir := b.TempDir() + "/lab"
		start := time.Now()
		require.NoError(b, Build(b.Context(), dir, plan, nil))
		built := time.Now()
		require.NoError(b, Remove(b.Context(), dir))
		up += built.Sub(start)
		down += time.Since(built)
	}
	b.ReportMetric(up.Seconds()/float64(b.N), "s-up/op")
	b.ReportMetric(down.Seconds()/float64(b.N), "s-down/op")
}

// The kernel answers each rule of a transaction, and a socket has room for some 200
// answers unless it is given more.
func TestASecurityGroupMayHaveManyRules(t *testing.T) {
	plan := twoVPCs()
	group := topology.SecurityGroup{Name: "web"}
	for port := range uint16(1000) {
		group.Ingress = append(group.Ingress, rule("tcp", 1+port, 1+port, "10.10.0.0/16"))
	}
	plan.VPCs[0].SecurityGroups = []topology.SecurityGroup{group}
	plan.VPCs[0].Instances[0].SecurityGroups = []string{"web"}
	dir := built(t, plan)
	changed := *plan
	changed.VPCs = slices.Clone(plan.VPCs)
	changed.VPCs[0].SecurityGroups = []topology.SecurityGroup{{Name: "web", Ingress: group.Ingress[1:]}}
	require.NoError(t, Change(t.Context(), dir, plan, &changed, nil))
}

// A bridge without ports has the MTU of its VPC, also when it had ports before.
func TestABridgeKeepsItsMTU(t *testing.T) {
	const file = "name: mtu\ncloud: aws\nregion: r1\nvpcs: {v: {cidr: 10.0.0.0/16, mtu: MTU," +
		" subnets: {s: {zone: a, cidr: 10.0.0.0/24}}, instances: {"
	for _, mtu := range []string{"1300", "1500", "9001"} {
		text := strings.Replace(file, "MTU", mtu, 1)
		one, err := topofile.Parse("mtu.yaml", []byte(text+"i1: {subnet: s}}}}\n"))
		require.NoError(t, err)
		none, err := topofile.Parse("mtu.yaml", []byte(text+"}}}\n"))
		require.NoError(t, err)
		dir := built(t, one)
		require.NoError(t, Change(t.Context(), dir, one, none, nil))
		require.Contains(t, strings.Join(stateOf(t, dir)[one.VPCs[0].Namespace], "\n"), "mtu "+mtu+" bridge")
	}
}
