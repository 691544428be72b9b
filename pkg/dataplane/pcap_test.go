package dataplane

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/pcap"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/stretchr/testify/require"
)

func TestPcapIsADriver(t *testing.T) {
	testDriver(t, func(t *testing.T) wire {
		from := map[packet.ENI]*bytes.Buffer{}
		readers := map[packet.ENI]*pcap.Reader{}
		p := NewPcap(func(eni packet.ENI) (io.Writer, error) {
			from[eni] = &bytes.Buffer{}
			return from[eni], nil
		})
		return wire{
			driver: p, finished: true,
			arrive: func(t *testing.T, f packet.Frame) {
				require.NoError(t, p.Add(PcapInput{ENI: f.ENI, Name: "a file", File: file(t, at{0, f.Data}),
					MTU: 1500}))
			},
			left: func(t *testing.T) packet.Frame {
				require.NoError(t, p.Flush())
				for _, eni := range []packet.ENI{1, 2} {
					if from[eni] == nil {
						continue
					}
					if readers[eni] == nil {
						var err error
						readers[eni], err = pcap.NewReader(from[eni])
						require.NoError(t, err)
					}
					var got pcap.Packet
					if err := readers[eni].Next(&got); err == nil {
						return copyOf(packet.Frame{ENI: eni, Data: got.Data})
					}
				}
				t.Fatal("nothing was sent")
				return packet.Frame{}
			},
		}
	})
}

// at is a packet and its time.
type at struct {
	time time.Duration // since day0
	data []byte
}

var day0 = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func file(t *testing.T, packets ...at) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w, err := pcap.NewWriter(&b)
	require.NoError(t, err)
	for _, p := range packets {
		require.NoError(t, w.Write(day0.Add(p.time).UnixNano(), p.data))
	}
	require.NoError(t, w.Flush())
	return &b
}

// replayed is a replay of oneEndpoint and what leaves it.
type replayed struct {
	t      *testing.T
	driver *Pcap
	engine *Engine
	files  map[packet.ENI]*bytes.Buffer
}

func newReplayed(t *testing.T) *replayed {
	r := &replayed{t: t, files: map[packet.ENI]*bytes.Buffer{}}
	r.driver = NewPcap(func(eni packet.ENI) (io.Writer, error) {
		r.files[eni] = &bytes.Buffer{}
		return r.files[eni], nil
	})
	var err error
	r.engine, err = NewEngine(EngineConfig{Driver: r.driver, Clock: r.driver.Now,
		Table: fullnat.Options{Seed: 1, MaxSessions: 1000}})
	require.NoError(t, err)
	require.NoError(t, r.engine.Configure(oneEndpoint()))
	t.Cleanup(func() { require.NoError(t, r.engine.Close()) })
	return r
}

func (r *replayed) add(eni packet.ENI, packets ...at) {
	require.NoError(r.t, r.driver.Add(PcapInput{ENI: eni, Name: "in.pcap", File: file(r.t, packets...), MTU: 1500}))
}

func (r *replayed) run() {
	require.NoError(r.t, r.engine.Replay(r.t.Context(), r.driver))
	require.NoError(r.t, r.driver.Flush())
}

// sent is what left an ENI, in order.
func (r *replayed) sent(eni packet.ENI) []at {
	r.t.Helper()
	if r.files[eni] == nil {
		return nil
	}
	reader, err := pcap.NewReader(bytes.NewReader(r.files[eni].Bytes()))
	require.NoError(r.t, err)
	var out []at
	for {
		var p pcap.Packet
		err := reader.Next(&p)
		if errors.Is(err, io.EOF) {
			return out
		}
		require.NoError(r.t, err)
		out = append(out, at{time.Unix(0, p.Time).Sub(day0), bytes.Clone(p.Data)})
	}
}

func TestReplayKeepsThePacketsTimes(t *testing.T) {
	r := newReplayed(t)
	times := []time.Duration{0, 1, time.Microsecond, time.Second, time.Hour}
	var packets []at
	for i, d := range times {
		packets = append(packets, at{d, udpFrame(netip.AddrPortFrom(consumer.Addr(), uint16(5000+i)), endpoint,
			[]byte("hello"))})
	}
	r.add(endpointENI, packets...)
	r.run()
	sent := r.sent(nodeENI)
	require.Len(t, sent, len(times))
	for i, d := range times {
		require.Equal(t, d, sent[i].time)
	}
	require.Equal(t, day0, r.driver.Start())
	require.Equal(t, time.Hour, r.driver.Now())
}

func TestReplayMergesFilesByTime(t *testing.T) {
	r := newReplayed(t)
	hello := func(port uint16, text string) []byte {
		return udpFrame(netip.AddrPortFrom(consumer.Addr(), port), endpoint, []byte(text))
	}
	r.add(endpointENI, at{2, hello(1, "c")}, at{1, hello(2, "late: d")}, at{9, hello(3, "g")})
	r.add(endpointENI, at{0, hello(4, "a")}, at{1, hello(5, "b")}, at{2, hello(6, "e")}, at{2, hello(7, "f")})
	r.run()
	var texts []string
	for _, p := range r.sent(nodeENI) {
		texts = append(texts, string(p.data[ethernetLen+ipv4Len+8:]))
	}
	require.Equal(t, []string{"a", "b", "c", "late: d", "e", "f", "g"}, texts)
}

func TestReplayEndsSessionsInVirtualTime(t *testing.T) {
	r := newReplayed(t)
	first := udpFrame(netip.AddrPortFrom(consumer.Addr(), 5000), endpoint, []byte("one"))
	r.add(endpointENI, at{0, first}, at{time.Hour, arpRequest(consumer.Addr(), consumer.Addr())})
	start := time.Now()
	r.run()
	require.Less(t, time.Since(start), 5*time.Second, "an hour without packets takes no time")
	require.Zero(t, r.engine.Stats().Table.Sessions)
	links := r.engine.Stats().Table.Links
	require.EqualValues(t, 1, links[0].SessionsOpened+links[1].SessionsOpened)
}

func TestReplayDelaysInVirtualTime(t *testing.T) {
	r := newReplayed(t)
	cfg := oneEndpoint()
	cfg.Shaping = Shaping{Links: []ShapedLink{{Name: "ep1", ENIs: []packet.ENI{endpointENI},
		ToProvider: topology.Impairment{Delay: 10 * time.Minute}}}}
	require.NoError(t, r.engine.Configure(cfg))
	hello := func(port uint16) []byte {
		return udpFrame(netip.AddrPortFrom(consumer.Addr(), port), endpoint, []byte("hello"))
	}
	r.add(endpointENI, at{0, hello(1)}, at{time.Hour, hello(2)})
	start := time.Now()
	r.run()
	require.Less(t, time.Since(start), 5*time.Second)
	sent := r.sent(nodeENI)
	require.Len(t, sent, 2)
	require.Equal(t, 10*time.Minute, sent[0].time)
	require.Equal(t, time.Hour+10*time.Minute, sent[1].time, "what waits when the packets end still leaves")
}

func TestReplayFinishesWhatIsLeftToADevice(t *testing.T) {
	r := newReplayed(t)
	syn := tcpFrame(netip.AddrPortFrom(consumer.Addr(), 40000), endpoint, 0x02, nil)
	super := tcpSuperframe(netip.AddrPortFrom(consumer.Addr(), 40001), endpoint, 0,
		bytes.Repeat([]byte("x"), 5000)).Data
	super[ethernetLen+ipv4Len+13] = 0x02 // so that it opens a session
	r.add(endpointENI, at{0, syn}, at{1, super})
	r.run()
	sent := r.sent(nodeENI)
	require.Len(t, sent, 1+4, "5,000 bytes are four packets of at most 1,500")
	for _, p := range sent {
		require.True(t, checksumsAreRight(p.data))
		require.LessOrEqual(t, len(p.data), ethernetLen+1500)
	}
	require.EqualValues(t, 1+4, r.driver.Sent()[nodeENI].Packets)
	for _, l := range r.engine.Stats().Table.Links {
		if l.Superframes > 0 {
			require.EqualValues(t, 1, l.Superframes)
			require.EqualValues(t, 1+4, l.Segments)
			return
		}
	}
	t.Fatal("no link has seen a superframe")
}

func TestReplayNamesTheFileAndThePacketThatIsWrong(t *testing.T) {
	r := newReplayed(t)
	whole := new(bytes.Buffer)
	_, err := whole.ReadFrom(file(t, at{0, arpRequest(consumer.Addr(), consumer.Addr())},
		at{1, arpRequest(consumer.Addr(), consumer.Addr())}))
	require.NoError(t, err)
	cut := bytes.NewReader(whole.Bytes()[:whole.Len()-1])
	require.NoError(t, r.driver.Add(PcapInput{ENI: endpointENI, Name: "cut.pcap", File: cut}))
	err = r.engine.Replay(t.Context(), r.driver)
	require.EqualError(t, err, "cut.pcap: packet 2 is cut off: the file ends within it")
}

func TestReplayEndsWithItsContext(t *testing.T) {
	r := newReplayed(t)
	r.add(endpointENI, at{0, arpRequest(consumer.Addr(), consumer.Addr())})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, r.engine.Replay(ctx, r.driver), context.Canceled)
}

// BenchmarkReplay is a replay of a file that is in memory.
func BenchmarkReplay(b *testing.B) {
	var in bytes.Buffer
	w, err := pcap.NewWriter(&in)
	require.NoError(b, err)
	for i := range b.N {
		port := uint16(1024 + i%10000)
		require.NoError(b, w.Write(int64(i)*1000, udpFrame(netip.AddrPortFrom(consumer.Addr(), port), endpoint,
			make([]byte, 22))))
	}
	require.NoError(b, w.Flush())
	p := NewPcap(func(packet.ENI) (io.Writer, error) { return io.Discard, nil })
	engine, err := NewEngine(EngineConfig{Driver: p, Clock: p.Now, Table: fullnat.Options{Seed: 1}})
	require.NoError(b, err)
	defer engine.Close()
	require.NoError(b, engine.Configure(oneEndpoint()))
	b.ReportAllocs()
	b.ResetTimer()
	require.NoError(b, p.Add(PcapInput{ENI: endpointENI, Name: "in", File: &in, MTU: 1500}))
	require.NoError(b, engine.Replay(b.Context(), p))
	require.EqualValues(b, b.N, engine.Stats().Table.Verdicts[fullnat.Forwarded])
}
