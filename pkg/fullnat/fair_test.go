package fullnat

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/packet"
)

// market is a target that three endpoints share, and how it takes what comes: it
// remembers what Linux' TCP would, so that a port that comes back too soon fails.
type market struct {
	t        *testing.T
	table    *Table
	now      time.Duration
	awaiting map[uint16]uint32        // by NAT port: the number that follows the SYN
	left     map[uint16]time.Duration // when a connection was closed
	frames   [3]packet.Frame          // a SYN of each endpoint's consumers
	pristine [3][]byte
}

var marketTarget = netip.MustParseAddrPort("192.168.0.1:80")

func newMarket(t *testing.T, behaviour Behaviour) *market {
	table, err := New(Options{Seed: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, table.Close()) })
	m := &market{t: t, table: table, awaiting: map[uint16]uint32{}, left: map[uint16]time.Duration{}}
	cfg := &Config{ENIs: []Interface{{ENI: 9, NextHop: packet.MACOf}}}
	for i := range 3 {
		eni := packet.ENI(i + 1)
		cfg.ENIs = append(cfg.ENIs, Interface{ENI: eni, NextHop: packet.MACOf})
		cfg.Links = append(cfg.Links, Link{
			Name: fmt.Sprint("ep", i), Ingress: eni, Match: netip.MustParseAddrPort("10.0.1.200:80"), Protocol: packet.ProtocolTCP,
			Egress: 9, Local: []netip.Addr{netip.MustParseAddr("10.0.9.11")}, Connected: true, Idle: time.Hour,
			Pick:      func(packet.FiveTuple, uint32) (netip.AddrPort, bool) { return marketTarget, true },
			Behaviour: behaviour,
		})
		syn, err := parseMessage("tcp 10.0.1.10:40000 > 10.0.1.200:80 S seq=7000 df")
		require.NoError(t, err)
		m.frames[i] = syn.frame(eni)
		m.pristine[i] = append([]byte(nil), m.frames[i].Data...)
	}
	require.NoError(t, table.Configure(cfg, 0))
	return m
}

// send lets a consumer of an endpoint send, and tells the target what it gets.
func (m *market) send(endpoint int, src uint32, port uint16, flags byte, seq, ack uint32) (Verdict, uint16) {
	f := m.frames[endpoint]
	copy(f.Data, m.pristine[endpoint])
	binary.BigEndian.PutUint32(f.Data[26:], src)
	binary.BigEndian.PutUint16(f.Data[34:], port)
	binary.BigEndian.PutUint32(f.Data[38:], seq)
	binary.BigEndian.PutUint32(f.Data[42:], ack)
	f.Data[47] = flags
	frames, verdicts := [1]packet.Frame{f}, [1]Verdict{}
	m.table.Forward(frames[:], verdicts[:], m.now)
	for _, own := range m.table.Pending() {
		if own.ENI == 9 {
			m.receive(own.Data)
		}
	}
	if verdicts[0] != Forwarded {
		return verdicts[0], 0
	}
	m.receive(frames[0].Data)
	return Forwarded, binary.BigEndian.Uint16(frames[0].Data[34:])
}

// receive is the target.
func (m *market) receive(frame []byte) {
	port, seq := binary.BigEndian.Uint16(frame[34:]), binary.BigEndian.Uint32(frame[38:])
	switch flags := frame[47]; {
	case flags&packet.FlagSYN != 0:
		if awaited, ok := m.awaiting[port]; ok {
			require.Equal(m.t, awaited, seq+1, "port %d: the target still waits for another consumer", port)
		}
		if at, ok := m.left[port]; ok {
			require.GreaterOrEqual(m.t, m.now-at, time.Minute, "port %d: the target is in TIME-WAIT", port)
		}
		m.awaiting[port] = seq + 1
	case flags&packet.FlagRST != 0:
		require.Equal(m.t, m.awaiting[port], seq, "the number that the target believes")
		delete(m.awaiting, port)
	case flags&packet.FlagFIN != 0:
		m.left[port] = m.now
	default:
		delete(m.awaiting, port)
	}
}

// answer lets the target send.
func (m *market) answer(port uint16, flags string, seq, ack uint32) {
	reply := message{protocol: "tcp", src: marketTarget, dst: netip.AddrPortFrom(netip.MustParseAddr("10.0.9.11"), port),
		flags: flags, seq: seq, ack: ack, ttl: 64}
	frames, verdicts := []packet.Frame{reply.frame(9)}, make([]Verdict, 1)
	m.table.Forward(frames, verdicts, m.now)
	require.Equal(m.t, Forwarded, verdicts[0])
}

// visit is an honest connection from its SYN to both FINs.
func (m *market) visit(endpoint int, src uint32, port uint16) Verdict {
	v, nat := m.send(endpoint, src, port, packet.FlagSYN, 7000, 0)
	if v != Forwarded {
		return v
	}
	m.answer(nat, "SA", 100, 7001)
	for _, flags := range []byte{packet.FlagACK, packet.FlagACK | packet.FlagFIN} {
		if v, _ := m.send(endpoint, src, port, flags, 7001, 101); v != Forwarded {
			return v
		}
	}
	m.answer(nat, "FA", 101, 7002)
	v, _ = m.send(endpoint, src, port, packet.FlagACK, 7002, 102)
	return v
}

// One endpoint floods the target that three share with SYNs. Whatever becomes of
// them, no connection of the others is refused: neither for want of a NAT port,
// nor of a place in the table.
func TestAFloodThroughOneEndpointCostsTheOthersNothing(t *testing.T) {
	testenv.NeedNoRace(t) // one goroutine
	const perSecond, honest = 56_000, 100
	seconds := 6
	if os.Getenv("PLINKSIM_LONG") == "1" {
		seconds = 60
	}
	for _, flood := range []struct {
		name   string
		forged bool // each SYN has another source
		resets bool // the target answers, and the flood's host knows nothing of it
	}{
		{"nat 21: from one source, nobody confirms", false, false},
		{"nat 21: from one source, each is reset", false, true},
		{"nat 21: from forged sources, nobody confirms", true, false},
		{"nat 21: from forged sources, each is reset", true, true},
	} {
		t.Run(flood.name, func(t *testing.T) {
			m := newMarket(t, Behaviour{})
			var failed, got, sent int
			for ms := range seconds * 1000 {
				m.now = time.Duration(ms) * time.Millisecond
				for range perSecond / 1000 {
					sent++
					src := uint32(0x0a000a0a)
					if flood.forged {
						src += uint32(sent*2654435761) >> 12
					}
					port := uint16(1024 + sent%60000)
					seq := src*5 + uint32(port)*3 // as of a host that sends it again
					v, nat := m.send(0, src, port, packet.FlagSYN, seq, 0)
					if v == Forwarded {
						got++
						if flood.resets {
							m.answer(nat, "SA", 100, seq+1)
							m.send(0, src, port, packet.FlagRST, seq+1, 0)
						}
					}
				}
				if ms%(1000/honest) == 0 {
					for endpoint := 1; endpoint < 3; endpoint++ {
						n := ms/(1000/honest)*2 + endpoint
						if v := m.visit(endpoint, 0x0a000b00+uint32(n/50000), uint16(10000+n%50000)); v != Forwarded {
							failed++
						}
					}
				}
				m.table.Expire(m.now, 2000)
			}
			require.Zero(t, failed, "of %d connections, while %d SYNs were sent and %d passed", 2*honest*seconds, sent, got)
			require.Greater(t, got, 50_000, "what nobody else wants is the flood's")
		})
	}
}

// In one endpoint those who come later get the port of one who had time enough.
func TestAnotherConsumerOfTheEndpointGetsAPortInTime(t *testing.T) {
	testenv.NeedNoRace(t) // one goroutine
	m := newMarket(t, Behaviour{})
	for n := range 55_000 {
		v, _ := m.send(0, 0x0a000a0a, uint16(1024+n), packet.FlagSYN, 7000, 0)
		require.Equal(t, Forwarded, v)
	}
	v, _ := m.send(0, 0x0a000a0a, 1000, packet.FlagSYN, 7000, 0)
	require.Equal(t, NoNATPort, v, "nat 21: who has them all gets none of them")
	require.Equal(t, NoNATPort, m.visit(0, 0x0a000a0b, 1000), "nat 21: they may still be confirmed")
	m.now += 1500 * time.Millisecond
	require.Equal(t, Forwarded, m.visit(0, 0x0a000a0b, 1000))
	require.EqualValues(t, 1, m.table.Stats().Links[0].Evicted)
	require.Equal(t, NoNATPort, m.visit(0, 0x0a000a0a, 1001))
}

// A consumer whose SYN-ACK was lost keeps its NAT port, whoever comes later, as long as a
// flood has ports that can be taken; and it keeps no other consumer from those.
func TestAPatientConsumerKeepsWhatTheFloodShouldGive(t *testing.T) {
	testenv.NeedNoRace(t) // one goroutine
	m := newMarket(t, Behaviour{})
	flood := func(count int) {
		for n := range count {
			m.send(0, 0x0a000a0a, uint16(1024+n), packet.FlagSYN, 7000, 0)
		}
	}
	flood(100)
	v, nat := m.send(1, 0x0a000a0b, 1000, packet.FlagSYN, 7000, 0)
	require.Equal(t, Forwarded, v)
	for n := range 3 { // of the same consumer, no older than half of the flood
		v, _ := m.send(1, 0x0a000a0b, uint16(2000+n), packet.FlagSYN, 7000, 0)
		require.Equal(t, Forwarded, v)
	}
	flood(60_000)
	for n := range 200 { // all of the flood that is older, and some
		require.Equal(t, Forwarded, m.visit(2, 0x0a000a0c, uint16(1000+n)), "nat 21: visit %d", n)
	}
	require.Equal(t, Forwarded, m.visit(1, 0x0a000a0b, 3000), "nat 21: of the same endpoint")
	m.answer(nat, "SA", 100, 7001)
	v, _ = m.send(1, 0x0a000a0b, 1000, packet.FlagACK, 7001, 101)
	require.Equal(t, Forwarded, v, "nat 21: the patient one is served")
	require.Zero(t, m.table.Stats().Links[1].Evicted)
}
