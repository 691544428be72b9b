package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// mortal is a lab of the program as it is built, of which the daemon is killed.
type mortal struct {
	t      *testing.T
	bin    string
	file   string
	root   string
	dir    labdir.Dir
	plan   *topology.Plan
	client *host.Namespace
	user   uint32 // whose lab it is; 0 is root
}

// newMortal brings a lab up, in a directory of its own. Its instance is "client".
func newMortal(t *testing.T, bin, file string, args ...string) *mortal {
	t.Helper()
	return newMortalOf(t, bin, file, "client", args...)
}

func newMortalOf(t *testing.T, bin, file, client string, args ...string) *mortal {
	t.Helper()
	return (&mortal{t: t, bin: bin, file: file}).up(client, args...)
}

// newMortalOfUser is newMortal as another user, who gets all files beside file.
func newMortalOfUser(t *testing.T, user uint32, bin, file string, args ...string) *mortal {
	t.Helper()
	if user != 0 {
		testenv.NeedUser(t, int(user))
		public, err := os.MkdirTemp("", "plinksim")
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, os.RemoveAll(public)) })
		require.NoError(t, os.CopyFS(filepath.Join(public, "lab"), os.DirFS(filepath.Dir(file))))
		require.NoError(t, os.Chmod(public, 0o755))
		file = filepath.Join(public, "lab", filepath.Base(file))
	}
	return (&mortal{t: t, bin: bin, file: file, user: user}).up("client", args...)
}

func (m *mortal) up(client string, args ...string) *mortal {
	t, file := m.t, m.file
	t.Helper()
	plan, err := topofile.Load(file)
	require.NoError(t, err)
	root, err := os.MkdirTemp("", "plinksim") // a socket's path must be short
	require.NoError(t, err)
	require.NoError(t, os.Chown(root, int(m.user), int(m.user)))
	root = filepath.Join(root, "run")
	m.root, m.plan, m.dir = root, plan, labdir.Dir(filepath.Join(root, plan.Name))
	t.Cleanup(func() {
		m.run("down", "--all")
		require.NoDirExists(t, root, "something is left")
		require.NoError(t, os.RemoveAll(filepath.Dir(root)))
	})
	m.run(append([]string{"up", file}, args...)...)
	in, err := plan.Instance(client)
	require.NoError(t, err)
	dir := string(m.dir)
	if m.user != 0 { // the lab is in mounts of its own
		dir = fmt.Sprintf("/proc/%d/root%s", m.dir.Keeper(), dir)
	}
	m.client, err = host.Open(dir, in.Namespace)
	require.NoError(t, err)
	t.Cleanup(func() { m.client.Close() })
	return m
}

func (m *mortal) command(args ...string) *exec.Cmd {
	cmd := exec.Command(m.bin, args...)
	cmd.Env = append(os.Environ(), labdir.RootVariable+"="+m.root)
	if m.user != 0 {
		home := filepath.Dir(m.root)
		cmd.Dir = home
		cmd.Env = append(cmd.Env, "HOME="+home, "XDG_RUNTIME_DIR="+home)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: m.user, Gid: m.user}}
	}
	return cmd
}

func (m *mortal) run(args ...string) string {
	m.t.Helper()
	out, err := m.command(args...).CombinedOutput()
	require.NoError(m.t, err, "%q: %s", args, out)
	return string(out)
}

// kill ends the daemon without a word, and returns when it has ended. So does one
// that an upgrade left behind, which takes the lab over as soon as nobody has it.
func (m *mortal) kill() {
	require.NoError(m.t, m.dir.Signal(syscall.SIGKILL))
	require.Eventually(m.t, func() bool {
		if !m.dir.Running() {
			return true
		}
		m.dir.Signal(syscall.SIGKILL)
		return false
	}, 10*time.Second, 5*time.Millisecond)
}

// eni is the address of an endpoint's only ENI.
func (m *mortal) eni(endpoint string, port uint16, six bool) string {
	ep, err := m.plan.Endpoint(endpoint)
	require.NoError(m.t, err)
	addr := ep.Zones[0].ENI.IP
	if six {
		addr = ep.Zones[0].ENI.IPv6
	}
	return netip.AddrPortFrom(addr, port).String()
}

const surviveBlock = 1 << 16

func blocksOf(n int) io.Reader {
	block := make([]byte, surviveBlock)
	for i := range block {
		block[i] = byte(i*131 + i>>8*17)
	}
	return bytes.NewReader(bytes.Repeat(block, n))
}

// download asks for blocks with pauses and says what is wrong with them.
func (m *mortal) download(address string, blocks int, pause time.Duration) error {
	conn, err := m.client.DialContext(context.Background(), "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	fmt.Fprintf(conn, "get %d %f\n", blocks, pause.Seconds())
	got, want := sha256.New(), sha256.New()
	io.Copy(want, blocksOf(blocks))
	if n, err := io.CopyN(got, conn, int64(blocks*surviveBlock)); err != nil {
		return fmt.Errorf("after %d bytes: %w; the lab knows of it: %s", n, err, m.about(conn.LocalAddr().String()))
	}
	if !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
		return fmt.Errorf("other bytes")
	}
	return nil
}

// about is what the lab says of the session of a client.
func (m *mortal) about(client string) (lines []string) {
	out, _ := m.command("sessions").CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, client) {
			lines = append(lines, line)
		}
	}
	return lines
}

// idle is a connection that says nothing until it is asked.
type idle struct {
	net.Conn
	lines *bufio.Reader
}

func (m *mortal) newIdle(address string) *idle {
	conn, err := m.client.DialContext(m.t.Context(), "tcp", address)
	require.NoError(m.t, err)
	m.t.Cleanup(func() { conn.Close() })
	c := &idle{conn, bufio.NewReader(conn)}
	require.NoError(m.t, c.ask("hello"))
	return c
}

func (c *idle) ask(line string) error {
	c.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprintln(c, line)
	got, err := c.lines.ReadString('\n')
	if err == nil && got != line+"\n" {
		err = fmt.Errorf("%q came back", got)
	}
	return err
}

// probe sends a datagram every millisecond, and notes how long none came back.
type probe struct {
	conn net.Conn
	last atomic.Int64 // when something came last, in nanoseconds of start
	gap  atomic.Int64 // the longest since reset
	from time.Time
	sent sync.WaitGroup
}

func (m *mortal) newProbe(ctx context.Context, address string) *probe {
	conn, err := m.client.DialContext(ctx, "udp", address)
	require.NoError(m.t, err)
	p := &probe{conn: conn, from: time.Now()}
	context.AfterFunc(ctx, func() { conn.Close() })
	p.sent.Go(func() {
		for ctx.Err() == nil {
			conn.Write([]byte("?"))
			time.Sleep(time.Millisecond)
		}
	})
	p.sent.Go(func() {
		for buf := make([]byte, 16); ctx.Err() == nil; {
			if _, err := conn.Read(buf); err == nil {
				p.came()
			}
		}
	})
	require.Eventually(m.t, func() bool { return p.last.Load() > 0 }, 10*time.Second, time.Millisecond)
	return p
}

func (p *probe) came() {
	now := time.Since(p.from).Nanoseconds()
	if gap := now - p.last.Swap(now); gap > p.gap.Load() {
		p.gap.Store(gap)
	}
}

// measure does something and returns the longest gap, once something comes again.
func (p *probe) measure(t *testing.T, do func()) time.Duration {
	p.gap.Store(0)
	do()
	then := time.Since(p.from).Nanoseconds()
	require.Eventually(t, func() bool { return p.last.Load() > then }, 10*time.Second, time.Millisecond)
	return time.Duration(p.gap.Load())
}

// Daemons are killed and exchanged under downloads and beside idle connections, in turns:
// PLINKSIM_RESTARTS of them in each lab, or as many as there is time for.
func TestConnectionsSurviveTheirDaemon(t *testing.T) {
	t.Parallel()
	testenv.NeedRoot(t)
	testenv.NeedNoRace(t)
	testenv.NeedPrograms(t, "python3")
	bin := testenv.BuildProgram(t, "../..")
	for _, tt := range []struct {
		file    string
		workers int
		six     bool
		long    bool
		user    uint32
	}{
		{"aws", 1, true, false, 0},
		{"aws", 2, true, true, 0},
		{"alibaba", 1, false, true, 0},
		{"alibaba", 2, false, false, 0},
		{"alibaba", 1, false, false, nobody},
	} {
		t.Run(fmt.Sprintf("%s with %d workers of user %d", tt.file, tt.workers, tt.user), func(t *testing.T) {
			downloads, restarts := 60, 2
			if os.Getenv("PLINKSIM_LONG") == "1" {
				downloads, restarts = 500, 13 // of both kinds, in each lab
			} else if tt.long {
				testenv.NeedTime(t)
			}
			if text := os.Getenv("PLINKSIM_RESTARTS"); text != "" {
				both, err := strconv.Atoi(text)
				require.NoError(t, err, "PLINKSIM_RESTARTS")
				restarts = (both + 1) / 2
			}
			m := newMortalOfUser(t, tt.user, bin, filepath.Join("testdata", "survive", tt.file+".yaml"),
				"--workers", strconv.Itoa(tt.workers))
			addresses := []string{m.eni("ep1", 80, false)}
			if tt.six {
				addresses = append(addresses, m.eni("ep1", 80, true), m.eni("ep1", 81, false), m.eni("ep1", 81, true))
			} else {
				addresses = append(addresses, m.eni("ep2", 81, false))
			}
			ctx, cancel := context.WithCancel(t.Context())
			p := m.newProbe(ctx, m.eni("ep2", 82, false))
			defer p.sent.Wait()
			defer cancel()

			var idles []*idle
			for n := range 50 {
				idles = append(idles, m.newIdle(addresses[n%len(addresses)]))
			}
			// They go on for as long as daemons come and go, and some begin meanwhile.
			var transfers sync.WaitGroup
			var stop atomic.Bool
			var done atomic.Int64
			failed := make(chan error, downloads)
			for n := range downloads {
				transfers.Go(func() {
					for !stop.Load() {
						// All together ask for less than an endpoint of alibaba carries.
						pause := time.Duration(n%7+2) * 100 * time.Millisecond
						if err := m.download(addresses[n%len(addresses)], 8, pause); err != nil {
							failed <- fmt.Errorf("download %d from %s: %w", n, addresses[n%len(addresses)], err)
							return
						}
						done.Add(1)
					}
				})
			}
			killed, exchanged := []time.Duration{}, []time.Duration{}
			askIdles := func(round int) {
				for n, c := range idles {
					require.NoError(t, c.ask(strconv.Itoa(n)), "idle connection %d after %d rounds", n, round)
				}
			}
			for round := range restarts {
				if round%10 == 9 { // before the 350 s are over after which aws forgets them
					askIdles(round)
				}
				time.Sleep(300 * time.Millisecond)
				killed = append(killed, p.measure(t, func() {
					m.kill()
					m.run("up", m.file)
				}))
				require.NotContains(t, m.run("status"), "earlier daemon", "sessions were lost")
				time.Sleep(300 * time.Millisecond)
				exchanged = append(exchanged, p.measure(t, func() { m.run("upgrade") }))
				require.NotContains(t, m.run("status"), "earlier daemon", "sessions were lost")
			}
			stop.Store(true)
			transfers.Wait()
			close(failed)
			t.Logf("%d downloads, %d restarts; nothing was forwarded after a kill for %s, with upgrade for %s",
				done.Load(), 2*restarts, gaps(killed), gaps(exchanged))
			for err := range failed {
				t.Error(err)
			}
			askIdles(restarts)
			require.Positive(t, done.Load())
		})
	}
}

func gaps(all []time.Duration) string {
	slices.Sort(all)
	return fmt.Sprintf("%s (median; worst %s)", all[len(all)/2].Round(time.Millisecond), all[len(all)-1].Round(time.Millisecond))
}
