package host

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// spread is a plan with a host for each of its zones.
func spread(t *testing.T, file string, whole *topology.Plan) *topology.Plan {
	t.Helper()
	var zones []string
	for _, vpc := range whole.VPCs {
		for _, sub := range vpc.Subnets {
			if !slices.Contains(zones, sub.Zone) {
				zones = append(zones, sub.Zone)
			}
		}
	}
	hosts := "underlay: {mtu: 9100}\nhosts:\n"
	for i, zone := range zones {
		hosts += fmt.Sprintf("  host-%d: {address: 198.18.0.%d, zones: [%s]}\n", i, i+1, zone)
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	plan, err := topofile.Parse(file, append(slices.Clone(text), []byte("\n"+hosts)...))
	require.NoError(t, err)
	require.Len(t, plan.Hosts, len(zones))
	return plan
}

// What lies on the hosts together is the plan: each thing is on one of them, as it would be
// on one machine, but for the addresses that health checks come from.
func TestTheSlicesTogetherAreThePlan(t *testing.T) {
	files, err := filepath.Glob("../../testdata/topologies/*.yaml")
	require.NoError(t, err)
	several := 0
	for _, file := range files {
		whole, err := topofile.Load(file)
		if err != nil || slices.ContainsFunc(whole.VPCs, func(v topology.VPC) bool { return v.IPv6CIDR.IsValid() }) {
			continue // one that is refused, or does not go from host to host
		}
		t.Run(whole.Name, func(t *testing.T) {
			plan := spread(t, file, whole)
			require.Equal(t, Script(whole), Script(plan), "without a host it is as ever")
			if len(plan.Hosts) > 1 {
				several++
			}
			var slices []*topology.Plan
			for _, h := range plan.Hosts {
				slice, err := plan.On(h.Name)
				require.NoError(t, err)
				slices = append(slices, slice)
			}
			require.Equal(t, objects(whole), sum(slices), "objects")
			requireStepsOnce(t, whole, slices)
		})
	}
	require.Greater(t, several, 5, "topologies with several hosts")
}

// objects are all that is in a zone, by what it is.
func objects(p *topology.Plan) map[string]any {
	out := map[string]any{}
	for _, v := range p.VPCs {
		for _, s := range v.Subnets {
			out["subnet "+v.Name+"/"+s.Name] = s
		}
		for _, i := range v.Instances {
			out["instance "+i.Ref()] = i
		}
	}
	for _, l := range p.LoadBalancers {
		for _, n := range l.Nodes {
			out["node "+n.ENI.Name] = n
		}
	}
	for _, e := range p.Endpoints {
		for _, z := range e.Zones {
			out["zone "+z.ENI.Name] = z
		}
	}
	for _, g := range p.NATGateways {
		out["gateway "+g.Name] = g
	}
	return out
}

func sum(slices []*topology.Plan) map[string]any {
	out := map[string]any{}
	for _, s := range slices {
		for name, o := range objects(s) {
			if _, twice := out[name]; twice {
				return map[string]any{"on two hosts": name}
			}
			out[name] = o
		}
	}
	return out
}

// requireStepsOnce holds the steps of slices to those of the whole: what is of a VPC itself
// is everywhere, and all else on one host.
func requireStepsOnce(t *testing.T, whole *topology.Plan, slices []*topology.Plan) {
	t.Helper()
	everywhere := map[string]bool{whole.Dataplane: true}
	probes := map[string]bool{}
	for _, v := range whole.VPCs {
		everywhere[v.Namespace] = true
		probes[Address{v.Namespace, "lo", host(v.HealthSource)}.String()] = true
	}
	times := map[string]int{}
	for _, slice := range slices {
		for _, step := range Steps(slice) {
			require.NotEmpty(t, namespaceOf(step), "%s", step) // or a change of the lab would panic
			if !isTransit(step) {
				times[step.String()]++
			}
		}
	}
	for _, step := range Steps(whole) {
		text := step.String()
		n := times[text]
		delete(times, text)
		_, netns := step.(Netns)
		switch {
		case probes[text]:
		case netns && everywhere[strings.TrimPrefix(text, "ip netns add ")], isOfVPC(step):
			require.Equal(t, len(slices), n, text)
		default:
			require.Equal(t, 1, n, text)
		}
	}
	source := regexp.MustCompile(`^ip -n \S+ addr add \S+/32 dev lo$`)
	for text := range times {
		require.Regexp(t, source, text, "only the sources of health checks are others")
	}
}

func isTransit(step Step) bool {
	switch s := step.(type) {
	case VXLAN, Peer:
		return true
	case Address:
		return s.Device == topology.TransitDevice
	case Route:
		return s.Device == topology.TransitDevice
	}
	return false
}

// isOfVPC says whether a step is of a VPC or the data plane, and of no zone.
func isOfVPC(step Step) bool {
	v := reflect.ValueOf(step)
	ns := v.FieldByName("Namespace")
	if !ns.IsValid() || strings.Contains(ns.String(), ".") {
		return false
	}
	device := v.FieldByName("Device")
	return !device.IsValid() && v.Type() == reflect.TypeFor[Sysctl]() || device.IsValid() && device.String() == "lo"
}
