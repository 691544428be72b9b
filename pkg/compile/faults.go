package compile

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// faultSetters are the values that can be set, by key.
var faultSetters = map[string]func(*topology.Impairment, string) error{
	"bandwidth": func(i *topology.Impairment, text string) (err error) {
		i.Bandwidth, err = topology.ParseRate(text)
		return err
	},
	"delay":     func(i *topology.Impairment, text string) error { return setDuration(&i.Delay, text) },
	"jitter":    func(i *topology.Impairment, text string) error { return setDuration(&i.Jitter, text) },
	"loss":      func(i *topology.Impairment, text string) error { return setShare(&i.Loss, text) },
	"reorder":   func(i *topology.Impairment, text string) error { return setShare(&i.Reorder, text) },
	"duplicate": func(i *topology.Impairment, text string) error { return setShare(&i.Duplicate, text) },
	"corrupt":   func(i *topology.Impairment, text string) error { return setShare(&i.Corrupt, text) },
}

func setDuration(into *time.Duration, text string) error {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return fmt.Errorf("is %q, not a duration, for example 10ms", text)
	}
	*into = d
	return nil
}

func setShare(into *float64, text string) (err error) {
	*into, err = topology.ParseShare(text)
	return err
}

// CheckFault says what is wrong with a change whatever lab it is for.
func CheckFault(c status.FaultChange) error {
	if c.To != "" && c.To != status.ToProvider && c.To != status.ToConsumer {
		return fmt.Errorf("the direction is %q: want %s or %s", c.To, status.ToProvider, status.ToConsumer)
	}
	if len(c.Set) == 0 && c.Seed == nil {
		return fmt.Errorf("nothing is to be changed: name one of %s",
			strings.Join(slices.Sorted(maps.Keys(faultSetters)), ", "))
	}
	_, err := overlay{}.with(c.Set).over(topology.Impairment{})
	return err
}

// overlay is what was set of one direction, as text by key.
type overlay map[string]string

// with is the overlay and what is set now.
func (o overlay) with(set map[string]string) overlay {
	out := maps.Clone(o)
	maps.Copy(out, set)
	return out
}

func (o overlay) over(base topology.Impairment) (topology.Impairment, error) {
	for _, key := range slices.Sorted(maps.Keys(o)) {
		set := faultSetters[key]
		if set == nil {
			return base, fmt.Errorf("there is no impairment %q", key)
		}
		if err := set(&base, o[key]); err != nil {
			return base, fmt.Errorf("%s %w", key, err)
		}
	}
	return base, nil
}

// Faults are what goes wrong on purpose because it was asked for while the lab
// runs, over what its file says.
type Faults struct {
	ways  map[string]*liveWays       // by endpoint
	enis  map[string]dataplane.Fault // by name: ep1@zone
	zones map[string]bool            // that are down
}

type liveWays struct {
	toProvider, toConsumer overlay
	seed                   *uint64
}

// NewFaults has none.
func NewFaults() *Faults {
	return &Faults{ways: map[string]*liveWays{}, enis: map[string]dataplane.Fault{}, zones: map[string]bool{}}
}

// Impairments are those in force of an endpoint.
func (f *Faults) Impairments(ep topology.Endpoint) (topology.Impairments, error) {
	live := f.ways[ep.Name]
	if live == nil {
		return ep.Impairments, nil
	}
	return live.over(ep.Impairments)
}

func (w *liveWays) over(base topology.Impairments) (out topology.Impairments, err error) {
	out.Seed = base.Seed
	if w.seed != nil {
		out.Seed = *w.seed
	}
	if out.ToProvider, err = w.toProvider.over(base.ToProvider); err != nil {
		return out, err
	}
	if out.ToConsumer, err = w.toConsumer.over(base.ToConsumer); err != nil {
		return out, err
	}
	if err := out.ToProvider.Check(); err != nil {
		return out, fmt.Errorf("to the provider: %w", err)
	}
	if err := out.ToConsumer.Check(); err != nil {
		return out, fmt.Errorf("to the consumer: %w", err)
	}
	return out, nil
}

// Set merges c in and returns what is in force then, or returns an error and
// changes nothing.
func (f *Faults) Set(plan *topology.Plan, c status.FaultChange) (topology.Impairments, error) {
	ep, err := endpointOf(plan, c.Endpoint)
	if err != nil {
		return topology.Impairments{}, err
	}
	if err := f.change(*ep, c); err != nil {
		return topology.Impairments{}, err
	}
	return f.Impairments(*ep)
}

func (f *Faults) change(ep topology.Endpoint, c status.FaultChange) error {
	if err := CheckFault(c); err != nil {
		return err
	}
	next := liveWays{toProvider: overlay{}, toConsumer: overlay{}}
	if old := f.ways[ep.Name]; old != nil {
		next = *old
	}
	if c.To != status.ToConsumer {
		next.toProvider = next.toProvider.with(c.Set)
	}
	if c.To != status.ToProvider {
		next.toConsumer = next.toConsumer.with(c.Set)
	}
	if c.Seed != nil {
		next.seed = c.Seed
	}
	if _, err := next.over(ep.Impairments); err != nil {
		return err
	}
	f.ways[ep.Name] = &next
	return nil
}

// forget drops what is about objects that a plan has no more, and changes that
// a changed file makes impossible.
func (f *Faults) forget(plan *topology.Plan) {
	maps.DeleteFunc(f.ways, func(name string, live *liveWays) bool {
		ep, err := plan.Endpoint(name)
		if err != nil {
			return true
		}
		_, err = live.over(ep.Impairments)
		return err != nil
	})
	if len(f.enis)+len(f.zones) == 0 {
		return
	}
	known := plan.ENIs()
	maps.DeleteFunc(f.enis, func(name string, _ dataplane.Fault) bool {
		return !slices.ContainsFunc(known, func(eni *topology.ENI) bool { return eni.Name == name })
	})
	zones := zonesOf(plan)
	maps.DeleteFunc(f.zones, func(name string, _ bool) bool { return !slices.Contains(zones, name) })
}

// Impose adds what goes wrong to what a lab should do. An ENI without a number is on another host.
func (f *Faults) Impose(d *Desired, plan *topology.Plan, numbers Numbers) {
	f.forget(plan)
	s := dataplane.Shaping{Faults: map[packet.ENI]dataplane.Fault{}}
	s.Links = make([]dataplane.ShapedLink, 0, len(plan.Endpoints))
	for i := range plan.Endpoints {
		s.Links = append(s.Links, f.shapedLinks(plan.Profile.BandwidthPerZone, &plan.Endpoints[i], numbers)...)
	}
	d.Dataplane.Shaping = s
	if len(f.enis)+len(f.zones) == 0 {
		return
	}
	for _, eni := range plan.ENIs() {
		number, here := numbers[eni.Device]
		if fault := f.of(*eni); here && fault != dataplane.NoFault {
			s.Faults[number] = fault
		}
	}
}

// of is the fault of an interface: its own, or that its zone is down.
func (f *Faults) of(eni topology.ENI) dataplane.Fault {
	if f.zones[eni.Zone] {
		return dataplane.Down
	}
	return f.enis[eni.Name]
}

// shapedLinks are what shares a bandwidth: a whole connection, and at AWS each
// of its zones (AWS PrivateLink guide, "AWS PrivateLink quotas": bandwidth per
// Availability Zone).
func (f *Faults) shapedLinks(perZone bool, ep *topology.Endpoint, numbers Numbers) []dataplane.ShapedLink {
	i, err := f.Impairments(*ep)
	if err != nil {
		panic("what was set was checked: " + err.Error())
	}
	link := dataplane.ShapedLink{
		Name: ep.Name, Seed: i.Seed,
		ToProvider: i.ToProvider, ToConsumer: i.ToConsumer,
	}
	if !perZone {
		for _, zone := range ep.Zones {
			if number, here := numbers[zone.ENI.Device]; here {
				link.ENIs = append(link.ENIs, number)
			}
		}
		return []dataplane.ShapedLink{link}
	}
	var links []dataplane.ShapedLink
	for _, zone := range ep.Zones {
		if number, here := numbers[zone.ENI.Device]; here {
			own := link
			own.Name, own.ENIs = zone.ENI.Name, []packet.ENI{number}
			links = append(links, own)
		}
	}
	return links
}

func zonesOf(plan *topology.Plan) []string {
	var out []string
	for _, vpc := range plan.VPCs {
		for _, subnet := range vpc.Subnets {
			if !slices.Contains(out, subnet.Zone) {
				out = append(out, subnet.Zone)
			}
		}
	}
	slices.Sort(out)
	return out
}

// faulty finds what a reference names: a zone, an interface (ep1@zone), or all
// interfaces of an endpoint or a load balancer.
func faulty(plan *topology.Plan, ref string) (zone string, enis []string, err error) {
	zones := zonesOf(plan)
	if slices.Contains(zones, ref) {
		return ref, nil, nil
	}
	known := zones
	for _, eni := range plan.ENIs() {
		owner, _, _ := strings.Cut(eni.Name, "@")
		if eni.Name == ref || owner == ref {
			enis = append(enis, eni.Name)
		}
		known = append(known, eni.Name)
	}
	if len(enis) == 0 {
		return "", nil, &control.Error{
			Code: topology.NotFound, Kind: "interface or zone", Name: ref, Known: known,
			Text: fmt.Sprintf("no interface and no zone is called %q", ref),
		}
	}
	return "", enis, nil
}

// Clear goes back to what the file says: of one endpoint, or of the whole lab
// where the name is empty.
func (f *Faults) Clear(plan *topology.Plan, endpoint string) error {
	if endpoint == "" {
		*f = *NewFaults()
		return nil
	}
	ep, err := endpointOf(plan, endpoint)
	if err != nil {
		return err
	}
	delete(f.ways, endpoint)
	for _, zone := range ep.Zones {
		delete(f.enis, zone.ENI.Name)
	}
	return nil
}

// TakeDown lets an interface, all of an endpoint or a load balancer, or a zone
// fail, and says what it is then. With blackhole its packets vanish while its
// neighbours still see it; a zone can only be down.
func (f *Faults) TakeDown(plan *topology.Plan, ref string, blackhole bool) (state string, err error) {
	zone, enis, err := faulty(plan, ref)
	switch {
	case err != nil:
		return "", err
	case zone != "" && blackhole:
		return "", fmt.Errorf("zone %q cannot be a blackhole: name an interface, for example ep1@%s", zone, zone)
	case zone != "":
		f.zones[zone] = true
	}
	fault, state := dataplane.Down, "down"
	if blackhole {
		fault, state = dataplane.Blackhole, "a blackhole"
	}
	for _, eni := range enis {
		f.enis[eni] = fault
	}
	return state, nil
}

// BringUp ends what TakeDown began, and says in words what is so then.
func (f *Faults) BringUp(plan *topology.Plan, ref string) (text string, err error) {
	zone, enis, err := faulty(plan, ref)
	if err != nil {
		return "", err
	}
	text = ref + " is up"
	delete(f.zones, zone)
	for _, name := range enis {
		delete(f.enis, name)
	}
	for _, eni := range plan.ENIs() {
		if slices.Contains(enis, eni.Name) && f.zones[eni.Zone] {
			text = fmt.Sprintf("%s stays down, because its zone %s is", eni.Name, eni.Zone)
		}
	}
	return text, nil
}

// ZonesDown is a copy of the zones that are down.
func (f *Faults) ZonesDown() map[string]bool { return maps.Clone(f.zones) }

func endpointOf(plan *topology.Plan, name string) (*topology.Endpoint, error) {
	ep, err := plan.Endpoint(name)
	if err == nil {
		return ep, nil
	}
	refused := &control.Error{Code: topology.NotFound, Kind: "endpoint", Name: name,
		Text: fmt.Sprintf("endpoint %q does not exist", name)}
	for _, e := range plan.Endpoints {
		refused.Known = append(refused.Known, e.Name)
	}
	return nil, refused
}
