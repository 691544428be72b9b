package pcap_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/pcap"
)

// sent is a packet of a host: when it was, by the clock of all, and when it arrives.
type sent struct {
	source  int
	at      time.Duration
	arrives time.Duration
	text    string
}

// anyTraffic is what hosts capture in a second. Each packet is on its way for at most slow.
func anyTraffic(r *rand.Rand, hosts int, slow time.Duration) (all []sent) {
	for i := range hosts {
		at, arrives := time.Duration(0), time.Duration(0)
		for n := range r.IntN(40) {
			at += time.Duration(r.IntN(50)) * time.Millisecond // often at the same time as another's
			arrives = max(arrives, at+time.Duration(r.Int64N(int64(slow)+1)))
			all = append(all, sent{i, at, arrives, fmt.Sprintf("packet %d of host %d", n, i)})
		}
	}
	return all
}

// merged are the comments of the packets of a merged capture, and what it notes.
func merged(t *testing.T, file []byte) (texts, notes []string) {
	t.Helper()
	r, err := pcap.NewReader(bytes.NewReader(file))
	require.NoError(t, err)
	r.Note = func(text string) { notes = append(notes, text) }
	for {
		var p pcap.Packet
		if err := r.Next(&p); errors.Is(err, io.EOF) {
			return texts, notes
		} else {
			require.NoError(t, err)
		}
		texts = append(texts, fmt.Sprint(p.Interface, " ", p.Time, " ", p.Comment))
	}
}

// mergeTraffic merges what hosts send, whose clocks differ, in a bubble.
func mergeTraffic(t *testing.T, all []sent, ahead []time.Duration, cfg pcap.MergeConfig) []byte {
	t.Helper()
	begin := time.Now()
	var sources []pcap.Source
	var sending sync.WaitGroup
	for i := range ahead {
		r, w := io.Pipe()
		sources = append(sources, pcap.Source{Name: fmt.Sprint("host ", i), In: r, Ahead: ahead[i]})
		sending.Go(func() {
			defer w.Close()
			out, err := pcap.NewNgWriter(w, "plinksim")
			if err == nil {
				_, err = out.AddInterface(fmt.Sprint("ep@", i), "an endpoint")
			}
			for _, p := range all {
				if p.source != i || err != nil {
					continue
				}
				time.Sleep(time.Until(begin.Add(p.arrives)))
				err = out.Write(0, &pcap.Packet{Time: noon + int64(p.at+ahead[i]), Data: frames[0], Comment: p.text})
			}
			if err != nil && !errors.Is(err, io.ErrClosedPipe) {
				t.Error(err)
			}
		})
	}
	var file bytes.Buffer
	require.NoError(t, pcap.Merge(t.Context(), &file, sources, cfg))
	sending.Wait()
	return file.Bytes()
}

// byTime compares what merged returns. What hosts have seen at the same time may be in any order.
func byTime(a, b string) int { return cmp.Compare(strings.Fields(a)[1], strings.Fields(b)[1]) }

// The naive twin sorts everything at once.
func TestMergeIsSortingWhileNothingIsLaterThanTheWindow(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		all := anyTraffic(r, 1+r.IntN(4), pcap.MergeWindow)
		var ahead []time.Duration
		for range 4 {
			ahead = append(ahead, time.Duration(r.Int64N(int64(2*time.Hour)))-time.Hour)
		}
		sorted := slices.Clone(all)
		slices.SortStableFunc(sorted, func(a, b sent) int {
			return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.source, b.source))
		})
		var want []string
		for _, p := range sorted {
			want = append(want, fmt.Sprintf("ep@%d %d %s", p.source, noon+int64(p.at), p.text))
		}
		synctest.Test(t, func(t *testing.T) {
			got, _ := merged(t, mergeTraffic(t, all, ahead, pcap.MergeConfig{}))
			require.True(t, slices.IsSortedFunc(got, byTime), "%v", got)
			slices.SortStableFunc(got, func(a, b string) int { return cmp.Or(byTime(a, b), cmp.Compare(a[:4], b[:4])) })
			require.Equal(t, want, got)
		})
	}
}

// What comes too late is there, out of order.
func TestMergeLosesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		all := anyTraffic(r, 3, 10*pcap.MergeWindow)
		var want []string
		for _, p := range all {
			want = append(want, fmt.Sprintf("ep@%d %d %s", p.source, noon+int64(p.at), p.text))
		}
		synctest.Test(t, func(t *testing.T) {
			got, _ := merged(t, mergeTraffic(t, all, make([]time.Duration, 3), pcap.MergeConfig{}))
			require.ElementsMatch(t, want, got)
		})
	}
}

func TestMergeEndsAfterSoManyPackets(t *testing.T) {
	all := anyTraffic(rand.New(rand.NewPCG(1, 2)), 3, 0)
	require.Greater(t, len(all), 10)
	synctest.Test(t, func(t *testing.T) {
		got, _ := merged(t, mergeTraffic(t, all, make([]time.Duration, 3), pcap.MergeConfig{Count: 7}))
		require.Len(t, got, 7)
	})
}

// A host without packets does not keep those of the others for longer than the window.
func TestMergeWaitsForNobodyLongerThanTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent, end := io.Pipe()
		defer end.Close()
		busy, in := io.Pipe()
		file, written := io.Pipe()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			err := pcap.Merge(ctx, written, []pcap.Source{{Name: "host a", In: silent}, {Name: "host b", In: busy}}, pcap.MergeConfig{})
			written.Close()
			ended <- err
		}()
		go func() {
			out, err := pcap.NewNgWriter(in, "plinksim")
			if err == nil {
				_, err = out.AddInterface("ep", "")
			}
			if err == nil {
				err = out.Write(0, &pcap.Packet{Time: noon, Data: frames[0]})
			}
			if err != nil {
				t.Error(err)
			}
		}()
		began := time.Now()
		r, err := pcap.NewReader(file)
		require.NoError(t, err)
		var p pcap.Packet
		require.NoError(t, r.Next(&p))
		require.Equal(t, pcap.MergeWindow, time.Since(began))
		cancel()
		require.ErrorIs(t, r.Next(&p), io.EOF)
		require.NoError(t, <-ended, "its end was wanted")
	})
}

func TestMergeSaysWhatIsMissing(t *testing.T) {
	broken := append(ngFile(t), 1, 2, 3, 4, 5, 6, 7, 8)
	unknown := slices.Clone(ngFile(t))
	i := bytes.Index(unknown, []byte("forwarded")) - 4 - 16 - 20 // the number of the first packet's interface
	binary.LittleEndian.PutUint32(unknown[i:], 2)
	for _, tt := range []struct {
		name    string
		second  pcap.Source
		packets int
		want    string
	}{
		{"a host that does not answer", pcap.Source{Err: errors.New("host b: no answer within 2 s")}, 3, "host b: no answer within 2 s"},
		{"a host whose capture ends", pcap.Source{In: io.NopCloser(bytes.NewReader(ngFile(t)))}, 6, "host b: its capture has ended"},
		{"a connection that breaks", pcap.Source{In: io.NopCloser(io.MultiReader(bytes.NewReader(ngFile(t)),
			iotest.ErrReader(errors.New("connection reset"))))}, 6, "host b: its capture has ended: connection reset"},
		{"what is no capture", pcap.Source{In: io.NopCloser(bytes.NewReader(broken))}, 6, "host b: its capture has ended: has a block of a length"},
		{"a packet of no interface", pcap.Source{In: io.NopCloser(bytes.NewReader(unknown))}, 3,
			"host b: its capture has ended: has a block that plinksim does not write"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.second.Name = "host b"
			var file bytes.Buffer
			require.NoError(t, pcap.Merge(t.Context(), &file,
				[]pcap.Source{{Name: "host a", In: io.NopCloser(bytes.NewReader(ngFile(t)))}, tt.second}, pcap.MergeConfig{}))
			packets, notes := merged(t, file.Bytes())
			require.Len(t, packets, tt.packets)
			require.Contains(t, strings.Join(notes, "\n"), tt.want)
			var again bytes.Buffer
			var seen []string
			n, dropped, err := pcap.CopyBlocks(&again, &file, func(text string) { seen = append(seen, text) })
			require.NoError(t, err)
			require.EqualValues(t, tt.packets, n)
			require.EqualValues(t, 3*(1+(tt.packets-3)/3), dropped, "packets that hosts have left out")
			require.Equal(t, notes, seen)
		})
	}
}

// Wireshark shows of which host an interface is.
func TestWiresharkReadsAMergedCapture(t *testing.T) {
	testenv.NeedPrograms(t, "tshark")
	path := filepath.Join(t.TempDir(), "merged.pcapng")
	file, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, pcap.Merge(t.Context(), file, []pcap.Source{
		{Name: "host a", In: io.NopCloser(bytes.NewReader(ngFile(t)))},
		{Name: "host b", In: io.NopCloser(bytes.NewReader(ngFile(t))), Ahead: 2 * time.Nanosecond},
		{Name: "host c", Err: errors.New("no answer")},
	}, pcap.MergeConfig{}))
	require.NoError(t, file.Close())
	out, err := exec.Command("tshark", "-r", path, "-T", "fields", "-e", "frame.time_epoch",
		"-e", "frame.interface_name", "-e", "frame.interface_description").Output()
	require.NoError(t, err)
	var want string
	for _, p := range []struct {
		after     int64
		eni, host string
	}{{-2, "ep1", "b"}, {-1, "clb1", "b"}, {0, "ep1", "a"}, {0, "ep1", "b"}, {1, "clb1", "a"}, {2, "ep1", "a"}} {
		at := noon + p.after
		want += fmt.Sprintf("%d.%s\t%s@zone\thost %s: what it is\n", at/1e9, strconv.FormatInt(1e9+at%1e9, 10)[1:], p.eni, p.host)
	}
	require.Equal(t, want, string(out))
}

// What another host sends may be anything.
func FuzzMerge(f *testing.F) {
	f.Add([]byte{})
	f.Add(ngWith(9, 0, 7))
	var b bytes.Buffer
	w, err := pcap.NewNgWriter(&b, "plinksim")
	require.NoError(f, err)
	_, err = w.AddInterface("ep", "")
	require.NoError(f, err)
	require.NoError(f, w.Write(0, &pcap.Packet{Time: noon, Data: frames[0], Comment: "forwarded"}))
	require.NoError(f, w.WriteStatistics(0, noon, 1, 1))
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, file []byte) {
		var out bytes.Buffer
		require.NoError(t, pcap.Merge(t.Context(), &out, []pcap.Source{
			{Name: "host a", In: io.NopCloser(bytes.NewReader(b.Bytes()))},
			{Name: "host b", In: io.NopCloser(bytes.NewReader(file)), Ahead: time.Hour},
		}, pcap.MergeConfig{}))
		packets, _, err := pcap.CopyBlocks(io.Discard, &out, nil)
		require.NoError(t, err)
		require.NotZero(t, packets, "those of the other host are there")
	})
}
