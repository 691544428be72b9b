package fullnat

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/plinksim/plinksim/pkg/packet"
)

// message is a packet as stories write it:
//
//	tcp 10.0.1.10:40000 > 10.0.1.200:5432 SA seq=1000 ack=1 len=100 ttl=1
//	udp 10.0.1.10:40000 > 10.0.1.200:53
//	icmp 10.0.9.1 > 10.0.9.11 3/4 quoting tcp 10.0.9.11:1024 > 10.0.1.10:5432 S
//	gre 10.0.1.10 > 10.0.1.200
//
// TCP has a window of 65535, or "win=1000", and a SYN "scale=7".
//
// "df" at the end marks a packet that must not become fragments, "control" the
// precedence of ICMP errors, "bad" a damaged checksum, and "damaged" that of the
// IPv4 header. "id=7 bytes=0-1480"
// is the fragment that has these bytes of the datagram behind the IPv4 header;
// as it leaves, it has the ports only if it is the first, and "more" says that
// it is not the last. Echoes have "ident=77", frag-needed has "mtu=1400".
//
// IPv6 has [2001:db8::1]:80, the types and codes of ICMPv6, and "chain=0,43/1" for
// headers of 8 bytes that extend it, here hop-by-hop options and a route with
// one router left. "chain=44" is a fragment header with all of the datagram.
type message struct {
	protocol   string
	src, dst   netip.AddrPort
	flags      string // or type/code of ICMP
	len        int
	ttl        uint8
	quoted     *message
	partial    bool // the sender left the checksum to the device
	gsoSize    uint16
	noChecksum bool
	seq, ack   uint32
	win        int  // 0 stands for 65535, and -1 for 0
	scale      int8 // the window scale and one more; 0 without
	df         bool
	control    bool
	id         uint32 // told of fragments only
	chain      string // of IPv6, without a fragment header of a piece
	from, to   int    // bytes that a fragment has; to is 0 for what is none
	more       bool
	ident      uint16 // of an echo
	mtu        uint16 // of frag-needed
	mss        uint16
	tos        uint8
	options    []byte // of IPv4
	gsoType    uint8  // 0: TCP
	bad        bool
	damaged    bool // the IPv4 header
}

var protocolNumbers = map[string]uint8{"tcp": 6, "udp": 17, "icmp": 1, "gre": 47}

const flagLetters = "FSRPAUEC"

func parseMessage(s string) (m message, err error) {
	head, quoted, quotes := strings.Cut(s, " quoting ")
	words := strings.Fields(head)
	if len(words) < 4 || words[2] != ">" || protocolNumbers[words[0]] == 0 {
		return m, fmt.Errorf("%q is no packet: want PROTOCOL SOURCE > DESTINATION", s)
	}
	m = message{protocol: words[0], ttl: 64}
	if m.src, err = parseEnd(words[1]); err != nil {
		return m, err
	}
	if m.dst, err = parseEnd(words[3]); err != nil {
		return m, err
	}
	for _, word := range words[4:] {
		name, value, _ := strings.Cut(word, "=")
		n, _ := strconv.Atoi(value)
		switch name {
		case "seq":
			m.seq = uint32(n)
		case "ack":
			m.ack = uint32(n)
		case "win":
			m.win = n
			if n == 0 {
				m.win = -1
			}
		case "scale":
			m.scale = int8(n + 1)
		case "df":
			m.df = true
		case "control":
			m.control = true
		case "bad":
			m.bad = true
		case "damaged":
			m.damaged = true
		case "len":
			m.len = n
		case "ttl":
			m.ttl = uint8(n)
		case "gso":
			m.gsoSize = uint16(n)
		case "id":
			m.id = uint32(n)
		case "bytes":
			fmt.Sscanf(value, "%d-%d", &m.from, &m.to)
		case "ident":
			m.ident = uint16(n)
		case "mtu":
			m.mtu = uint16(n)
		case "mss":
			m.mss = uint16(n)
		case "tos":
			m.tos = uint8(n)
		case "chain":
			m.chain = value
		case "options":
			m.options, _ = hex.DecodeString(value)
		case "gsotype":
			m.gsoType = uint8(n)
		case "partial":
			m.partial = true
		case "nosum":
			m.noChecksum = true
		default:
			m.flags = name
		}
	}
	if quotes {
		inner, err := parseMessage(quoted)
		m.quoted = &inner
		return m, err
	}
	return m, nil
}

func parseEnd(s string) (netip.AddrPort, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(addr, 0), nil
	}
	return netip.ParseAddrPort(s)
}

func (m message) isIPv6() bool { return m.src.Addr().Is6() }

func (m message) String() string {
	b := &strings.Builder{}
	if m.src.Port()|m.dst.Port() != 0 || (m.protocol == "tcp" || m.protocol == "udp") && m.from == 0 {
		fmt.Fprintf(b, "%s %s > %s", m.protocol, m.src, m.dst)
	} else {
		fmt.Fprintf(b, "%s %s > %s", m.protocol, m.src.Addr(), m.dst.Addr())
	}
	if m.flags != "" {
		b.WriteString(" " + m.flags)
	}
	if m.seq > 0 {
		fmt.Fprintf(b, " seq=%d", m.seq)
	}
	if m.ack > 0 {
		fmt.Fprintf(b, " ack=%d", m.ack)
	}
	if m.win > 0 {
		fmt.Fprintf(b, " win=%d", m.win)
	}
	if m.scale > 0 {
		fmt.Fprintf(b, " scale=%d", m.scale-1)
	}
	if m.len > 0 {
		fmt.Fprintf(b, " len=%d", m.len)
	}
	if m.ttl != 64 {
		fmt.Fprintf(b, " ttl=%d", m.ttl)
	}
	if m.gsoSize > 0 {
		fmt.Fprintf(b, " gso=%d", m.gsoSize)
	}
	if m.partial {
		b.WriteString(" partial")
	}
	if m.noChecksum {
		b.WriteString(" nosum")
	}
	if m.ident > 0 {
		fmt.Fprintf(b, " ident=%d", m.ident)
	}
	if m.mtu > 0 {
		fmt.Fprintf(b, " mtu=%d", m.mtu)
	}
	if m.mss > 0 {
		fmt.Fprintf(b, " mss=%d", m.mss)
	}
	if m.tos > 0 {
		fmt.Fprintf(b, " tos=%d", m.tos)
	}
	if len(m.options) > 0 {
		fmt.Fprintf(b, " options=%x", m.options)
	}
	if m.gsoType > 0 {
		fmt.Fprintf(b, " gsotype=%d", m.gsoType)
	}
	if m.chain != "" {
		fmt.Fprintf(b, " chain=%s", m.chain)
	}
	if m.to > 0 {
		fmt.Fprintf(b, " id=%d bytes=%d-%d", m.id, m.from, m.to)
	}
	if m.more {
		b.WriteString(" more")
	}
	if m.df {
		b.WriteString(" df")
	}
	if m.control {
		b.WriteString(" control")
	}
	if m.quoted != nil {
		b.WriteString(" quoting " + m.quoted.String())
	}
	return b.String()
}

// frame builds the message as a host with MACs of MACOf would send it.
func (m message) frame(eni packet.ENI) packet.Frame {
	src, dst := packet.MACOf(m.src.Addr()), packet.MACOf(m.dst.Addr())
	data := append(append(append([]byte(nil), dst[:]...), src[:]...), 0x08, 0x00)
	if m.isIPv6() {
		data[12], data[13] = 0x86, 0xdd
	}
	f := packet.Frame{ENI: eni, Data: append(data, m.ip()...)}
	if m.partial {
		f.Offload = packet.Offload{NeedsCsum: true, CsumStart: 34 + uint16(len(m.options)), CsumOffset: 16}
		if m.isIPv6() {
			f.Offload.CsumStart = 54 + uint16(8*len(m.headers()))
		}
		if m.protocol == "udp" {
			f.Offload.CsumOffset = 6
		}
	}
	if m.gsoSize > 0 {
		f.Offload.GSOType, f.Offload.GSOSize = m.usualGSO(), m.gsoSize
	}
	if m.gsoType > 0 {
		f.Offload.GSOType = m.gsoType
	}
	return f
}

func (m message) usualGSO() uint8 {
	if m.isIPv6() {
		return packet.GSOTCPv6
	}
	return packet.GSOTCPv4
}

func (m message) ip() []byte {
	if m.isIPv6() {
		return m.ipv6()
	}
	return m.ipv4()
}

// headers are the numbers of the headers that extend one of IPv6.
func (m message) headers() (numbers []string) {
	if m.chain != "" {
		numbers = strings.Split(m.chain, ",")
	}
	if m.to > 0 {
		numbers = append(numbers, "44")
	}
	return numbers
}

func (m message) ipv6() []byte {
	l4 := m.l4()
	frag := uint16(m.from)
	if m.to > 0 {
		if m.to < len(l4) || m.more {
			frag |= 1
		}
		l4 = l4[m.from:min(m.to, len(l4))]
	}
	h := make([]byte, 40)
	h[0], h[1], h[7] = 0x60|m.tos>>4, m.tos<<4, m.ttl
	next := &h[6]
	for _, name := range m.headers() {
		header := make([]byte, 8)
		fmt.Sscanf(name, "%d/%d", next, &header[3])
		switch *next {
		case 44:
			binary.BigEndian.PutUint16(header[2:], frag)
			binary.BigEndian.PutUint32(header[4:], m.id)
		case 0, 60:
			header[2], header[3] = 1, 4 // PadN
		}
		h = append(h, header...)
		next = &h[len(h)-8]
	}
	*next = m.number()
	binary.BigEndian.PutUint16(h[4:], uint16(len(h)-40+len(l4)))
	copy(h[8:], m.src.Addr().AsSlice())
	copy(h[24:], m.dst.Addr().AsSlice())
	return append(h, l4...)
}

// number is what the IP header calls the protocol.
func (m message) number() uint8 {
	if m.isIPv6() && m.protocol == "icmp" {
		return 58
	}
	return protocolNumbers[m.protocol]
}

func (m message) ipv4() []byte {
	l4 := m.l4()
	frag := uint16(m.from / 8)
	if m.to > 0 {
		if m.to < len(l4) || m.more {
			frag |= 0x2000
		}
		l4 = l4[m.from:min(m.to, len(l4))]
	}
	h := make([]byte, 20+len(m.options), 20+len(m.options)+len(l4))
	copy(h[20:], m.options)
	h[0], h[1], h[8], h[9] = 0x40|byte(len(h)/4), m.tos, m.ttl, protocolNumbers[m.protocol]
	binary.BigEndian.PutUint16(h[2:], uint16(len(h)+len(l4)))
	binary.BigEndian.PutUint16(h[4:], uint16(m.id))
	binary.BigEndian.PutUint16(h[6:], frag)
	if m.df {
		h[6] |= 0x40
	}
	if m.control {
		h[1] = 0xc0
	}
	copy(h[12:], m.src.Addr().AsSlice())
	copy(h[16:], m.dst.Addr().AsSlice())
	binary.BigEndian.PutUint16(h[10:], ^sumOf(h))
	if m.damaged {
		h[10] ^= 0x55
	}
	return append(h, l4...)
}

func (m message) l4() []byte {
	var h []byte
	at := -1
	switch m.protocol {
	case "tcp":
		h, at = make([]byte, 20), 16
		if m.mss > 0 {
			h = append(h, 2, 4, byte(m.mss>>8), byte(m.mss))
		}
		if m.scale > 0 {
			h = append(h, packet.OptionNop, packet.OptionWindowScale, 3, byte(m.scale-1))
		}
		h[12] = byte(len(h)) << 2
		binary.BigEndian.PutUint16(h[14:], uint16(max(cmp.Or(m.win, 65535), 0)))
		binary.BigEndian.PutUint32(h[4:], m.seq)
		binary.BigEndian.PutUint32(h[8:], m.ack)
		for i, letter := range flagLetters {
			if strings.ContainsRune(m.flags, letter) {
				h[13] |= 1 << i
			}
		}
	case "udp":
		h, at = make([]byte, 8), 6
		binary.BigEndian.PutUint16(h[4:], uint16(8+m.len))
	case "icmp":
		h = make([]byte, 8)
		fmt.Sscanf(m.flags, "%d/%d", &h[0], &h[1])
		binary.BigEndian.PutUint16(h[4:], m.ident)
		binary.BigEndian.PutUint16(h[6:], m.mtu)
		if m.quoted != nil {
			quote := m.quoted.ip()
			if m.isIPv6() { // as long as every link can carry
				quote = quote[:min(len(quote), 1280-48)]
			} else if m.control { // an error of the table's own has 576 bytes at most
				quote = quote[:min(len(quote), 576-28)]
			}
			h = append(h, quote...)
		}
	}
	if at >= 0 {
		binary.BigEndian.PutUint16(h[0:], m.src.Port())
		binary.BigEndian.PutUint16(h[2:], m.dst.Port())
	}
	for i := range m.len {
		h = append(h, byte(i*7))
	}
	switch {
	case m.noChecksum:
	case m.protocol == "icmp" && m.isIPv6():
		binary.BigEndian.PutUint16(h[2:], ^sumOf(append(m.pseudo(len(h)), h...)))
	case m.protocol == "icmp":
		binary.BigEndian.PutUint16(h[2:], ^sumOf(h))
	case at >= 0 && m.partial:
		binary.BigEndian.PutUint16(h[at:], sumOf(m.pseudo(len(h))))
	case at >= 0:
		sum := ^sumOf(append(m.pseudo(len(h)), h...))
		if sum == 0 && m.protocol == "udp" {
			sum = 0xffff
		}
		binary.BigEndian.PutUint16(h[at:], sum)
	}
	if m.bad {
		h[at] ^= 0x55
	}
	return h
}

func (m message) pseudo(length int) []byte {
	b := append(m.src.Addr().AsSlice(), m.dst.Addr().AsSlice()...)
	return append(b, 0, m.number(), byte(length>>8), byte(length))
}

func sumOf(data []byte) uint16 {
	var sum uint32
	for i, b := range data {
		if i%2 == 0 {
			sum += uint32(b) << 8
		} else {
			sum += uint32(b)
		}
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}

// read tells what a frame says, and whether it is to the last byte what its
// sender would have built: payload, lengths and all checksums.
func read(f packet.Frame) (m message, exact bool) {
	m = readIP(f.Data[packet.L3:])
	m.partial = f.Offload.NeedsCsum
	m.gsoSize = f.Offload.GSOSize
	if f.Offload.GSOType != m.usualGSO() {
		m.gsoType = f.Offload.GSOType
	}
	if m.isIPv6() {
		if etherType := binary.BigEndian.Uint16(f.Data[12:]); etherType != packet.EtherTypeIPv6 {
			return m, false
		}
		if m.to > 0 {
			return m, true
		}
		if m.quoted != nil && (m.quoted.to > 0 || m.mtu > 0) {
			l4 := f.Data[packet.L3+40:]
			return m, sumOf(append(m.pseudo(len(l4)), l4...)) == 0xffff
		}
		l4 := f.Data[packet.L3+40+8*len(m.headers()):]
		m.noChecksum = m.protocol == "udp" && !m.partial && l4[6] == 0 && l4[7] == 0
		return m, string(m.ipv6()) == string(f.Data[packet.L3:])
	}
	if m.to > 0 {
		// Whether it is exact is seen when all of the datagram has come.
		return m, sumOf(f.Data[packet.L3:packet.L3+20+len(m.options)]) == 0xffff
	}
	if m.quoted != nil && (m.quoted.to > 0 || m.mtu > 0) {
		// A part of a datagram can be quoted, but not built; and what is quoted
		// of a superframe does not say that its checksum was left to the device.
		return m, sumOf(f.Data[packet.L3+20+len(m.options):]) == 0xffff
	}
	m.noChecksum = m.protocol == "udp" && !m.partial && f.Data[40+len(m.options)] == 0 && f.Data[41+len(m.options)] == 0
	built := m.ipv4()
	return m, string(built) == string(f.Data[packet.L3:])
}

func readIP(h []byte) message {
	if h[0]>>4 == 6 {
		return readIPv6(h)
	}
	return readIPv4(h)
}

func readIPv6(h []byte) message {
	m := message{ttl: h[7], tos: h[0]<<4 | h[1]>>4}
	length := 40 + int(binary.BigEndian.Uint16(h[4:]))
	src, dst := netip.AddrFrom16([16]byte(h[8:24])), netip.AddrFrom16([16]byte(h[24:40]))
	next, l4 := h[6], h[40:]
	var chain []string
	for ; next == 0 || next == 43 || next == 44 || next == 60; next, l4 = l4[0], l4[8:] {
		switch word := binary.BigEndian.Uint16(l4[2:]); {
		case next == 43:
			chain = append(chain, fmt.Sprintf("43/%d", l4[3]))
		case next != 44:
			chain = append(chain, strconv.Itoa(int(next)))
		case word == 0:
			chain = append(chain, "44")
			m.id = binary.BigEndian.Uint32(l4[4:])
		default:
			m.id, m.from, m.more = binary.BigEndian.Uint32(l4[4:]), int(word&^7), word&1 != 0
			m.to = m.from + length - (len(h) - len(l4)) - 8
		}
	}
	m.chain = strings.Join(chain, ",")
	for name, number := range protocolNumbers {
		if number == next || name == "icmp" && next == 58 {
			m.protocol = name
		}
	}
	m.readL4(src, dst, l4, length-(len(h)-len(l4)))
	return m
}

func readIPv4(h []byte) message {
	m := message{ttl: h[8], df: h[6]&0x40 != 0, control: h[1] == 0xc0, id: uint32(binary.BigEndian.Uint16(h[4:]))}
	if !m.control {
		m.tos = h[1]
	}
	headerLen, length := int(h[0]&15)*4, int(binary.BigEndian.Uint16(h[2:]))
	m.options = append(m.options, h[20:headerLen]...)
	for name, number := range protocolNumbers {
		if number == h[9] {
			m.protocol = name
		}
	}
	src, dst := netip.AddrFrom4([4]byte(h[12:16])), netip.AddrFrom4([4]byte(h[16:20]))
	l4 := h[headerLen:]
	if frag := binary.BigEndian.Uint16(h[6:]) & 0x3fff; frag != 0 {
		m.more = frag&0x2000 != 0
		m.from = int(frag&0x1fff) * 8
		m.to = m.from + length - headerLen
	}
	m.readL4(src, dst, l4, length-headerLen)
	return m
}

// readL4 reads what is behind the IP header: length bytes, or fewer of a
// quotation.
func (m *message) readL4(src, dst netip.Addr, l4 []byte, length int) {
	m.src, m.dst = netip.AddrPortFrom(src, 0), netip.AddrPortFrom(dst, 0)
	if m.to > 0 {
		if m.from == 0 && m.protocol != "icmp" {
			m.src = netip.AddrPortFrom(src, binary.BigEndian.Uint16(l4[0:]))
			m.dst = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(l4[2:]))
		}
		return
	}
	if m.protocol == "icmp" {
		m.flags = fmt.Sprintf("%d/%d", l4[0], l4[1])
		m.ident, m.mtu = binary.BigEndian.Uint16(l4[4:]), binary.BigEndian.Uint16(l4[6:])
		if l4[0] == 8 || l4[0] == 0 || l4[0] >= 128 {
			m.len = length - 8
			return
		}
		inner := readIP(l4[8:])
		m.quoted = &inner
		return
	}
	m.src = netip.AddrPortFrom(src, binary.BigEndian.Uint16(l4[0:]))
	m.dst = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(l4[2:]))
	if m.protocol == "udp" {
		m.len = length - 8
		return
	}
	m.len = length - int(l4[12]>>4)*4
	if l4[12]>>4 >= 6 && l4[20] == packet.OptionMSS {
		m.mss = binary.BigEndian.Uint16(l4[22:])
	}
	if options := l4[20:max(20, int(l4[12]>>4)*4)]; len(options) >= 4 && options[len(options)-3] == packet.OptionWindowScale {
		m.scale = int8(options[len(options)-1] + 1)
	}
	m.seq, m.ack = binary.BigEndian.Uint32(l4[4:]), binary.BigEndian.Uint32(l4[8:])
	switch win := int(binary.BigEndian.Uint16(l4[14:])); win {
	case 0:
		m.win = -1
	case 65535:
	default:
		m.win = win
	}
	for _, letter := range "SFRPAUEC" {
		if l4[13]&(1<<strings.IndexRune(flagLetters, letter)) != 0 {
			m.flags += string(letter)
		}
	}
}
