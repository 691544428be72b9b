package control

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/plinksim/plinksim/pkg/topology"
)

// gatewayOperations are those on NAT gateways, their NAT IPs and entries.
type gatewayOperations struct{ rules }

var gatewayVerbs = map[Verb]operation{
	topology.VerbGatewayCreate: on(gatewayOperations.create),
	topology.VerbGatewayDelete: on(gatewayOperations.delete),
	topology.VerbNATIPCreate:   on(gatewayOperations.ipCreate),
	topology.VerbNATIPDelete:   on(gatewayOperations.ipDelete),
	topology.VerbEntryCreate:   on(gatewayOperations.entryCreate),
	topology.VerbEntryModify:   on(gatewayOperations.entryModify),
	topology.VerbEntryDelete:   on(gatewayOperations.entryDelete),
}

// create makes a gateway again that the file has and somebody
// deleted. It has its own address and nothing else, as in the cloud.
func (op gatewayOperations) create(o topology.Operation) ([]Event, *Error) {
	planned, missing := op.plan.NATGateway(o.NATGateway)
	if missing != nil {
		return nil, notDeclared(KindGateway.noun(), o.NATGateway,
			"add it to the file, and apply the file; with exists: false it is there only after it was created")
	}
	if o.As == "" {
		o.As = planned.Account
	}
	held := op.live.gateways[planned.Name]
	switch {
	case o.As != planned.Account:
		return nil, notOwner(o.As, KindGateway.noun(), planned.Name, planned.Account)
	case held.State != Gone:
		return nil, already(KindGateway.noun(), planned.Name, "%s %q exists already", KindGateway.noun(), planned.Name)
	}
	held.Exists = ptr(true)
	own := held.NATIPs[planned.ENI.IP.String()]
	own.State, own.Exists = Active, nil
	return []Event{op.creating(&held.object, KindGateway, planned.Name, o.As)}, nil
}

// delete asks for what the cloud asks for: that no endpoint
// service has the gateway and that its table is empty (VPC API 2016-04-28,
// DeleteNatGateway, DependencyViolation.VpcEndpointService and
// DependencyViolation.FullNatEntry). NAT IPs go with it.
func (op gatewayOperations) delete(o topology.Operation) ([]Event, *Error) {
	planned, held, err := op.ownGateway(&o)
	if err != nil {
		return nil, err
	}
	if entries := op.entries(planned, held); len(entries) > 0 {
		refused := inUse(KindGateway.noun(), planned.Name, "delete them first",
			"NAT gateway %q cannot be deleted: it still has FullNAT entry %s", planned.Name, entryNames(entries))
		refused.remedied(deletingEntry(planned.Name, entries[0].Name))
		refused.Word = "DependencyViolation.FullNatEntry"
		return nil, refused
	}
	for _, s := range op.merged.Services {
		if s.OffersGateway(planned.Name) {
			refused := inUse(KindGateway.noun(), planned.Name, "detach it first",
				"NAT gateway %q cannot be deleted: endpoint service %q has it as a resource", planned.Name, s.Name)
			refused.remedied(detaching(&s, planned.Name))
			refused.Word = "DependencyViolation.VpcEndpointService"
			return nil, refused
		}
	}
	event := op.deleting(&held.object, KindGateway, planned.Name, o.As)
	for _, ip := range held.NATIPs {
		if ip.there() {
			op.enter(&ip.object, Deleting)
		}
	}
	return []Event{event}, nil
}

func deletingEntry(gateway, entry string) topology.Operation {
	return topology.Operation{Verb: topology.VerbEntryDelete, NATGateway: gateway, Entry: entry}
}

// entries are the entries that a gateway still has.
func (op gatewayOperations) entries(planned *topology.NATGateway, held *gateway) (out []topology.FullNATEntry) {
	for _, e := range held.entries(planned) {
		if held.Entries[e.Name].State != Gone {
			out = append(out, e)
		}
	}
	return out
}

func entryNames(entries []topology.FullNATEntry) string {
	var names []string
	for _, e := range entries {
		names = append(names, e.Name)
	}
	return quoted(names)
}

func (op gatewayOperations) ipCreate(o topology.Operation) ([]Event, *Error) {
	planned, held, err := op.ownGateway(&o)
	if err != nil {
		return nil, err
	}
	addr := o.NATIP
	if !addr.IsValid() {
		free, ok := op.plan.FreeNATIP(planned, func(a netip.Addr) bool { return op.ipOwner(planned.VPC, a) != "" })
		if !ok {
			return nil, &Error{Code: topology.Quota, Kind: KindNATIP.noun(), Name: planned.Name,
				Text: fmt.Sprintf("the NAT CIDR of NAT gateway %q (%s) has no free address", planned.Name,
					planned.CIDR),
				Hint: "delete a NAT IP first"}
		}
		addr = free
	}
	if owner := op.ipOwner(planned.VPC, addr); owner != "" {
		return nil, &Error{Code: topology.WrongState, Kind: KindNATIP.noun(), Name: addr.String(),
			Text: fmt.Sprintf("%s already is a NAT IP of NAT gateway %q", addr, owner),
			Hint: "name another address, or none: then one is chosen"}
	}
	if refused := op.plan.CheckNATIP(planned, addr); refused != nil {
		return nil, invalid(KindNATIP.noun(), addr.String(), "name another address, or none: then one is chosen",
			"%v", refused)
	}
	key := addr.String()
	if held.NATIPs[key] == nil {
		held.NATIPs[key] = &natIP{Made: &topology.NATIP{ID: op.plan.NewID("vpcnatip", planned.Name+"/"+key), IP: addr}}
	}
	held.NATIPs[key].Exists = ptr(true)
	return []Event{op.creating(&held.NATIPs[key].object, KindNATIP, planned.Name+"/"+key, o.As)}, nil
}

// ipOwner is the gateway in a VPC that has a NAT IP, also one that is
// just being deleted.
func (op gatewayOperations) ipOwner(vpc string, addr netip.Addr) string {
	for _, g := range op.plan.NATGateways {
		if ip := op.live.gateways[g.Name].NATIPs[addr.String()]; g.VPC == vpc && ip != nil && ip.State != Gone {
			return g.Name
		}
	}
	return ""
}

// ipDelete refuses what the cloud refuses: the gateway's own address,
// and one that an entry has (VPC API 2016-04-28, DeleteNatIp,
// OperationFailed.DefaultNatIp and DependencyViolation.NatIp).
func (op gatewayOperations) ipDelete(o topology.Operation) ([]Event, *Error) {
	planned, held, err := op.ownGateway(&o)
	if err != nil {
		return nil, err
	}
	name := planned.Name + "/" + o.NATIP.String()
	ip := held.NATIPs[o.NATIP.String()]
	switch {
	case ip == nil || ip.State == Gone:
		var known []string
		for _, other := range held.merged(*planned).NATIPs {
			known = append(known, other.IP.String())
		}
		refused := unknown(KindNATIP.noun(), o.NATIP.String(), known)
		refused.Text = fmt.Sprintf("%s is not a NAT IP of NAT gateway %q", o.NATIP, planned.Name)
		return nil, refused
	case o.NATIP == planned.ENI.IP:
		refused := invalid(KindNATIP.noun(), name, "it goes with the gateway",
			"%s is the default NAT IP of NAT gateway %q and cannot be deleted", o.NATIP, planned.Name)
		refused.Word = "OperationFailed.DefaultNatIp"
		return nil, refused
	}
	var users []topology.FullNATEntry
	for _, e := range op.entries(planned, held) {
		if e.NATIP == o.NATIP {
			users = append(users, e)
		}
	}
	if len(users) > 0 {
		return nil, inUse(KindNATIP.noun(), name, "delete it first",
			"NAT IP %s cannot be deleted: FullNAT entry %s uses it", o.NATIP, entryNames(users)).
			remedied(deletingEntry(planned.Name, users[0].Name))
	}
	if err := op.rests(&ip.object, KindNATIP, name, Delete); err != nil {
		return nil, err
	}
	return []Event{op.deleting(&ip.object, KindNATIP, name, o.As)}, nil
}

func (op gatewayOperations) entryCreate(o topology.Operation) ([]Event, *Error) {
	planned, held, err := op.ownGateway(&o)
	if err != nil {
		return nil, err
	}
	name := planned.Name + "/" + o.Entry
	if !topology.IsName(o.Entry) {
		return nil, invalid(KindEntry.noun(), name, "choose a name like mysql1",
			"%q cannot be the name of a FullNAT entry", o.Entry)
	}
	if e := held.Entries[o.Entry]; e != nil && e.State != Gone {
		return nil, already(KindEntry.noun(), name, "%s %q exists already", KindEntry.noun(), name)
	}
	spec := topology.FullNATEntry{Name: o.Entry, ID: op.plan.NewID("fullnat", name), Protocol: topology.TCP}
	if err := op.specify(planned, held, &spec, o); err != nil {
		return nil, err
	}
	if held.Entries[o.Entry] == nil {
		held.Entries[o.Entry] = &entry{}
	}
	made := held.Entries[o.Entry]
	made.Exists, made.Spec = ptr(true), &spec
	return []Event{op.creating(&made.object, KindEntry, name, o.As)}, nil
}

// ownEntry is an entry of the gateway, as it is now.
func (op gatewayOperations) ownEntry(planned *topology.NATGateway, held *gateway, name string,
	verb Verb) (topology.FullNATEntry, *entry, *Error) {
	entries := op.entries(planned, held)
	i := slices.IndexFunc(entries, func(e topology.FullNATEntry) bool { return e.Name == name })
	if i < 0 {
		var known []string
		for _, e := range entries {
			known = append(known, e.Name)
		}
		refused := unknown(KindEntry.noun(), name, known)
		refused.Text = fmt.Sprintf("NAT gateway %q has no FullNAT entry %q", planned.Name, name)
		if len(known) == 0 {
			refused.Hint = "it has none"
		}
		return topology.FullNATEntry{}, nil, refused
	}
	e := held.Entries[name]
	return entries[i], e, op.rests(&e.object, KindEntry, planned.Name+"/"+name, verb)
}

// entryModify takes what is as it was for no change, as the cloud must:
// its Terraform provider sends every value (aliyun/terraform-provider-alicloud,
// resource_alicloud_nat_gateway_full_nat).
func (op gatewayOperations) entryModify(o topology.Operation) ([]Event, *Error) {
	planned, held, err := op.ownGateway(&o)
	if err != nil {
		return nil, err
	}
	spec, e, err := op.ownEntry(planned, held, o.Entry, Change)
	if err != nil {
		return nil, err
	}
	if err := op.specify(planned, held, &spec, o); err != nil {
		return nil, err
	}
	e.Spec = &spec
	text := fmt.Sprintf("account %q changed FullNAT entry %q: it leads from %s to %s", o.As, planned.Name+"/"+o.Entry,
		netip.AddrPortFrom(spec.NATIP, spec.NATPort), netip.AddrPortFrom(spec.AccessIP, spec.AccessPort))
	return []Event{op.change(&e.object, KindEntry, planned.Name+"/"+o.Entry, o.As, text)}, nil
}

// entryDelete ends the sessions of the entry with it: no public document
// says what the cloud does with them.
func (op gatewayOperations) entryDelete(o topology.Operation) ([]Event, *Error) {
	planned, held, err := op.ownGateway(&o)
	if err != nil {
		return nil, err
	}
	_, e, err := op.ownEntry(planned, held, o.Entry, Delete)
	if err != nil {
		return nil, err
	}
	return []Event{op.deleting(&e.object, KindEntry, planned.Name+"/"+o.Entry, o.As)}, nil
}

// specify changes an entry's values to those that an operation names, and
// refuses what cannot be. On an error the spec may have changed.
func (op gatewayOperations) specify(planned *topology.NATGateway, held *gateway, spec *topology.FullNATEntry,
	o topology.Operation) *Error {
	name := planned.Name + "/" + spec.Name
	refuse := func(hint, format string, args ...any) *Error {
		return invalid(KindEntry.noun(), name, hint, "FullNAT entry %q: "+format, append([]any{name}, args...)...)
	}
	spec.Protocol = cmp.Or(topology.Protocol(o.Protocol), spec.Protocol)
	spec.NATPort = cmp.Or(o.NATPort, spec.NATPort)
	spec.AccessPort = cmp.Or(o.AccessPort, spec.AccessPort)
	if o.NATIP.IsValid() {
		spec.NATIP = o.NATIP
	}
	if o.AccessIP.IsValid() {
		spec.AccessIP = o.AccessIP
	}
	if o.Domain != nil {
		spec.Domain = *o.Domain
	}
	if spec.Protocol != topology.TCP && spec.Protocol != topology.UDP {
		return refuse("use tcp or udp", "there is no protocol %q", spec.Protocol)
	}
	if spec.Domain != "" && !topology.IsHostName(spec.Domain) {
		return refuse("use a name like mysql1.com", "%q is not a domain name", spec.Domain)
	}
	if spec.AccessPort == 0 {
		return refuse("name a port from 1 to 65535", "it leads to no port")
	}
	if err := op.natSide(planned, held, spec, refuse); err != nil {
		return err
	}
	return op.accessSide(planned, spec, o, refuse)
}

type refusal func(hint, format string, args ...any) *Error

// natSide checks where the provider's instances connect to, and chooses a
// port where none is named.
func (op gatewayOperations) natSide(planned *topology.NATGateway, held *gateway, spec *topology.FullNATEntry,
	refuse refusal) *Error {
	now := held.merged(*planned)
	if !now.HasIP(spec.NATIP) {
		if !spec.NATIP.IsValid() {
			return refuse("name one of the gateway's", "it has no NAT IP")
		}
		return refuse("make it one", "%s is not a NAT IP of NAT gateway %q", spec.NATIP, planned.Name).remedied(
			topology.Operation{Verb: topology.VerbNATIPCreate, NATGateway: planned.Name, NATIP: spec.NATIP})
	}
	// One that is just being deleted still has its port.
	now.Entries = slices.DeleteFunc(op.entries(planned, held),
		func(e topology.FullNATEntry) bool { return e.Name == spec.Name })
	if spec.NATPort == 0 {
		spec.NATPort = topology.FreeNATPort(op.plan.Name+"/"+planned.Name+"/"+spec.Name, func(port uint16) bool {
			return now.EntryAt(spec.NATIP, port, spec.Protocol) != nil
		})
	}
	if other := now.EntryAt(spec.NATIP, spec.NATPort, spec.Protocol); other != nil {
		return refuse("name another port, or none: then one is chosen",
			"%s port %d of %s already is that of FullNAT entry %q", spec.Protocol, spec.NATPort, spec.NATIP, other.Name)
	}
	for _, g := range op.merged.NATGateways {
		for _, e := range g.Entries {
			if g.VPC == planned.VPC && (g.Name != planned.Name || e.Name != spec.Name) && e.Domain == spec.Domain &&
				spec.Domain != "" && e.NATIP != spec.NATIP {
				return refuse("use another domain", "%s already leads to %s, by FullNAT entry %q", spec.Domain,
					e.NATIP, g.Name+"/"+e.Name)
			}
		}
	}
	return nil
}

// accessSide checks where an entry leads to, and through which ENI.
func (op gatewayOperations) accessSide(planned *topology.NATGateway, spec *topology.FullNATEntry,
	o topology.Operation, refuse refusal) *Error {
	spec.Endpoint = cmp.Or(o.Endpoint, spec.Endpoint)
	ep, missing := op.merged.Endpoint(spec.Endpoint)
	if missing != nil {
		return unknownEndpoint(op.merged, "", spec.Endpoint)
	}
	service := findService(op.merged, ep.Service)
	if service == nil || !service.OffersGateway(planned.Name) {
		return refuse("name an endpoint of a service that has the gateway",
			"endpoint %q leads to endpoint service %q, not to NAT gateway %q", ep.Name, ep.Service, planned.Name)
	}
	if o.Endpoint != "" || o.Zone != "" {
		spec.Zone = o.Zone
	}
	if spec.Zone == "" && len(ep.Zones) == 1 {
		spec.Zone = ep.Zones[0].Zone
	}
	if _, missing := ep.Zone(spec.Zone); missing != nil {
		return refuse("it is in "+zoneNames(ep.Zones), "endpoint %q is not in zone %q", ep.Name, spec.Zone)
	}
	vpc, missing := op.plan.VPC(ep.VPC)
	if missing != nil || vpc.SubnetOf(spec.AccessIP) == nil {
		return refuse(fmt.Sprintf("name an address of vpc %q (%s)", ep.VPC, vpc.Blocks()),
			"%s is in no subnet of vpc %q, where endpoint %q is", spec.AccessIP, ep.VPC, ep.Name)
	}
	return nil
}
