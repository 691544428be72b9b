package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/packet"
)

// PortGuard is the step that holds an instance to its own addresses: an nftables
// chain at its port on the subnet's bridge, where the instance cannot reach it. It
// lets pass what comes from the instance's MAC and addresses, ARP and neighbour
// discovery about them, and counts and drops the rest: packets with another source,
// claims to the address of a neighbour or of the gateway, and router advertisements
// and redirects, which only a router sends.
type PortGuard struct {
	Namespace, Port string
	MAC             packet.MAC
	IP              netip.Addr
	IPv6            netip.Addr // may be left out
}

func (g PortGuard) chainName() string { return "port-" + g.Port }

func (g PortGuard) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "ip netns exec %s nft -f - <<'EOF'\n", g.Namespace)
	fmt.Fprintf(&b, "table netdev plinksim {\n\tcounter %s { }\n", g.chainName())
	fmt.Fprintf(&b, "\tchain %s {\n\t\ttype filter hook ingress device %q priority filter; policy drop;\n",
		g.chainName(), g.Port)
	for _, r := range g.rules() {
		fmt.Fprintf(&b, "\t\t%s\n", r.text)
	}
	b.WriteString("\t}\n}\nEOF")
	return b.String()
}

func (g PortGuard) replaces() string { return "guard " + g.Namespace + " " + g.Port }

func guardTable() *nftables.Table {
	return &nftables.Table{Name: "plinksim", Family: nftables.TableFamilyNetdev}
}

func (g PortGuard) do(k *kernel) (bool, error) {
	if err := k.enter(g.Namespace); err != nil {
		return false, err
	}
	conn, err := nftables.New()
	if err != nil {
		return false, err
	}
	table, mark := guardTable(), markFor(g.String())
	if rules, err := conn.GetRules(table, g.chain(table)); err == nil && len(rules) > 0 {
		if has, _ := userdata.GetString(rules[0].UserData, userdata.TypeComment); has == mark {
			return false, nil
		}
	}
	conn.AddTable(table)
	conn.AddObj(&nftables.CounterObj{Table: table, Name: g.chainName()})
	chain := conn.AddChain(g.chain(table))
	conn.FlushChain(chain)
	for i, r := range g.rules() {
		rule := &nftables.Rule{Table: table, Chain: chain, Exprs: r.exprs}
		if i == 0 {
			rule.UserData = userdata.AppendString(nil, userdata.TypeComment, mark)
		}
		conn.AddRule(rule)
	}
	err = conn.Flush()
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT) {
		err = fmt.Errorf("%w: the source check needs nftables at devices (CONFIG_NF_TABLES_NETDEV): "+
			"without it, write source_dest_check: false at each instance", err)
	}
	return true, err
}

// undo takes the chain away. Where the port is gone, the kernel has done that.
func (g PortGuard) undo(k *kernel) error {
	if err := k.enter(g.Namespace); err != nil {
		return ignoreGone(err)
	}
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	table := guardTable()
	if chains, err := conn.ListChainsOfTableFamily(table.Family); err == nil {
		for _, chain := range chains {
			if chain.Table.Name == table.Name && chain.Name == g.chainName() {
				conn.FlushChain(chain)
				conn.DelChain(chain)
				if err := conn.Flush(); err != nil {
					return err
				}
			}
		}
	}
	conn.DeleteObject(&nftables.CounterObj{Table: table, Name: g.chainName()})
	return ignoreGone(conn.Flush())
}

func (g PortGuard) chain(table *nftables.Table) *nftables.Chain {
	policy := nftables.ChainPolicyDrop
	return &nftables.Chain{
		Name: g.chainName(), Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookIngress,
		Priority: nftables.ChainPriorityFilter, Policy: &policy, Device: g.Port,
	}
}

// Offsets of the fields that are compared: of Ethernet (IEEE 802.3, 3.1.1), ARP (RFC
// 826), IPv4 (RFC 791, 3.1), IPv6 (RFC 8200, 3), ICMPv6 (RFC 4443, 2.1) and of a
// neighbour advertisement (RFC 4861, 4.4).
const (
	etherSourceAt = 6
	arpSenderMAC  = 8
	arpSenderIP   = 14
	ipv4SourceAt  = 12
	ipv6SourceAt  = 8
	icmpTypeAt    = 0
	ndTargetAt    = 8

	routerAdvertisement    = 134 // RFC 4861, 4.2
	neighbourAdvertisement = 136
	redirect               = 137
)

// rules are those of the chain, that for nearly all packets first.
func (g PortGuard) rules() []nftRule {
	ethernet := binary.NativeEndian.AppendUint16(nil, unix.ARPHRD_ETHER)
	own := join(nftRule{"", []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFTYPE, Register: 1}, equal(ethernet)}},
		field(expr.PayloadBaseLLHeader, etherSourceAt, "ether saddr", g.MAC.String(), g.MAC[:]))
	rules := []nftRule{
		allow(etherType(unix.ETH_P_IP, "ip"), own, address("ip saddr", ipv4SourceAt, g.IP)),
		allow(etherType(unix.ETH_P_ARP, "arp"), own,
			field(expr.PayloadBaseNetworkHeader, arpSenderMAC, "arp saddr ether", g.MAC.String(), g.MAC[:]),
			address("arp saddr ip", arpSenderIP, g.IP)),
		// Whoever looks whether an address is free has none yet (RFC 5227, 2.1.1).
		allow(etherType(unix.ETH_P_ARP, "arp"), own,
			address("arp saddr ip", arpSenderIP, netip.IPv4Unspecified())),
	}
	if !g.IPv6.IsValid() {
		return append(rules, g.drop())
	}
	six := etherType(unix.ETH_P_IPV6, "ip6")
	linkLocal := nftRule{"ip6 saddr fe80::/10", masked(expr.PayloadBaseNetworkHeader, ipv6SourceAt,
		append([]byte{0xff, 0xc0}, make([]byte, 14)...), append([]byte{0xfe, 0x80}, make([]byte, 14)...))}
	// nft knows the target's name since 1.0.9; these are its bytes.
	about := nftRule{fmt.Sprintf("@th,64,128 0x%x", g.IPv6.AsSlice()), []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: ndTargetAt, Len: 16},
		equal(g.IPv6.AsSlice()),
	}}
	aboutLinkLocal := nftRule{"@th,64,10 0x3fa",
		masked(expr.PayloadBaseTransportHeader, ndTargetAt, []byte{0xff, 0xc0}, []byte{0xfe, 0x80})}
	return append(rules,
		g.drop(six, icmpv6("nd-router-advert", routerAdvertisement)),
		g.drop(six, icmpv6("nd-redirect", redirect)),
		allow(six, own, icmpv6("nd-neighbor-advert", neighbourAdvertisement), about),
		allow(six, own, icmpv6("nd-neighbor-advert", neighbourAdvertisement), aboutLinkLocal),
		g.drop(six, icmpv6("nd-neighbor-advert", neighbourAdvertisement)),
		allow(six, own, address("ip6 saddr", ipv6SourceAt, g.IPv6)),
		allow(six, own, linkLocal),
		allow(six, own, address("ip6 saddr", ipv6SourceAt, netip.IPv6Unspecified())),
		g.drop())
}

func (g PortGuard) drop(matches ...nftRule) nftRule {
	return countedDrop(g.chainName(), matches...)
}

func field(base expr.PayloadBase, offset uint32, name, text string, value []byte) nftRule {
	return nftRule{name + " " + text, []expr.Any{
		&expr.Payload{DestRegister: 1, Base: base, Offset: offset, Len: uint32(len(value))},
		equal(value),
	}}
}

func address(name string, offset uint32, addr netip.Addr) nftRule {
	return field(expr.PayloadBaseNetworkHeader, offset, name, addr.String(), addr.AsSlice())
}

// masked compares bytes of which only the bits of a mask count.
func masked(base expr.PayloadBase, offset uint32, mask, value []byte) []expr.Any {
	size := uint32(len(mask))
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: base, Offset: offset, Len: size},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: size, Mask: mask, Xor: make([]byte, size)},
		equal(value),
	}
}

func etherType(number uint16, name string) nftRule {
	return nftRule{"meta protocol " + name, []expr.Any{
		&expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: 1},
		equal(binary.BigEndian.AppendUint16(nil, number)),
	}}
}

func icmpv6(name string, kind byte) nftRule {
	return nftRule{"icmpv6 type " + name, []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		equal([]byte{unix.IPPROTO_ICMPV6}),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: icmpTypeAt, Len: 1},
		equal([]byte{kind}),
	}}
}

// SpoofedFrames counts what PortGuards of the namespace have dropped, by port.
func (n *Namespace) SpoofedFrames() (map[string]uint64, error) {
	frames := map[string]uint64{}
	err := n.Do(func() error {
		conn, err := nftables.New()
		if err != nil {
			return err
		}
		objects, err := conn.GetObjects(guardTable())
		if err != nil {
			return fmt.Errorf("read the counters of ports of %s: %w", n.name, err)
		}
		for _, o := range objects {
			if c, ok := o.(*nftables.CounterObj); ok {
				frames[strings.TrimPrefix(c.Name, "port-")] = c.Packets
			}
		}
		return nil
	})
	return frames, err
}
