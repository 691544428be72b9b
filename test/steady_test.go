package test

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/internal/anyedit"
	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/machine/kernel"
	"github.com/plinksim/plinksim/pkg/plinktest"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Whatever is edited and whatever accounts do, in any order, and wherever a
// change is interrupted: the kernel has what a new lab of the export has, and
// what is refused leaves no trace. All the while a stream, requests and datagrams
// of others go on and lose nothing. In the end nothing is left.
func TestAnyStepsLeaveTheKernelOfANewLab(t *testing.T) {
	plinktest.Require(t)
	testenv.NeedPrograms(t, "nft")
	steps := 12
	if os.Getenv("PLINKSIM_LONG") == "1" && !testenv.Race {
		steps = 150
	}
	for _, cloud := range []string{"alibaba", "aws"} {
		t.Run(cloud, func(t *testing.T) {
			plan, err := topofile.Parse("base.yaml", []byte(anyedit.Base(cloud)))
			require.NoError(t, err)
			l, dir, down := inKernel(t, plan)
			defer down()
			stop := sync.OnceFunc(keptTraffic(t, l))
			defer stop()
			takeSteps(t, l, dir, steps)
			stop()
			down()
			requireNothingLeft(t, dir)
		})
	}
}

// inKernel is a lab in the kernel, its directory, and what takes it down.
func inKernel(t *testing.T, plan *topology.Plan) (l *lab.Lab, dir labdir.Dir, down func()) {
	t.Helper()
	root, err := os.MkdirTemp("", "plinksim-steady")
	require.NoError(t, err)
	dir = labdir.Dir(filepath.Join(root, plan.Name))
	lock, err := dir.Lock()
	require.NoError(t, err)
	l, err = lab.Start(t.Context(), lab.Config{Plan: plan, Machine: kernel.New(dir), Store: dir})
	require.NoError(t, err)
	return l, dir, sync.OnceFunc(func() {
		require.NoError(t, l.Close(context.Background()))
		lock.Release()
		require.NoError(t, os.RemoveAll(root))
	})
}

// seedOf is a new seed in every run, which a test that fails prints.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64N(1 << 32)
	if text := os.Getenv("PLINKSIM_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("PLINKSIM_SEED=%d gives the same steps again", seed)
	return seed
}

func takeSteps(t *testing.T, l *lab.Lab, dir labdir.Dir, n int) {
	seed := seedOf(t)
	drawer, rng := anyedit.New(seed), rand.New(rand.NewPCG(seed, 1))
	drawer.Calm = true
	made, refused, interrupted := 0, 0, 0
	last := kernelOf(t, dir)
	for i := range n {
		step := drawer.Next(l.Plan())
		ctx, cancel := context.WithCancel(t.Context())
		if rng.IntN(6) == 0 {
			time.AfterFunc(time.Duration(rng.IntN(40))*time.Millisecond, cancel)
		}
		changed, err := take(ctx, l, step)
		cancel()
		settle(t, l)
		now := kernelOf(t, dir)
		if !changed {
			refused++
			if errors.Is(err, context.Canceled) {
				interrupted++
			}
			requireSameKernel(t, last, now, "step %d left something: %s: %v", i, step, err)
			continue
		}
		made++
		text, _, err := l.Export()
		require.NoError(t, err)
		requireSameKernel(t, kernelOfNew(t, text), withoutLeftZones(l, now), "step %d: %s\nexport:\n%s", i, step, text)
		last = now
	}
	t.Log(made, "steps were made, and", refused, "refused, of which", interrupted, "were interrupted")
}

// withoutLeftZones is the kernel without the ENIs of zones that operations took endpoints
// out of: they stay, without an address that answers, until the file has them no more, as
// an operation may put the endpoints back.
func withoutLeftZones(l *lab.Lab, state map[string][]string) map[string][]string {
	left, now := map[string]bool{}, l.Plane().Plan()
	for _, planned := range l.Plan().Endpoints {
		is, err := now.Endpoint(planned.Name)
		if err != nil {
			continue
		}
		for _, zone := range planned.Zones {
			if _, err := is.Zone(zone.Zone); err != nil {
				left[zone.ENI.Device] = true
			}
		}
	}
	if len(left) == 0 {
		return state
	}
	out := maps.Clone(state)
	for space, lines := range out {
		out[space] = slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
			device, _, isLink := strings.Cut(strings.TrimPrefix(line, "link "), " ")
			return isLink && strings.HasPrefix(line, "link ") && left[device]
		})
	}
	return out
}

func take(ctx context.Context, l *lab.Lab, step anyedit.Step) (changed bool, err error) {
	if len(step.Edits) > 0 {
		made, err := l.Edit(ctx, step.Edits, 20*time.Second)
		return made != nil || err == nil, err
	}
	event, err := l.Do(ctx, step.Do, 20*time.Second)
	return event.Kind != "", err
}

// settle waits until everything that was asked for is in force.
func settle(t *testing.T, l *lab.Lab) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for revision := uint64(0); revision != l.Plane().Revision(); {
		revision = l.Plane().Revision()
		require.NoError(t, l.Plane().WaitApplied(ctx, revision))
	}
}

// kernelOfNew is what a new lab of a topology is in the kernel. It does without
// health checks, which change nothing there.
func kernelOfNew(t *testing.T, text []byte) map[string][]string {
	t.Helper()
	plan, err := topofile.Parse("export.yaml", text)
	require.NoError(t, err)
	doc, err := topofile.DocumentOf(plan)
	require.NoError(t, err)
	var edits []topology.Edit
	for _, sg := range plan.ServerGroups {
		edits = append(edits, topology.Edit{Path: topology.JoinPath("server_groups", sg.Name, "health_check"), Value: "{protocol: none}"})
	}
	doc, err = doc.With(edits...)
	require.NoError(t, err)
	plan, err = doc.Plan()
	require.NoError(t, err)
	l, dir, down := inKernel(t, plan)
	defer down()
	settle(t, l)
	return kernelOf(t, dir)
}

// kernelOf is everything that a lab is in the kernel, by namespace: devices,
// addresses, routes, rules, settings, listening sockets and the files that
// programs see.
func kernelOf(t *testing.T, dir labdir.Dir) map[string][]string {
	t.Helper()
	spaces, err := host.Namespaces(string(dir))
	require.NoError(t, err)
	state := map[string][]string{}
	for _, name := range spaces {
		ns, err := host.Open(string(dir), name)
		require.NoError(t, err)
		require.NoError(t, ns.Do(func() error {
			state[name], err = inNamespace()
			return err
		}), name)
		require.NoError(t, ns.Close())
		for _, file := range []string{"hosts", "resolv.conf", "nsswitch.conf"} {
			if text, err := os.ReadFile(dir.Path("etc", name, file)); err == nil {
				state[name] = append(state[name], file+": "+string(text))
			}
		}
	}
	return state
}

// settings are those that differ between the namespaces of a lab.
var settings = strings.Fields("ipv4/ip_forward ipv4/conf/all/arp_ignore ipv4/conf/all/rp_filter ipv4/conf/default/rp_filter" +
	" ipv4/conf/all/send_redirects ipv6/conf/all/disable_ipv6 ipv6/conf/all/forwarding ipv6/conf/all/accept_ra")

func inNamespace() (state []string, err error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	links, err := h.LinkList()
	if err != nil {
		return nil, err
	}
	names := map[int]string{}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	for _, l := range links {
		a := l.Attrs()
		state = append(state, fmt.Sprintf("link %s %s %s mtu %d up %t of %s", a.Name, l.Type(), a.HardwareAddr, a.MTU,
			a.RawFlags&unix.IFF_UP != 0, names[a.MasterIndex]))
		addrs, err := h.AddrList(l, netlink.FAMILY_ALL)
		if err != nil {
			return nil, err
		}
		for _, addr := range addrs {
			state = append(state, fmt.Sprintf("address %s %s", a.Name, addr.IPNet))
		}
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := h.RouteList(nil, family)
		if err != nil {
			return nil, err
		}
		for _, r := range routes {
			state = append(state, fmt.Sprintf("route %s via %v dev %s scope %s", r.Dst, r.Gw, names[r.LinkIndex], r.Scope))
		}
	}
	for _, setting := range settings {
		text, err := os.ReadFile("/proc/sys/net/" + setting)
		if err == nil { // without IPv6 there are none of it
			state = append(state, "setting "+setting+" "+strings.TrimSpace(string(text)))
		}
	}
	for _, protocol := range []string{"tcp", "tcp6", "udp", "udp6"} {
		sockets, err := openSockets(protocol)
		if err != nil {
			return nil, err
		}
		state = append(state, sockets...)
	}
	slices.Sort(state)
	rules, err := exec.Command("nft", "--stateless", "list", "ruleset").Output() // in this thread's namespace
	return append(state, inOrder(string(rules))), err
}

// inOrder sorts the tables of nftables and what is in each: the kernel has them in
// the order in which they were made.
func inOrder(rules string) string {
	var all []string
	table, part := "", ""
	for line := range strings.Lines(rules) {
		switch {
		case strings.HasPrefix(line, "table "):
			table = line
			all = append(all, table)
		case strings.HasPrefix(line, "\t}"):
			all, part = append(all, table+part+line), ""
		case line != "}\n" && line != "\n":
			part += line
		}
	}
	slices.Sort(all)
	return strings.Join(all, "")
}

// openSockets are the sockets of this thread's namespace that anybody may reach
// (Linux, Documentation/networking/proc_net_tcp.rst): TCP ones that listen, and
// UDP ones that are not connected.
func openSockets(protocol string) (all []string, err error) {
	file, err := os.Open("/proc/thread-self/net/" + protocol)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Scan() // the title
	for lines.Scan() {
		const local, remote, state = 1, 2, 3
		fields := strings.Fields(lines.Text())
		if fields[state] == "0A" || fields[state] == "07" && strings.Trim(fields[remote], "0:") == "" && protocol[:3] == "udp" {
			all = append(all, "socket "+protocol+" "+fields[local])
		}
	}
	return all, lines.Err()
}

func requireSameKernel(t *testing.T, want, is map[string][]string, format string, args ...any) {
	t.Helper()
	when := fmt.Sprintf(format, args...)
	require.Equal(t, slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(is)), "the namespaces: %s", when)
	for name := range want {
		require.Equal(t, strings.Join(want[name], "\n"), strings.Join(is[name], "\n"), "%s: %s", name, when)
	}
}

// requireNothingLeft looks for a lab that was taken down: its directory, its
// mounts, and the programs that it had started, which are children of the test.
func requireNothingLeft(t *testing.T, dir labdir.Dir) {
	t.Helper()
	spaces, err := host.Namespaces(string(dir))
	require.NoError(t, err)
	require.Empty(t, spaces)
	require.NoDirExists(t, dir.Path("netns"))
	require.NoDirExists(t, dir.Path("etc"))
	mounts, err := os.ReadFile("/proc/self/mounts")
	require.NoError(t, err)
	require.NotContains(t, string(mounts), string(dir))
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	require.NoError(t, err)
	for _, task := range tasks {
		children, err := os.ReadFile(task)
		require.True(t, err == nil && len(children) == 0 || errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ESRCH),
			"programs that still run: %s", children)
	}
}

// keptTraffic lets an instance that no step touches use an endpoint that no step
// touches: by a stream, by requests one after the other, and by datagrams. The
// returned function ends it and fails where anything was lost.
func keptTraffic(t *testing.T, l *lab.Lab) (stop func()) {
	t.Helper()
	client, err := l.Client("keep-client")
	require.NoError(t, err)
	endpoint, err := l.Plan().Lookup("keep-ep.ip")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var going sync.WaitGroup
	var failed atomic.Int64
	run := func(what string, count *int, once func() error) {
		going.Go(func() {
			for ctx.Err() == nil {
				if err := once(); err != nil && ctx.Err() == nil {
					failed.Add(1)
					assert.NoError(t, err, "%s, after %d", what, *count)
					return
				}
				*count++
				time.Sleep(5 * time.Millisecond)
			}
		})
	}
	var echoes, pages, sent int
	stream, err := client.DialContext(ctx, "tcp", net.JoinHostPort(endpoint, "7"))
	require.NoError(t, err)
	message, back := make([]byte, 2000), make([]byte, 2000)
	run("a stream", &echoes, func() error {
		binary.BigEndian.PutUint64(message, uint64(echoes))
		stream.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := stream.Write(message); err != nil {
			return err
		}
		if _, err := io.ReadFull(stream, back); err != nil {
			return err
		}
		if string(message) != string(back) {
			return errors.New("what comes back is not what was sent")
		}
		return nil
	})
	pageClient := client.HTTP()
	pageClient.Timeout = 10 * time.Second
	run("requests", &pages, func() error {
		answer, err := pageClient.Get("http://" + endpoint + "/")
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err == nil && strings.TrimSpace(string(body)) != "kept" {
			err = fmt.Errorf("the answer is %q", body)
		}
		return err
	})
	datagrams, err := client.DialContext(ctx, "udp", net.JoinHostPort(endpoint, "9"))
	require.NoError(t, err)
	var came atomic.Int64
	received := make(chan struct{})
	go func() {
		defer close(received)
		for b := make([]byte, 100); ; came.Add(1) {
			if _, err := datagrams.Read(b); err != nil {
				return
			}
		}
	}()
	run("datagrams", &sent, func() error {
		_, err := datagrams.Write([]byte("one of many"))
		return err
	})
	return func() {
		cancel()
		going.Wait()
		assert.Eventually(t, func() bool { return came.Load() == int64(sent) }, 5*time.Second, 10*time.Millisecond, "datagrams were lost")
		t.Log(echoes, "messages of a stream,", pages, "requests and", came.Load(), "of", sent, "datagrams came back")
		stream.Close()
		datagrams.Close()
		<-received
		require.Zero(t, failed.Load())
		require.Positive(t, min(echoes, pages, sent))
	}
}
