package aliapi

import (
	"slices"
	"strconv"

	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

func connectionRows(a *adder) {
	op(a, "EnableVpcEndpointConnection", func(c link, in limited) (wire.M, error) {
		return nil, c.limited(topology.VerbAccept, in)
	})
	op(a, "UpdateVpcEndpointConnectionAttribute", func(c link, in limited) (wire.M, error) {
		return nil, c.limited(topology.VerbBandwidth, in)
	})
	op(a, "DisableVpcEndpointConnection", func(c link, in struct{ ServiceId, EndpointId string }) (wire.M, error) {
		s, e, err := c.ends(in.ServiceId, in.EndpointId)
		if err != nil {
			return nil, err
		}
		return nil, c.Operate(topology.Operation{Verb: topology.VerbReject, Service: s.Name, Endpoint: e.Name})
	})
	op(a, "EnableVpcEndpointZoneConnection", func(c link, in struct{ ServiceId, EndpointId, ZoneId string }) (wire.M,
		error) {
		return nil, c.zoneOperation(topology.VerbZoneEnable, in.ServiceId, in.EndpointId, in.ZoneId)
	})
	op(a, "DisableVpcEndpointZoneConnection", func(c link, in struct {
		ServiceId, EndpointId, ZoneId string
		ReplacedResource              *bool
	}) (wire.M, error) {
		verb := topology.VerbZoneDisable
		if in.ReplacedResource != nil && *in.ReplacedResource {
			verb = topology.VerbRelease
		}
		return nil, c.zoneOperation(verb, in.ServiceId, in.EndpointId, in.ZoneId)
	})
	op(a, "UpdateVpcEndpointZoneConnectionResourceAttribute", allocate)
	list(a, listing{name: "ListVpcEndpointConnections", answer: "Connections", usual: usualPage, most: longestPage,
		filters: map[string]filter{
			"EndpointId": is("EndpointId"), "EndpointOwnerId": is("EndpointOwnerId"),
			"ConnectionStatus": is("ConnectionStatus"), "EniId": is("Zones.EniId"), "ResourceId": is("Zones.ResourceId"),
			"ReplacedResourceId": is("Zones.ReplacedResourceId"), "ResourceGroupId": is("ResourceGroupId"),
			"ZoneId": is("Zones.ZoneId"),
		},
		also: []string{"ServiceId"},
		all: func(base *call) (out []wire.M, _ error) {
			c := link{base}
			state := c.snapshot()
			id := c.text("ServiceId")
			if id != "" {
				if _, err := c.ownService(id); err != nil {
					return nil, err
				}
			}
			for i := range state.Plan.Endpoints {
				e := &state.Plan.Endpoints[i]
				s, err := c.Plan.Service(e.Service)
				if err == nil && s.Account == c.Account.Name && !e.Absent && (id == "" || s.ID == id) {
					out = append(out, c.viewConnection(state, s, e))
				}
			}
			return out, nil
		}})
}

func (c link) viewConnection(state control.Snapshot, s *topology.EndpointService, e *topology.Endpoint) wire.M {
	connection, _ := state.Connection(s.Name, e.Name)
	zones := []wire.M{}
	for _, z := range connection.Zones {
		m, ok := c.viewZone(e, z)
		if !ok {
			continue
		}
		// What was allocated before the acceptance is told before it, too.
		if l, err := c.Plan.LoadBalancer(c.Record.Note(e.ID, allocatedIn(z.Zone))); m["ResourceId"] == "" && err == nil {
			m["ResourceId"] = l.ID
		}
		zones = append(zones, m)
	}
	owner, _ := strconv.ParseInt(c.numberOf(e.Account), 10, 64)
	mode := "BandwidthLimit"
	if connection.Bandwidth == 0 {
		mode = "Scalability"
	}
	m := wire.M{
		"EndpointId": e.ID, "EndpointOwnerId": owner, "EndpointRegionId": c.Plan.Region, "ServiceId": s.ID,
		"ServiceRegionId": c.Plan.Region, "ConnectionStatus": connection.Status, "TrafficControlMode": mode,
		"Bandwidth": c.shownBandwidth(connection), "ModifiedTime": connection.Modified,
		"ResourceOwner": s.Account == e.Account, "ResourceGroupId": c.resourceGroup(s.ID), "Zones": zones,
	}
	if vpc, err := c.Plan.VPC(e.VPC); err == nil {
		m["EndpointVpcId"] = vpc.ID
	}
	return m
}

// limited is a connection with a bandwidth.
type limited struct {
	ServiceId, EndpointId string
	Bandwidth             *int
	TrafficControlMode    string
}

// limited accepts a connection or gives it another bandwidth.
func (c link) limited(verb topology.Verb, in limited) error {
	s, e, err := c.ends(in.ServiceId, in.EndpointId)
	if err != nil {
		return err
	}
	o := topology.Operation{Verb: verb, Service: s.Name, Endpoint: e.Name}
	if o.Bandwidth, err = c.bandwidth(s, in); err != nil {
		return err
	}
	if verb == topology.VerbAccept {
		o.Resources = c.allocated(s, e)
	}
	if verb == topology.VerbBandwidth && o.Bandwidth == nil {
		return nil
	}
	return c.Operate(o)
}

// bandwidth is what a connection gets: nil for what is usual, 0 for no limit. With an NLB a
// bandwidth takes effect in the mode BandwidthLimit alone, which the others have always
// (PrivateLink API 2020-04-15, EnableVpcEndpointConnection, TrafficControlMode).
func (c link) bandwidth(s *topology.EndpointService, in limited) (*int, error) {
	mbit := func(n int) (*int, error) { return &n, nil }
	scales := s.Type == topology.NLB
	switch in.TrafficControlMode {
	case "":
	case "Scalability":
		if !scales {
			return nil, wire.Errorf("InvalidParameter", "Specified parameter TrafficControlMode is not valid: Scalability is"+
				" for services of Network Load Balancers")
		}
		return mbit(0)
	case "BandwidthLimit":
		if in.Bandwidth == nil {
			return mbit(c.Plan.Profile.Bandwidth)
		}
		scales = false
	default:
		return nil, wire.Errorf("InvalidParameter", "Specified parameter TrafficControlMode is not valid: it is Scalability"+
			" or BandwidthLimit")
	}
	if in.Bandwidth == nil {
		return nil, nil
	}
	least, most := bandwidths(s.Type)
	if *in.Bandwidth < least || *in.Bandwidth > most {
		return nil, wire.Errorf("InvalidParameter", "Specified parameter Bandwidth is not valid: it is from %d to %d", least,
			most)
	}
	if scales {
		c.Note("the bandwidth does not take effect: the mode of a Network Load Balancer is Scalability")
		return nil, nil
	}
	return mbit(*in.Bandwidth)
}

func (c link) zoneOperation(verb topology.Verb, service, endpoint, zone string) error {
	s, e, err := c.ends(service, endpoint)
	if err != nil {
		return err
	}
	return c.Operate(topology.Operation{Verb: verb, Service: s.Name, Endpoint: e.Name, Zone: zone})
}

// allocate gives a zone of a connection a resource: another one where it is connected, and
// the one that it will have once it is accepted before that.
func allocate(c link, in struct {
	ServiceId, EndpointId, ZoneId             string
	ResourceAllocateMode, ResourceReplaceMode string
	ResourceId, ResourceType                  string
}) (wire.M, error) {
	s, e, err := c.ends(in.ServiceId, in.EndpointId)
	if err != nil {
		return nil, err
	}
	name := ""
	switch in.ResourceAllocateMode {
	case "", "Auto":
	case "Manual":
		if in.ResourceId == "" {
			return nil, wire.Errorf("MissingResourceId", "ResourceId is mandatory for this action in the mode Manual.")
		}
		if name, _, err = c.resource(offered{in.ResourceId, in.ResourceType, in.ZoneId}); err != nil {
			return nil, err
		}
	default:
		return nil, wire.Errorf("InvalidParameter", "Specified parameter ResourceAllocateMode is not valid: it is Auto or"+
			" Manual")
	}
	if !slices.Contains([]string{"", "Graceful", "Force"}, in.ResourceReplaceMode) {
		return nil, wire.Errorf("InvalidParameter", "Specified parameter ResourceReplaceMode is not valid: it is Graceful or"+
			" Force")
	}
	connection, _ := c.snapshot().Connection(s.Name, e.Name)
	if connection.State.Open() || s.Reverse {
		return nil, c.Operate(topology.Operation{Verb: topology.VerbReplace, Service: s.Name, Endpoint: e.Name,
			Zone: in.ZoneId, Resource: name, Force: in.ResourceReplaceMode == "Force"})
	}
	if _, err := e.Zone(in.ZoneId); err != nil {
		return nil, notFound("EndpointZoneNotFound", "The endpoint %q is not in zone %q.", e.ID, in.ZoneId)
	}
	if r := (topology.Resource{LoadBalancer: name, Zone: in.ZoneId}); name != "" && !slices.Contains(s.Resources, r) {
		return nil, notFound("ResourceNotFound", "The endpoint service %q has no resource %q in zone %q.", s.ID,
			in.ResourceId, in.ZoneId)
	}
	if !c.Dry {
		c.Change(e.ID, func(t *cloudapi.Thing) { t.Notes[allocatedIn(in.ZoneId)] = name })
	}
	return nil, nil
}

// allocatedIn is where the record of an endpoint has the resource of a zone until it is accepted.
func allocatedIn(zone string) string { return "resource in " + zone }

// allocated are the resources that were allocated before the acceptance.
func (c link) allocated(s *topology.EndpointService, e *topology.Endpoint) (out []topology.Resource) {
	for _, z := range e.Zones {
		r := topology.Resource{LoadBalancer: c.Record.Note(e.ID, allocatedIn(z.Zone)), Zone: z.Zone}
		if r.LoadBalancer != "" && slices.Contains(s.Resources, r) {
			out = append(out, r)
		}
	}
	return out
}
