package compile

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/secgroup"
	"github.com/plinksim/plinksim/pkg/topology"
)

// inHosts is what the hosts file of an instance has for a name.
func (s Situation) inHosts(from *topology.Instance, name string) (addrs []netip.Addr) {
	for _, h := range s.Desired.Hosts[from.VPC] {
		if h.Name == name {
			addrs = append(addrs, h.IP)
		}
	}
	return addrs
}

// gatewayAt is the NAT gateway that has the address in a VPC.
func (w *walk) gatewayAt(vpc string) *topology.NATGateway {
	for i := range w.Plan.NATGateways {
		if gw := &w.Plan.NATGateways[i]; gw.VPC == vpc && gw.HasIP(w.addr()) {
			return gw
		}
	}
	return nil
}

// atGateway is the way through an entry of a NAT gateway.
func (w *walk) atGateway(gw *topology.NATGateway) {
	w.passes("address", "%s is a NAT IP of NAT gateway %s", w.addr(), gw.Name)
	w.isUp(&gw.ENI)
	entry := w.entryOf(gw)
	if entry == nil {
		w.noEntry(gw)
		return
	}
	target := netip.AddrPortFrom(entry.AccessIP, entry.AccessPort)
	w.passes("entry", "FullNAT entry %s leads to %s by %s@%s", entry.Name, target, entry.Endpoint, entry.Zone)
	link := w.link(&gw.ENI)
	ep, err := w.Plan.Endpoint(entry.Endpoint)
	if err != nil || link == nil {
		w.stops("connection", fullnat.NoListener.String(), "", "endpoint %s is gone", entry.Endpoint)
		return
	}
	connection, _ := w.State.Connection(ep.Service, ep.Name)
	w.isConnected(ep, entry.Zone, connection, link)
	w.isAdmittedInReverse(ep, target)
	eni := &ep.MustZone(entry.Zone).ENI
	w.isUp(eni)
	w.toAccess(eni, target)
}

func (w *walk) entryOf(gw *topology.NATGateway) *topology.FullNATEntry {
	i := slices.IndexFunc(gw.Entries, func(e topology.FullNATEntry) bool {
		return e.NATIP == w.addr() && e.NATPort == w.flow.Dst.Port() &&
			e.Protocol.Transport().Number() == w.flow.Protocol
	})
	if i < 0 {
		return nil
	}
	return &gw.Entries[i]
}

func (w *walk) noEntry(gw *topology.NATGateway) {
	var here []topology.FullNATEntry
	for _, e := range gw.Entries {
		if e.NATIP == w.addr() {
			here = append(here, e)
		}
	}
	remedy := "create one"
	if len(here) > 0 {
		ports := orList(here,
			func(e topology.FullNATEntry) string { return fmt.Sprintf("%s %d", e.Protocol, e.NATPort) })
		remedy = "use " + ports + ", or create one"
	}
	verdict := fullnat.NotOurs
	if len(w.linksAt(gw.VPC, w.addr())) > 0 {
		verdict = fullnat.NoListener
	}
	w.stops("entry", verdict.String(), remedy, "no FullNAT entry of NAT gateway %s leads from %s %s %d",
		gw.Name, w.addr(), ProtocolName(w.flow.Protocol), w.flow.Dst.Port())
	w.helps(topology.Doing(topology.Operation{
		Verb: topology.VerbEntryCreate, NATGateway: gw.Name, NATIP: w.addr(), NATPort: w.flow.Dst.Port(),
	}))
}

// atReverseENI is where a user who wants to open a connection ends.
func (w *walk) atReverseENI(eni *topology.ENI, ep *topology.Endpoint) {
	verdict := fullnat.NotOurs
	if slices.ContainsFunc(w.Desired.Dataplane.NAT.Links,
		func(l fullnat.Link) bool { return l.Egress == w.Numbers[eni.Device] }) {
		verdict = fullnat.NoSession
	}
	w.stops("address", verdict.String(), "",
		"%s is the ENI of reverse endpoint %s: connections come out of it, and nobody can open one to it", w.addr(), ep.Name)
}

// isAdmittedInReverse asks as compiler.admitReverse makes the core ask.
func (w *walk) isAdmittedInReverse(ep *topology.Endpoint, target netip.AddrPort) {
	vpc := w.Plan.MustVPC(ep.VPC)
	set := secgroup.Compile(w.Plan.Groups(vpc, ep.SecurityGroups))
	ask := set.Egress
	if w.Plan.Profile.ReverseIngress {
		ask = set.Ingress
	}
	d := ask(packet.FiveTuple{Protocol: w.flow.Protocol, Src: w.flow.Src, Dst: target})
	if d.Allowed {
		w.passes("security group", "%s: %s", ep.Name, d.Reason())
		return
	}
	w.stops("security group", fullnat.Denied.String(),
		fmt.Sprintf("allow %s %d from %s in a security group of endpoint %s",
			ProtocolName(w.flow.Protocol), target.Port(), w.flow.Src.Addr(), ep.Name),
		"%s: %s", ep.Name, d.Reason())
}

// toAccess is the end of the way in the user's VPC.
func (w *walk) toAccess(eni *topology.ENI, target netip.AddrPort) {
	vpc := w.Plan.MustVPC(eni.VPC)
	for i := range vpc.Instances {
		if vpc.Instances[i].IP == target.Addr() {
			w.atInstance(&vpc.Instances[i],
				packet.FiveTuple{Protocol: w.flow.Protocol, Src: netip.AddrPortFrom(eni.IP, 0), Dst: target})
			return
		}
	}
	w.stops("server", "", fmt.Sprintf("give an instance of VPC %s the address", vpc.Name),
		"nobody in VPC %s has the address %s", vpc.Name, target.Addr())
}
