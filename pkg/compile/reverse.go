package compile

import (
	"net/netip"

	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/topology"
)

// gateway makes the links of a NAT gateway, one for each of its entries: what
// comes to a NAT IP of the gateway in the provider's VPC leaves by the ENI of
// the reverse endpoint in the user's, and the server sees the ENI's address.
func (c *compiler) gateway(gw topology.NATGateway) {
	c.eni(gw.ENI, gw.IPs())
	for _, entry := range gw.Entries {
		c.entry(gw, entry)
	}
}

// entry makes the link of one entry. The ends of its sessions are remembered
// by its name, so that a change of an entry leaves those that are there alone,
// and its deletion ends them: no public document says what the cloud does.
func (c *compiler) entry(gw topology.NATGateway, entry topology.FullNATEntry) {
	ep, err := c.plan.Endpoint(entry.Endpoint)
	if err != nil {
		return // it is gone, and nobody can reach anything through it
	}
	zone, err := ep.Zone(entry.Zone)
	if err != nil {
		return
	}
	idle := c.profile.TCPIdle
	if entry.Protocol == topology.UDP {
		idle = c.profile.UDPIdle
	}
	connection := c.connections.of(-1, ep)
	target := netip.AddrPortFrom(entry.AccessIP, entry.AccessPort)
	c.nat.Links = append(c.nat.Links, fullnat.Link{
		Name:      reverseLinkName(gw, entry),
		Ingress:   c.numbers[gw.ENI.Device],
		Match:     netip.AddrPortFrom(entry.NATIP, entry.NATPort),
		Protocol:  entry.Protocol.Transport().Number(),
		Egress:    c.numbers[zone.ENI.Device],
		Local:     []netip.Addr{zone.ENI.IP},
		Connected: zoneIn(connection.Zones, zone.Zone).State.Open(),
		Admit:     c.admitReverse(*ep, target),
		Pick:      func(packet.FiveTuple, uint32) (netip.AddrPort, bool) { return target, true },
		MTU:       ep.MTU,
		Idle:      idle,
		Behaviour: c.behaviour(idle),
	})
}

// reverseLinkName is the name of an entry's link: ngw1/mysql1.
func reverseLinkName(gw topology.NATGateway, entry topology.FullNATEntry) string {
	return gw.Name + "/" + entry.Name
}

// admitReverse asks the security groups of a reverse endpoint about what comes
// from the provider's instance and goes to the server. Which of their rules
// count differs, see Profile.ReverseIngress.
func (c *compiler) admitReverse(ep topology.Endpoint, target netip.AddrPort) func(packet.FiveTuple) bool {
	if len(ep.SecurityGroups) == 0 {
		return nil
	}
	set := c.groupsOf(ep.VPC, ep.SecurityGroups).compiled()
	ask := set.Egress
	if c.profile.ReverseIngress {
		ask = set.Ingress
	}
	return func(t packet.FiveTuple) bool {
		return ask(packet.FiveTuple{Protocol: t.Protocol, Src: t.Src, Dst: target}).Allowed
	}
}

// HostNames are the names of NAT IPs in the hosts files of every VPC.
func HostNames(plan *topology.Plan) map[string][]topology.HostName {
	out := make(map[string][]topology.HostName, len(plan.VPCs))
	for i := range plan.VPCs {
		out[plan.VPCs[i].Name] = plan.HostNames(plan.VPCs[i].Name)
	}
	return out
}
