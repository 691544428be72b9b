package test

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/plinktest"
)

const spoofing = `
name: spoofing
cloud: aws
region: us-east-1
accounts: [a]
vpcs:
  v:
    cidr: 10.0.0.0/16
    ipv6_cidr: 2001:db8:1::/56
    subnets: {s: {zone: us-east-1a, cidr: 10.0.1.0/24, ipv6_cidr: "2001:db8:1::/64"}}
    security_groups: {default: {ingress: [{protocol: all, source: [0.0.0.0/0, "::/0"]}]}}
    instances:
      mallory: {subnet: s, ip: 10.0.1.10, ipv6: "2001:db8:1::10"}
      victim: {subnet: s, ip: 10.0.1.11, ipv6: "2001:db8:1::11", services: [{http: 80}]}
      router: {subnet: s, ip: 10.0.1.12, ipv6: "2001:db8:1::12", source_dest_check: false}
server_groups:
  web: {vpc: v, servers: [{instance: victim, port: 80}], health_check: {protocol: none}}
load_balancers:
  nlb: {type: nlb, vpc: v, subnets: [s], listeners: [{protocol: tcp, port: 80, server_group: web}]}
endpoint_services:
  svc: {resources: [nlb], auto_accept: true, whitelist: ["*"]}
endpoints:
  ep: {service: svc, vpc: v, subnets: [s]}
`

// Whoever is root on an instance can send any frame. What is not its own gets no
// further than the instance's port.
func TestAnInstanceSendsFromItsOwnAddressesOnly(t *testing.T) {
	t.Parallel()
	l := plinktest.UpText(t, spoofing)
	instance := func(name string) (mac net.HardwareAddr, ip, ip6 net.IP) {
		i, err := l.Plan().Instance(name)
		require.NoError(t, err)
		return net.HardwareAddr(i.MAC[:]), i.IP.AsSlice(), i.IPv6.AsSlice()
	}
	mac, ip, ip6 := instance("mallory")
	hisMAC, his, his6 := instance("victim")
	vpc, err := l.Plan().VPC("v")
	require.NoError(t, err)
	gateway, gateway6 := net.IP(vpc.Subnets[0].Gateway.AsSlice()), net.IP(vpc.Subnets[0].IPv6Gateway.AsSlice())
	endpoint := net.IP(netip.MustParseAddr(l.Name("ep.ip")).AsSlice())
	everybody := net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

	syn := func(from net.HardwareAddr, src net.IP) []byte {
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: src, DstIP: his}
		tcp := &layers.TCP{SrcPort: 4000, DstPort: 80, SYN: true, Window: 1000}
		require.NoError(t, tcp.SetNetworkLayerForChecksum(ip))
		return rawFrame(t, &layers.Ethernet{SrcMAC: from, DstMAC: hisMAC, EthernetType: layers.EthernetTypeIPv4}, ip,
			tcp)
	}
	arp := func(operation uint16, from net.HardwareAddr, sender, target net.IP) []byte {
		return rawFrame(t, &layers.Ethernet{SrcMAC: mac, DstMAC: everybody, EthernetType: layers.EthernetTypeARP},
			&layers.ARP{
				AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
				Operation: operation, SourceHwAddress: from, SourceProtAddress: sender,
				DstHwAddress: make([]byte, 6), DstProtAddress: target,
			})
	}
	linkLocal := net.ParseIP("fe80::10")
	icmp6 := func(src net.IP, kind uint8, behind bool, message gopacket.SerializableLayer) []byte {
		ip := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6, SrcIP: src,
			DstIP: net.ParseIP("ff02::1")}
		icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, 0)}
		require.NoError(t, icmp.SetNetworkLayerForChecksum(ip))
		eth := &layers.Ethernet{SrcMAC: mac, DstMAC: net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1},
			EthernetType: layers.EthernetTypeIPv6}
		if !behind {
			return rawFrame(t, eth, ip, icmp, message)
		}
		ip.NextHeader = layers.IPProtocolIPv6Destination
		options := gopacket.Payload{byte(layers.IPProtocolICMPv6), 0, 1, 4, 0, 0, 0, 0}
		return rawFrame(t, eth, ip, options, icmp, message)
	}
	advert := func(target net.IP) gopacket.SerializableLayer {
		return &layers.ICMPv6NeighborAdvertisement{Flags: 0x20, TargetAddress: target, Options: layers.ICMPv6Options{
			{Type: layers.ICMPv6OptTargetAddress, Data: mac},
		}}
	}

	for _, tt := range []struct {
		name   string
		frame  []byte
		passes bool
	}{
		{"from its own address", syn(mac, ip), true},
		{"from a neighbour's address", syn(mac, his), false},
		{"from an address of nobody", syn(mac, net.IPv4(198, 51, 100, 9).To4()), false},
		{"from its own address and a neighbour's MAC", syn(hisMAC, ip), false},
		{"ARP: it has its own address", arp(layers.ARPRequest, mac, ip, ip), true},
		{"ARP: is an address free", arp(layers.ARPRequest, mac, net.IPv4zero.To4(), ip), true},
		{"ARP: it has the endpoint's address", arp(layers.ARPReply, mac, endpoint, his), false},
		{"ARP: it has the gateway's address", arp(layers.ARPReply, mac, gateway, his), false},
		{"ARP: it asks with a neighbour's address", arp(layers.ARPRequest, mac, his, gateway), false},
		{"ARP: its own address has a neighbour's MAC", arp(layers.ARPReply, hisMAC, ip, his), false},
		{"IPv6: it has its own address", icmp6(ip6, 136, false, advert(ip6)), true},
		{"IPv6: it has a neighbour's address", icmp6(ip6, 136, false, advert(his6)), false},
		{"IPv6: it has the gateway's address", icmp6(linkLocal, 136, false, advert(gateway6)), false},
		{"IPv6: the same behind an extension header", icmp6(ip6, 136, true, advert(gateway6)), false},
		{"IPv6: from a neighbour's address", icmp6(his6, 128, false, gopacket.Payload{0, 1, 0, 1}), false},
		{"IPv6: it is a router", icmp6(linkLocal, 134, false, gopacket.Payload(make([]byte, 12))), false},
		{"IPv6: it knows a better router", icmp6(linkLocal, 137, false, gopacket.Payload(make([]byte, 36))), false},
	} {
		before := spoofed(l, "mallory")
		if tt.passes {
			sendRaw(t, l, "mallory", tt.frame)
			// What is counted behind it shows that it was not.
			sendRaw(t, l, "mallory", syn(mac, his))
			before++
		} else {
			sendRaw(t, l, "mallory", tt.frame)
			before++
		}
		require.Eventually(t, func() bool { return spoofed(l, "mallory") >= before }, 5*time.Second, 5*time.Millisecond,
			tt.name)
		require.Equal(t, before, spoofed(l, "mallory"), tt.name)
	}
	// What is for another address does not reach an instance, unless others may route
	// through it.
	through := func(to net.HardwareAddr) []byte {
		ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: ip, DstIP: net.IPv4(198, 51, 100, 9)}
		udp := &layers.UDP{SrcPort: 4000, DstPort: 53}
		require.NoError(t, udp.SetNetworkLayerForChecksum(ip))
		return rawFrame(t, &layers.Ethernet{SrcMAC: mac, DstMAC: to, EthernetType: layers.EthernetTypeIPv4}, ip, udp)
	}
	routerMAC, _, _ := instance("router")
	sendRaw(t, l, "mallory", through(hisMAC))
	sendRaw(t, l, "mallory", through(routerMAC))
	require.Eventually(t, func() bool { return spoofed(l, "victim") == 1 }, 5*time.Second, 5*time.Millisecond)
	require.Zero(t, spoofed(l, "router"))

	body, err := get(t, l.Instance("mallory"), "http://"+l.Name("ep.ip")+"/")
	require.NoError(t, err, "an honest instance notices nothing")
	require.Equal(t, "victim", body)

	stop := capture(t, l.Namespace("v"))
	sendRaw(t, l, "router", syn(hisMAC, net.IPv4(198, 51, 100, 7).To4()))
	require.Contains(t, sourcesOf(stop()), "198.51.100.7", "source_dest_check: false")
	require.Zero(t, spoofed(l, "router"))
}

func spoofed(l *plinktest.Lab, instance string) uint64 {
	for _, i := range l.Status().VPCs[0].Instances {
		if i.Name == instance {
			return i.Spoofed
		}
	}
	return 0
}

func sourcesOf(packets []seenPacket) (sources []string) {
	for _, p := range packets {
		sources = append(sources, p.src)
	}
	return sources
}

func rawFrame(t *testing.T, parts ...gopacket.SerializableLayer) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	require.NoError(t, gopacket.SerializeLayers(b, options, parts...))
	return b.Bytes()
}

// sendRaw sends a frame as root on an instance can.
func sendRaw(t *testing.T, l *plinktest.Lab, instance string, frame []byte) {
	t.Helper()
	i, err := l.Plan().Instance(instance)
	require.NoError(t, err)
	require.NoError(t, l.Namespace(i.Namespace).Do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		device, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: device.Index})
	}))
}

const macs = `
name: macs
cloud: aws
region: us-east-1
accounts: [p, c]
vpcs:
  vpca:
    account: c
    cidr: 10.1.0.0/16
    ipv6_cidr: 2001:db8:1::/56
    subnets: {s: {zone: us-east-1a, cidr: 10.1.0.0/24, ipv6_cidr: "2001:db8:1::/64"}}
    security_groups: {default: {ingress: [{protocol: all, source: [0.0.0.0/0, "::/0"]}]}}
    instances:
      ca1: {subnet: s, ip: 10.1.0.10, ipv6: "2001:db8:1::10"}
  vpcp:
    account: p
    cidr: 10.2.0.0/16
    ipv6_cidr: 2001:db8:2::/56
    subnets: {s: {zone: us-east-1a, cidr: 10.2.0.0/24, ipv6_cidr: "2001:db8:2::/64"}}
    security_groups: {default: {ingress: [{protocol: all, source: [0.0.0.0/0, "::/0"]}]}}
    instances:
      r1: {subnet: s, ip: 10.2.0.20, ipv6: "2001:db8:2::20", services: [{http: 8080}]}
server_groups:
  h4: {vpc: vpcp, health_check: {protocol: none}, servers: [{instance: r1, port: 8080}]}
load_balancers:
  lb:
    type: nlb
    vpc: vpcp
    ip_address_type: dualstack
    subnets: {s: {ip: 10.2.0.50, ipv6: "2001:db8:2::50"}}
    listeners: [{protocol: tcp, port: 80, server_group: h4}]
endpoint_services:
  svc: {resources: [lb], auto_accept: true, whitelist: ["*"]}
endpoints:
  epx: {service: svc, vpc: vpca, subnets: {s: {ip: 10.1.0.101, ipv6: "2001:db8:1::1:0:100"}}, ip_address_type: dualstack}
  epa: {service: svc, vpc: vpca, subnets: {s: {ip: 10.1.0.100, ipv6: "2001:db8:1::100"}}, ip_address_type: dualstack}
`

// Their IPv6 addresses end with the same four bytes.
func TestTwoEndpointsOfASubnetAreBothReachedWhateverTheirAddresses(t *testing.T) {
	t.Parallel()
	l := plinktest.UpText(t, macs)
	for _, endpoint := range []string{"epx", "epa"} {
		for _, url := range []string{"http://" + l.Name(endpoint+".ip") + "/", "http://[" + l.Name(endpoint+".ipv6") + "]/"} {
			body, err := get(t, l.Instance("ca1"), url)
			require.NoError(t, err, url)
			require.Equal(t, "r1", body)
		}
	}
	sessions := map[string]int{}
	for _, s := range l.Sessions() {
		sessions[s.Endpoint.Addr().String()]++
	}
	require.Len(t, sessions, 4, "each by an address of its own: %v", sessions)
}
