package bench

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/topology"
)

// translateInKernel makes the data plane namespace of a topology a router
// whose nftables do what the core does: packets to the endpoint's address go
// to the server, which sees the node's NAT IP as their source. Without nat it only
// forwards, and the clients and the server know how to reach each other.
func translateInKernel(dir string, plan *topology.Plan, nat bool) error {
	ns, err := host.Open(dir, plan.Dataplane)
	if err != nil {
		return err
	}
	defer ns.Close()
	endpoint, node := plan.Endpoints[0].Zones[0].ENI, plan.LoadBalancers[0].Nodes[0]
	local := node.Local[0]
	server, err := plan.Instance("provider/server")
	if err != nil {
		return err
	}
	if !nat {
		if err := knowEachOther(dir, plan, endpoint.IP, node.ENI.IP, server.IP); err != nil {
			return err
		}
	}
	return ns.Do(func() error {
		for _, set := range routerSettings {
			if err := os.WriteFile("/proc/sys/net/"+set.key, []byte(set.value), 0); err != nil &&
				!errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		if err := errors.Join(
			address(endpoint.Device, netip.PrefixFrom(endpoint.IP, 24)),
			address(node.ENI.Device, netip.PrefixFrom(node.ENI.IP, 24)),
		); err != nil {
			return err
		}
		if local != node.ENI.IP {
			if err := address(node.ENI.Device, netip.PrefixFrom(local, 32)); err != nil {
				return err
			}
		}
		if !nat {
			return nil
		}
		return natRules(endpoint.Device, endpoint.IP, node.ENI.Device, local, server.IP)
	})
}

// knowEachOther gives clients and server routes by the router.
func knowEachOther(dir string, plan *topology.Plan, left, right, server netip.Addr) error {
	type route struct {
		instance string
		to       netip.Prefix
		via      netip.Addr
	}
	routes := []route{{"provider/server", netip.PrefixFrom(left, 24).Masked(), right}}
	for i := range plan.MustVPC("consumer").Instances {
		routes = append(routes, route{"consumer/" + clientName(i), netip.PrefixFrom(server, 32), left})
	}
	for _, r := range routes {
		instance, err := plan.Instance(r.instance)
		if err != nil {
			return err
		}
		ns, err := host.Open(dir, instance.Namespace)
		if err != nil {
			return err
		}
		err = ns.Do(func() error {
			to := &net.IPNet{IP: r.to.Addr().AsSlice(), Mask: net.CIDRMask(r.to.Bits(), 32)}
			return netlink.RouteAdd(&netlink.Route{Dst: to, Gw: r.via.AsSlice()})
		})
		if err = errors.Join(err, ns.Close()); err != nil {
			return fmt.Errorf("give %s a route to %s: %w", r.instance, r.to, err)
		}
	}
	return nil
}

var routerSettings = []struct{ key, value string }{
	{"ipv4/ip_forward", "1"},
	{"ipv4/conf/all/arp_ignore", "0"},
	{"ipv4/conf/all/rp_filter", "0"},
	{"ipv4/conf/default/rp_filter", "0"},
	// The core keeps closed sessions for a minute.
	{"netfilter/nf_conntrack_tcp_timeout_time_wait", "60"},
}

func address(device string, prefix netip.Prefix) error {
	link, err := netlink.LinkByName(device)
	if err != nil {
		return fmt.Errorf("find %s: %w", device, err)
	}
	ip := net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), 32)}
	if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: &ip}); err != nil {
		return fmt.Errorf("give %s the address %s: %w", device, prefix, err)
	}
	return nil
}

// natRules is, as nft would have it:
//
//	table ip bench {
//		chain prerouting {
//			type nat hook prerouting priority dstnat
//			iifname INGRESS ip daddr ENDPOINT dnat to SERVER
//		}
//		chain postrouting {
//			type nat hook postrouting priority srcnat
//			oifname EGRESS snat to LOCAL
//		}
//	}
func natRules(ingress string, endpoint netip.Addr, egress string, local, server netip.Addr) error {
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	table := conn.AddTable(&nftables.Table{Name: "bench", Family: nftables.TableFamilyIPv4})
	rule := func(name string, hook *nftables.ChainHook, priority *nftables.ChainPriority, exprs ...expr.Any) {
		chain := conn.AddChain(&nftables.Chain{Name: name, Table: table, Type: nftables.ChainTypeNAT, Hooknum: hook,
			Priority: priority})
		conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: exprs})
	}
	const daddr = 16 // in the IPv4 header (RFC 791, 3.1)
	rule("prerouting", nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest,
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: deviceName(ingress)},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: daddr, Len: 4},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: endpoint.AsSlice()},
		&expr.Immediate{Register: 1, Data: server.AsSlice()},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1},
	)
	rule("postrouting", nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource,
		&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: deviceName(egress)},
		&expr.Immediate{Register: 1, Data: local.AsSlice()},
		&expr.NAT{Type: expr.NATTypeSourceNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1},
	)
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("make the NAT rules: %w", err)
	}
	return nil
}

// deviceName is a device's name as nftables compares it.
func deviceName(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}
