package dataplane

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/plinksim/plinksim/pkg/packet"
)

// TestConntrackJudgesTheSame sends the segments of connections, and of those who
// forge some, through the kernel's connection tracking and through our table,
// and compares after each what both make of the connection. Both know the
// windows here: what is out of them is invalid for the kernel, which does not
// translate it then, while ours passes it on for the ends to challenge (RFC
// 5961). The other differences are those of conntrackDifferences.
func TestConntrackJudgesTheSame(t *testing.T) {
	kernel, ours := newKernelNAT(t), newTableNAT(t)
	kernel.router.do(t, func() error {
		return os.WriteFile("/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal", []byte("0"), 0)
	})
	seeds := uint64(30)
	if testing.Short() {
		seeds = 6
	}
	for seed := range seeds {
		c := newJudged(t, kernel, ours, seed)
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			c.t = t
			c.connect()
			for range 20 {
				c.talk()
			}
			c.end()
		})
	}
	for _, d := range conntrackDifferences {
		t.Run(d.name, func(t *testing.T) {
			c := newJudged(t, kernel, ours, 1000+uint64(len(d.name)))
			d.play(c)
			require.Equal(t, d.kernel, c.kernelState(), "the kernel: %s", d.source)
			require.Equal(t, d.ours, c.ourState(), "ours: %s", d.source)
		})
	}
}

// conntrackDifferences are where we judge otherwise, and why.
var conntrackDifferences = []struct {
	name, kernel, ours, source string
	play                       func(c *judged)
}{
	{
		"nat 14: data behind a RST brings the session back", "closed", "established",
		"RFC 7857, 2.2; the kernel forgets it after ten seconds, whatever comes",
		func(c *judged) {
			c.connect()
			c.send(diffConsumer, packet.FlagRST, 0, 0, 0)
			c.send(diffConsumer, packet.FlagACK, 100, 0, 0)
		},
	},
	{
		"nat 14: data from behind a FIN says that it was forged", "closing", "established",
		"RFC 9293, 3.6: nothing follows a FIN; the kernel keeps FIN_WAIT",
		func(c *judged) {
			c.connect()
			c.send(diffConsumer, packet.FlagFIN|packet.FlagACK, 0, 500, 0)
			c.send(diffConsumer, packet.FlagACK, 1000, 0, 0)
		},
	},
	{
		"nat 15: of two SYNs before the answer, the first counts as well", "syn-sent", "syn-received",
		"RFC 5961, 4: the provider answers the first; tcp_in_window begins again with the last",
		func(c *judged) {
			c.send(diffConsumer, packet.FlagSYN, 0, 0, 0)
			c.send(diffConsumer, packet.FlagSYN, 0, 1<<28, 0)
			c.send(diffProvider, packet.FlagSYN|packet.FlagACK, 0, 0, 0)
		},
	},
	{
		"nat 15: a RST before the answer must acknowledge the SYN", "none", "syn-sent",
		"RFC 9293, 3.10.7.3; the kernel believes any, and forgets the entry",
		func(c *judged) {
			c.send(diffConsumer, packet.FlagSYN, 0, 0, 0)
			c.send(diffProvider, packet.FlagRST, 0, 1<<28, 1<<28)
		},
	},
	{
		"nat 15: a SYN-ACK of another SYN leaves room for the right one", "syn-sent", "syn-received",
		"RFC 9293, 3.10.7.3; the kernel does not believe the right one then",
		func(c *judged) {
			c.send(diffConsumer, packet.FlagSYN, 0, 0, 0)
			c.send(diffProvider, packet.FlagSYN|packet.FlagACK, 100, 1<<28, 1<<28)
			c.send(diffProvider, packet.FlagSYN|packet.FlagACK, 0, 0, 0)
		},
	},
	{
		"nat 15: a RST after a FIN must have the number that is waited for, too", "closed", "closing",
		"RFC 5961, 3.2; nf_conntrack_tcp_packet asks for it in ESTABLISHED alone",
		func(c *judged) {
			c.connect()
			c.exchange(diffConsumer, packet.FlagFIN|packet.FlagACK, 0)
			c.send(diffProvider, packet.FlagRST, 0, 1<<28, 1<<28)
		},
	},
}

// judged is one connection that both see.
type judged struct {
	t      *testing.T
	kernel *kernelNAT
	ours   *tableNAT
	random *rand.Rand
	client netip.AddrPort
	next   map[packet.ENI]uint32
	began  map[packet.ENI]bool
	ports  [2]uint16 // NAT ports: the kernel's, ours
	log    []string
}

func newJudged(t *testing.T, kernel *kernelNAT, ours *tableNAT, seed uint64) *judged {
	random := rand.New(rand.NewPCG(seed, 11))
	return &judged{
		t: t, kernel: kernel, ours: ours, random: random,
		client: netip.AddrPortFrom(diffClients[0], uint16(20000+seed)),
		next:   map[packet.ENI]uint32{diffConsumer: random.Uint32(), diffProvider: random.Uint32()},
		began:  map[packet.ENI]bool{},
	}
}

func (c *judged) peer(from packet.ENI) packet.ENI { return diffConsumer + diffProvider - from }

// send sends what an end would send, or, with numbers that are off, a forgery,
// which the end does not count.
func (c *judged) send(from packet.ENI, flags byte, payload int, seqOff, ackOff uint32) {
	seq, ack := c.next[from]+seqOff, c.next[c.peer(from)]+ackOff
	if flags&packet.FlagACK == 0 {
		ack = 0
	}
	c.log = append(c.log, fmt.Sprintf("ENI %d: flags %#x, %d bytes, seq %+d, ack %+d",
		from, flags, payload, int32(seqOff), int32(ackOff)))
	build := func(natPort uint16) []byte {
		src, dst := c.client, netip.AddrPortFrom(diffENI, 80)
		if from == diffProvider {
			src, dst = netip.AddrPortFrom(diffBackend, 80), netip.AddrPortFrom(diffNATIP, natPort)
		}
		tcp := tcpSegment(src, dst, flags, make([]byte, payload))
		binary.BigEndian.PutUint32(tcp[4:], seq)
		binary.BigEndian.PutUint32(tcp[8:], ack)
		binary.BigEndian.PutUint16(tcp[16:], ^sum(pseudo(src.Addr(), dst.Addr(), protoTCP, len(tcp)), tcp))
		return ipv4Frame(src.Addr(), dst.Addr(), protoTCP, tcp)
	}
	want := c.kernel.translate(c.t, from, build(c.ports[0]))
	got := c.ours.translate(from, build(c.ports[1]))
	if seqOff == 0 && ackOff == 0 {
		require.NotNil(c.t, got, "%v", c.log)
		require.NotNil(c.t, want, "%v", c.log)
		if from == diffConsumer {
			c.ports = [2]uint16{binary.BigEndian.Uint16(want[34:]), binary.BigEndian.Uint16(got[34:])}
		}
		c.next[from] += uint32(payload)
		if flags&(packet.FlagSYN|packet.FlagFIN) != 0 {
			c.next[from]++
		}
	}
}

// exchange sends something genuine, and then both must think the same.
func (c *judged) exchange(from packet.ENI, flags byte, payload int) {
	c.send(from, flags, payload, 0, 0)
	c.agree()
}

func (c *judged) agree() { require.Equal(c.t, c.kernelState(), c.ourState(), "%v", c.log) }

// forge sends something from far outside of every window: both think as before.
func (c *judged) forge() {
	before := c.ourState()
	from := []packet.ENI{diffConsumer, diffProvider}[c.random.IntN(2)]
	kinds := []byte{
		packet.FlagFIN | packet.FlagACK, packet.FlagRST, packet.FlagRST | packet.FlagACK, packet.FlagACK,
		packet.FlagSYN, packet.FlagSYN | packet.FlagACK,
	}
	flags := kinds[c.random.IntN(len(kinds))]
	if flags == packet.FlagSYN && from == diffProvider || flags&packet.FlagRST != 0 && before != "established" {
		return // the first is refused; of the second see conntrackDifferences
	}
	far := 1<<20 + c.random.Uint32N(1<<32-1<<21)
	ack := far * uint32(c.random.IntN(2))
	c.send(from, flags, c.random.IntN(2)*100, far, ack)
	require.Equal(c.t, before, c.ourState(), "%v", c.log)
	c.agree()
}

func (c *judged) connect() {
	c.exchange(diffConsumer, packet.FlagSYN, 0)
	c.exchange(diffProvider, packet.FlagSYN|packet.FlagACK, 0)
	c.exchange(diffConsumer, packet.FlagACK, 0)
	require.Equal(c.t, "established", c.ourState())
}

func (c *judged) talk() {
	from := []packet.ENI{diffConsumer, diffProvider}[c.random.IntN(2)]
	switch c.random.IntN(3) {
	case 0:
		c.exchange(from, packet.FlagACK|packet.FlagPSH, 1+c.random.IntN(1400))
		c.exchange(c.peer(from), packet.FlagACK, 0)
	case 1:
		c.forge()
	default:
		c.send(from, packet.FlagACK, 0, ^uint32(0), 0) // a probe that it lives
		c.agree()
	}
}

// end closes the connection in one of the usual ways, with forgeries between.
func (c *judged) end() {
	const fin = packet.FlagFIN | packet.FlagACK
	first := []packet.ENI{diffConsumer, diffProvider}[c.random.IntN(2)]
	other := c.peer(first)
	if c.random.IntN(3) == 0 {
		c.exchange(first, packet.FlagRST, 0)
		require.Equal(c.t, "closed", c.ourState())
		return
	}
	c.exchange(first, fin, 0)
	c.forge()
	c.exchange(other, packet.FlagACK, 0)
	c.exchange(other, packet.FlagACK|packet.FlagPSH, 700)
	c.forge()
	c.exchange(first, packet.FlagACK, 0)
	if c.random.IntN(3) == 0 {
		c.exchange(other, packet.FlagRST, 0)
		return
	}
	c.exchange(other, fin, 0)
	c.forge()
	c.exchange(first, packet.FlagACK, 0)
	require.Equal(c.t, "closed", c.ourState())
	c.next[diffConsumer] += 1 << 20
	c.exchange(diffConsumer, packet.FlagSYN, 0)
	require.Equal(c.t, "syn-sent", c.ourState(), "the next one begins")
}

// kernelState is the state of the kernel's entry in our words. Its numbers are
// those of enum tcp_conntrack, include/uapi/linux/netfilter/nf_conntrack_tcp.h.
func (c *judged) kernelState() string {
	states := []string{
		"none", "syn-sent", "syn-received", "established", "closing", "closing",
		"closed", "closed", "closed", "syn-sent",
	}
	flows, err := c.kernel.router.handle.ConntrackTableList(netlink.ConntrackTable, netlink.FAMILY_V4)
	require.NoError(c.t, err)
	for _, flow := range flows {
		if flow.Forward.Protocol == protoTCP && flow.Forward.SrcPort == c.client.Port() {
			return states[flow.ProtoInfo.(*netlink.ProtoInfoTCP).State]
		}
	}
	return "none"
}

func (c *judged) ourState() string {
	for _, s := range c.ours.table.Sessions(nil, c.ours.now) {
		if s.Consumer == c.client && s.Protocol == packet.ProtocolTCP {
			return s.State
		}
	}
	return "none"
}
