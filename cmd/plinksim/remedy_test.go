package main

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Whatever the control plane refuses, the command line that helps can be read,
// and asks for what the remedy says. Many thousand operations on the topologies
// of the documents meet every remedy that there is.
func TestEveryRemedyIsACommandLine(t *testing.T) {
	testenv.NeedNoRace(t) // one goroutine
	t.Parallel()
	met := map[string]bool{}
	for _, name := range []string{"zone-affinity", "alibaba-clb-cross-account", "alibaba-reverse", "aws-nlb"} {
		plan, err := topofile.Load(filepath.Join("../../testdata/topologies", name+".yaml"))
		require.NoError(t, err)
		plane, err := control.NewPlane(plan, time.Now)
		require.NoError(t, err)
		random := rand.New(rand.NewPCG(1, 2))
		for range 8_000 {
			o := anOperation(random, plan)
			_, err := plane.Do(o)
			var refused *control.Error
			if errors.As(err, &refused) {
				for _, r := range refused.Remedies {
					met[kindOf(r)] = true
					requireCommand(t, r)
				}
			}
			switch random.IntN(40) {
			case 0:
				plane.Reset()
			default:
				plane.Report(plane.Revision())
			}
		}
	}
	for _, kind := range []string{
		"whitelist-add", "zone-disable", "attach", "reject", "replace", "service-create", "detach", "endpoint-create",
		"zone-remove", "entry-delete", "nat-ip-create", "fault set", "fault down", "fault up",
	} {
		require.True(t, met[kind], "no refusal had the remedy %s", kind)
		delete(met, kind)
	}
	require.Empty(t, met, "remedies that this test does not know")

	// And those of explain.
	for _, r := range []topology.Remedy{
		topology.Doing(topology.Operation{Verb: topology.VerbAccept, Service: "svc1", Endpoint: "ep1"}),
		topology.Doing(topology.Operation{Verb: topology.VerbZoneEnable, Service: "svc1", Endpoint: "ep1", Zone: "h"}),
		topology.Doing(topology.Operation{
			Verb: topology.VerbEntryCreate, NATGateway: "ngw1", NATIP: netip.MustParseAddr("172.16.0.5"), NATPort: 3306,
		}),
		{Fault: &topology.Fault{Verb: topology.FaultUp, Target: "ep1@h"}},
	} {
		requireCommand(t, r)
	}
}

func kindOf(r topology.Remedy) string {
	if r.Do != nil {
		return string(r.Do.Verb)
	}
	return "fault " + string(r.Fault.Verb)
}

// requireCommand reads the command line of a remedy. Words in capitals are for
// the user to choose.
func requireCommand(t *testing.T, r topology.Remedy) {
	t.Helper()
	line := remedyLine(r)
	words := strings.Fields(line)
	if r.Fault != nil {
		cmd, args, err := newRoot(new(timeLimit)).Find(words[1:])
		require.NoError(t, err, line)
		require.Equal(t, "plinksim fault "+string(r.Fault.Verb), cmd.CommandPath())
		require.NoError(t, cmd.ParseFlags(args), line)
		require.NoError(t, cmd.ValidateArgs(cmd.Flags().Args()), line)
		return
	}
	if words[len(words)-1] == "--help" {
		cmd, _, err := newRoot(new(timeLimit)).Find(words[1:])
		require.NoError(t, err, line)
		require.True(t, cmd.Runnable() && !cmd.HasSubCommands(), line)
		return
	}
	calls := readLine(t, strings.NewReplacer("ADDRESS", "192.0.2.1", "PORT", "80").Replace(line))
	require.Len(t, calls, 1, line)
	for _, key := range append(r.Do.Spec().Needs.List(), r.Do.Spec().May.List()...) {
		if r.Do.Given(key) {
			require.Equal(t, r.Do.Text(key), calls[0].Text(key), line)
		}
	}
}

// anOperation is one that names what there is, and sometimes what is not there.
func anOperation(random *rand.Rand, plan *topology.Plan) (o topology.Operation) {
	spec := topology.Specs[random.IntN(len(topology.Specs))]
	o.Verb = spec.Verb
	if random.IntN(4) == 0 && len(plan.Accounts) > 0 {
		o.As = plan.Accounts[random.IntN(len(plan.Accounts))].Name
	}
	names := namesIn(plan)
	for _, key := range append(spec.Needs.List(), spec.May.List()...) {
		if of := names[key]; len(of) > 0 && (spec.Needs.Has(key) || random.IntN(2) == 0) {
			_ = o.Set(key, of[random.IntN(len(of))])
		}
	}
	return o
}

// namesIn are values for the keys of operations.
func namesIn(plan *topology.Plan) map[string][]string {
	names := map[string][]string{
		"service": {"svc9"}, "endpoint": {"ep9"}, "zone": nil, "bandwidth": {"200", "none"}, "force": {"true"},
		"entry": {"mysql1", "third"}, "access_port": {"3306"}, "description": {"for tests"},
	}
	for _, a := range plan.Accounts {
		names["account"] = append(names["account"], a.Name)
	}
	for _, s := range plan.Services {
		names["service"] = append(names["service"], s.Name, s.Name, s.Name)
	}
	for _, e := range plan.Endpoints {
		names["endpoint"] = append(names["endpoint"], e.Name, e.Name, e.Name)
		for _, z := range e.Zones {
			names["zone"] = append(names["zone"], z.Zone)
		}
	}
	for _, b := range plan.LoadBalancers {
		names["resource"] = append(names["resource"], b.Name)
	}
	for _, g := range plan.NATGateways {
		names["resource"] = append(names["resource"], g.Name)
		names["nat_gateway"] = append(names["nat_gateway"], g.Name)
		names["nat_ip"] = append(names["nat_ip"], g.ENI.IP.String(), g.CIDR.Addr().Next().Next().String())
		for _, ip := range g.NATIPs {
			names["nat_ip"] = append(names["nat_ip"], ip.IP.String())
		}
		for _, e := range g.Entries {
			names["entry"] = append(names["entry"], e.Name)
			names["access_ip"] = append(names["access_ip"], e.AccessIP.String())
		}
	}
	return names
}
