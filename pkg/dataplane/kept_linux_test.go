package dataplane

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/packet"
)

// keptWorkers are n workers whose sessions are kept in dir.
func keptWorkers(t testing.TB, dir string, n int) *Workers {
	t.Helper()
	kept, err := OpenKept(dir)
	require.NoError(t, err)
	if before := kept.Shards(); before > 0 {
		n = before
	}
	var drivers []Driver
	for range n {
		drivers = append(drivers, NewMemory())
	}
	w, err := NewWorkers(EngineConfig{Kept: kept, Table: fullnat.Options{MaxSessions: 1 << 16}}, drivers...)
	require.NoError(t, err)
	require.NoError(t, w.Configure(oneEndpoint()))
	return w
}

// judge gives a packet to the worker that it is for.
func (w *Workers) judge(eni packet.ENI, frame []byte) (packet.Frame, fullnat.Verdict) {
	frames, verdicts := []packet.Frame{{ENI: eni, Data: frame}}, make([]fullnat.Verdict, 1)
	shard := 0
	if s := w.steering.Load(); s != nil {
		shard = s.Shard(&frames[0])
	}
	e := w.engines[shard]
	e.table.Forward(frames, verdicts, e.clock())
	return frames[0], verdicts[0]
}

// connect makes an established session for a consumer.
func (w *Workers) connect(t testing.TB, port uint16) {
	t.Helper()
	from := netip.AddrPortFrom(consumer.Addr(), port)
	out, v := w.judge(endpointENI, tcpFrame(from, endpoint, syn, nil))
	require.Equal(t, fullnat.Forwarded, v)
	local := netip.AddrPortFrom(natIP, uint16(out.Data[34])<<8|uint16(out.Data[35]))
	_, v = w.judge(nodeENI, tcpFrame(backend, local, synAck, nil))
	require.Equal(t, fullnat.Forwarded, v)
	_, v = w.judge(endpointENI, tcpFrame(from, endpoint, 0x10, nil))
	require.Equal(t, fullnat.Forwarded, v)
}

func TestWorkersGoOnWithTheSessionsThatWereKept(t *testing.T) {
	for _, workers := range []int{1, 2} {
		t.Run(fmt.Sprint(workers, " workers"), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "sessions")
			w := keptWorkers(t, dir, workers)
			for port := range uint16(50) {
				w.connect(t, 30000+port)
			}
			before := w.Sessions()
			require.Len(t, before, 50)
			require.NoError(t, w.Leave())

			next := keptWorkers(t, dir, 4) // each worker has a share of the NAT ports
			require.Len(t, next.engines, workers)
			require.Equal(t, fullnat.Resumed{Sessions: 50}, next.Resumed())
			for _, s := range before {
				_, v := next.judge(endpointENI, tcpFrame(s.Consumer, endpoint, 0x10, nil))
				require.Equal(t, fullnat.Forwarded, v)
				out, v := next.judge(nodeENI, tcpFrame(backend, s.Local, 0x10, nil))
				require.Equal(t, fullnat.Forwarded, v)
				_, to := parse(t, out)
				require.Equal(t, s.Consumer, to)
			}
			require.NoError(t, next.Close())

			last := keptWorkers(t, dir, 1)
			require.Equal(t, fullnat.Resumed{}, last.Resumed(), "Close keeps nothing")
			require.NoError(t, last.Close())
		})
	}
}

func TestWhatAKilledProcessWasDoingWithTheFilesIsFinished(t *testing.T) {
	move := func(from, to string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			require.NoError(t, os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)))
		}
	}
	for name, kill := range map[string]func(*testing.T, string){
		"before anything was taken over": func(t *testing.T, dir string) {
			require.NoError(t, os.MkdirAll(filepath.Join(dir, "next", "0"), 0o700))
		},
		"when all was, before the new name": move("now", "next"),
		"before the old files were removed": func(t *testing.T, dir string) {
			require.NoError(t, os.MkdirAll(filepath.Join(dir, "old", "0"), 0o700))
		},
	} {
		t.Run("killed "+name, func(t *testing.T) {
			dir := t.TempDir()
			w := keptWorkers(t, dir, 1)
			w.connect(t, 30000)
			require.NoError(t, w.Leave())
			kill(t, dir)
			next := keptWorkers(t, dir, 1)
			require.Equal(t, fullnat.Resumed{Sessions: 1}, next.Resumed())
			require.NoError(t, next.Close())
		})
	}
}

func TestFilesThatMakeNoSenseAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "now", "0", "flows.1"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "now", "0", "records"), []byte("?"), 0o600))
	w := keptWorkers(t, dir, 1)
	require.ErrorContains(t, w.Resumed().Err, "no label")
	require.NoError(t, w.Close())
}

// keptDir is where the child of the next test has its sessions.
const keptDir = "PLINKSIM_TEST_KEPT"

// init is not TestMain: the child must not wait for what tests wait for.
func init() {
	if dir := os.Getenv(keptDir); dir != "" {
		churn(dir)
	}
}

// churn goes on with what was kept, and then opens and ends sessions until it is
// killed. The table grows and shrinks all the time.
func churn(dir string) {
	t := &testing.T{}
	w := keptWorkers(t, dir, 1)
	if len(w.Sessions()) < survivors {
		for port := range uint16(survivors) {
			w.connect(t, 1+port)
		}
	}
	for port := range uint16(survivors) { // or they would be idle for too long
		w.judge(endpointENI, tcpFrame(netip.AddrPortFrom(consumer.Addr(), 1+port), endpoint, 0x10, nil))
	}
	json.NewEncoder(os.Stdout).Encode(w.Resumed())
	table := w.engines[0].table
	for n := 0; ; n++ {
		from := netip.AddrPortFrom(consumer.Addr(), uint16(10000+n%50000))
		flags := byte(syn)
		if n/50000%2 == 1 {
			flags = 0x04 // RST: the session is closed, and soon gone
		}
		w.judge(endpointENI, tcpFrame(from, endpoint, flags, nil))
		if n%64 == 0 {
			table.Expire(w.engines[0].clock(), 500)
		}
	}
}

// survivors are the sessions that nobody ends.
const survivors = 100

func TestSessionsSurviveAKillAtAnyMoment(t *testing.T) {
	rounds := 20
	if os.Getenv("PLINKSIM_LONG") == "1" {
		rounds = 300
	}
	if testing.Short() {
		rounds = 10
	}
	dir := t.TempDir()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	begun := false
	for round := range rounds {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), keptDir+"="+dir)
		out, err := child.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, child.Start())
		if begun && round%2 == 1 { // while it takes over, or shortly after
			time.Sleep(time.Duration(random.IntN(30)) * time.Millisecond)
		} else {
			line, err := bufio.NewReader(out).ReadBytes('\n')
			require.NoError(t, err)
			var r struct{ Sessions, Damaged, Foreign, Refused int }
			require.NoError(t, json.Unmarshal(line, &r))
			require.LessOrEqual(t, r.Damaged, 2, "one that was opening, and one that was closing")
			require.Zero(t, r.Foreign+r.Refused)
			require.True(t, !begun || r.Sessions >= survivors)
			begun = true
			time.Sleep(time.Duration(random.IntN(60)) * time.Millisecond)
		}
		require.NoError(t, child.Process.Kill())
		child.Wait()
	}
	w := keptWorkers(t, dir, 1)
	defer w.Close()
	require.LessOrEqual(t, w.Resumed().Damaged, 2)
	found := map[uint16]bool{}
	for _, s := range w.Sessions() {
		found[s.Consumer.Port()] = true
		_, v := w.judge(endpointENI, tcpFrame(s.Consumer, endpoint, 0x10, nil))
		require.Equal(t, fullnat.Forwarded, v)
		reply, v := w.judge(nodeENI, tcpFrame(backend, s.Local, 0x10, nil))
		require.Equal(t, fullnat.Forwarded, v)
		_, to := parse(t, reply)
		require.Equal(t, s.Consumer, to)
	}
	for port := range uint16(survivors) {
		require.True(t, found[1+port], "nat 67: consumer %d goes on", port)
	}
}
