package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/machine/kernel"
)

// foreignRounds is how often ours and the other program take turns.
const foreignRounds = 5

// The generators of this package are held to programs that others trust, through the same kernel's
// NAT in turns: iperf3 for bulk TCP, trafgen (netsniff-ng) for small packets, sockperf for round
// trips. It says by how much they differ; that they are within a factor of 1.5, or 2 and 3 for
// packets, where what a sender costs is part of what is measured, says that they measure the same.
func TestOurGeneratorsAgreeWithForeignOnes(t *testing.T) {
	testenv.NeedTime(t)
	testenv.NeedNoRace(t)
	testenv.NeedPrograms(t, "iperf3", "trafgen", "sockperf")
	needLab(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	p, err := open(ctx, viaKernel, Options{Seconds: 1, Paths: []string{viaKernel}}.withDefaults())
	require.NoError(t, err)
	defer func() { require.NoError(t, p.close()) }()
	o := Options{Seconds: 1}.withDefaults()
	ours := func(name, metric string) float64 {
		for _, w := range workloads() {
			if w.name != name {
				continue
			}
			m, err := w.measure(ctx, p, o)
			require.NoError(t, err)
			for _, f := range w.metrics {
				if f.name == metric {
					return f.value(m)
				}
			}
		}
		t.Fatalf("no %s: %s", name, metric)
		return 0
	}
	to := p.endpoint().String()
	for _, tt := range []struct {
		name, unit string
		factor     float64
		server     []string // a program that waits in the server's namespace
		ours       func() float64
		theirs     func() float64
	}{
		{"bulk TCP, 1 stream, and iperf3", "Gbit/s", 1.5, []string{"iperf3", "-s"},
			func() float64 { return ours("bulk TCP, 1 stream", "throughput") },
			func() float64 {
				out := p.output(ctx, t, "client", "iperf3", "-c", to, "-t", "1.2", "-O", "0.2", "-f", "m")
				return number1(t, out, `([\d.]+) Mbits/sec +receiver`) / 1e3
			}},
		{"64-byte frames of one flow, and trafgen", "kpps", 2, nil,
			func() float64 {
				l := Load{Frames: Frames{"64-byte frames", []int{64}}, Flows: 1, Senders: 1, Direction: ToProvider}
				m, err := p.measureLoad(ctx, l, 200*time.Millisecond, time.Second)
				require.NoError(t, err)
				require.Zero(t, m.load.missed)
				return m.load.received / m.elapsed.Seconds() / 1e3
			},
			func() float64 { return p.trafgen(ctx, t) / 1e3 }},
		{"64-byte frames of one socket, and trafgen", "kpps", 3, nil,
			func() float64 { return ours("UDP, 64-byte frames", "delivered") },
			func() float64 { return p.trafgen(ctx, t) / 1e3 }},
		{"half of a round trip, p50, and sockperf", "us", 1.5, []string{"sockperf", "server", "--tcp", "-p", "11111"},
			func() float64 { return ours("request/response", "p50") / 2 },
			func() float64 {
				out := p.output(ctx, t, "client", "sockperf", "ping-pong", "--tcp", "-i", to, "-p", "11111", "-t", "1",
					"-m", fmt.Sprint(requestSize))
				return number1(t, out, `percentile 50\.0+ = +([\d.]+)`)
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.server != nil {
				cmd := p.command(ctx, "server", tt.server...)
				require.NoError(t, cmd.Start())
				defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
				require.NoError(t, sleep(ctx, 300*time.Millisecond)) // clients do not try again
			}
			var us, them, ratios []float64
			for range foreignRounds {
				us, them = append(us, tt.ours()), append(them, tt.theirs())
				ratios = append(ratios, us[len(us)-1]/them[len(them)-1])
			}
			ratio := intervalOf(ratios)
			t.Logf("ours %.4g %s, theirs %.4g; ratio %.2f (%.2f to %.2f)", median(us), tt.unit, median(them),
				ratio.Median, ratio.Low, ratio.High)
			require.Less(t, ratio.Median, tt.factor)
			require.Greater(t, ratio.Median, 1/tt.factor)
		})
	}
}

func (p *path) namespace(instance string) string {
	vpc := "consumer"
	if instance == "server" {
		vpc = "provider"
	}
	i, err := p.plan.Instance(vpc + "/" + instance)
	if err != nil {
		panic(err)
	}
	return i.Namespace
}

// command is a program on an instance. It ends with its context.
func (p *path) command(ctx context.Context, instance string, args ...string) *exec.Cmd {
	self, _ := os.Executable()
	cmd := exec.CommandContext(ctx, self, append([]string{kernel.EnterCommand, string(p.dir), p.namespace(instance)}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (p *path) output(ctx context.Context, t *testing.T, instance string, args ...string) string {
	t.Helper()
	out, err := p.command(ctx, instance, args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

func number1(t *testing.T, text, pattern string) float64 {
	t.Helper()
	found := regexp.MustCompile(pattern).FindStringSubmatch(text)
	require.NotNil(t, found, "%s in %s", pattern, text)
	v, err := strconv.ParseFloat(found[1], 64)
	require.NoError(t, err)
	return v
}

// trafgen sends a frame of a load as fast as it can, and what comes to the server's device counts.
func (p *path) trafgen(ctx context.Context, t *testing.T) float64 {
	t.Helper()
	var frame strings.Builder
	l := Load{Frames: Frames{"", []int{64}}, Flows: 1, Senders: 1, Direction: ToProvider}
	// The lab knows the MACs of its instances, and so does the plan.
	client, endpoint := p.plan.MustVPC("consumer").Instances[0], p.plan.Endpoints[0].Zones[0].ENI
	to := p.deviceMAC(t, endpoint.Device)
	f := clientFlow(client.IP, endpoint.IP, to, 0)
	for _, b := range (&maker{mac: client.MAC}).udp(make([]byte, maxFrame), &f, l.Frames.Sizes[0], &mark{}) {
		fmt.Fprintf(&frame, "0x%02x, ", b)
	}
	config := t.TempDir() + "/frame"
	require.NoError(t, os.WriteFile(config, []byte("{ "+frame.String()+"}\n"), 0o600))
	cmd := p.command(ctx, "client", "trafgen", "--dev", client.Device, "--conf", config, "--cpus", "1", "--num", "3000000")
	require.NoError(t, cmd.Start())
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	require.NoError(t, sleep(ctx, 500*time.Millisecond))
	before, start := p.arrived(t), time.Now()
	require.NoError(t, sleep(ctx, time.Second))
	return float64(p.arrived(t)-before) / time.Since(start).Seconds()
}

func (p *path) arrived(t *testing.T) (packets uint64) {
	t.Helper()
	p.within(t, p.namespace("server"), func() error {
		link, err := netlink.LinkByName("eth0")
		if err == nil {
			packets = link.Attrs().Statistics.RxPackets
		}
		return err
	})
	return packets
}

func (p *path) deviceMAC(t *testing.T, device string) (mac [6]byte) {
	t.Helper()
	p.within(t, p.plan.Dataplane, func() error {
		link, err := netlink.LinkByName(device)
		if err == nil {
			mac = [6]byte(link.Attrs().HardwareAddr)
		}
		return err
	})
	return mac
}

func (p *path) within(t *testing.T, namespace string, do func() error) {
	t.Helper()
	ns, err := host.Open(string(p.dir), namespace)
	require.NoError(t, err)
	defer ns.Close()
	require.NoError(t, ns.Do(do))
}
