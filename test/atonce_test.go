package test

import (
	"cmp"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/plinktest"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

const editedAtOnce = `
name: atonce
cloud: alibaba
region: r
quotas: {endpoints_per_vpc: 0}
vpcs:
  p:
    cidr: 10.0.0.0/16
    subnets: {s: {zone: ra, cidr: 10.0.0.0/24}}
    instances: {server: {subnet: s, services: [{http: 80}]}}
server_groups: {web: {vpc: p, servers: [{instance: server, port: 80}], health_check: {protocol: none}}}
load_balancers: {lb: {type: clb, vpc: p, subnets: [s], listeners: []}}
endpoint_services: {svc: {resources: [lb], auto_accept: true}}
`

// atOnce is how many edits are sent at a time.
const atOnce = 10

// editsAtOnce are edits in steps: those of a step do not depend on each other. A number
// stands for NN.
func editsAtOnce(rounds int) (steps [][]topology.Edit) {
	for r := range rounds {
		for _, kind := range []struct{ path, value string }{
			{"vpcs/vNN", "{cidr: 10.0.0.0/16, subnets: {s: {zone: ra, cidr: 10.0.0.0/24}}, security_groups: {g: {}}}"},
			{"vpcs/vNN/instances/i", "{subnet: s, security_groups: [g], services: [{http: 80}]}"},
			{"vpcs/vNN/security_groups/g/ingress/-", "{protocol: tcp, ports: NN, source: 10.0.0.0/8}"},
			{"load_balancers/lb/listeners/-", "{protocol: tcp, port: NN, server_group: web}"},
			{"endpoints/epNN", "{service: svc, vpc: vNN, subnets: [s], security_groups: [g]}"},
		} {
			var step []topology.Edit
			for i := range atOnce {
				number := strings.NewReplacer("NN", strconv.Itoa(100+r*atOnce+i))
				step = append(step, topology.Edit{Path: number.Replace(kind.path), Value: number.Replace(kind.value)})
			}
			steps = append(steps, step)
		}
	}
	return steps
}

// Edits that are sent ten at a time lead to the same lab as one after the other: the
// same plan, and the same in the kernel, which is what a new lab of the export is there.
func TestEditsSentTenAtATimeMakeTheSameLab(t *testing.T) {
	plinktest.Require(t)
	rounds := 1
	if os.Getenv("PLINKSIM_LONG") == "1" {
		rounds = 4
	}
	steps := editsAtOnce(rounds)
	var plans [2]topology.Plan
	var kernels [2]map[string][]string
	var took [2]time.Duration
	var export []byte
	for i, most := range []int{1, atOnce} {
		plan, err := topofile.Parse("atonce.yaml", []byte(editedAtOnce))
		require.NoError(t, err)
		l, dir, down := inKernel(t, plan)
		defer down()
		began := time.Now()
		for _, step := range steps {
			for part := range slices.Chunk(step, most) {
				editTogether(t, l, part)
			}
		}
		took[i] = time.Since(began)
		settle(t, l)
		require.Len(t, l.Plan().VPCs, 1+rounds*atOnce)
		require.Len(t, l.Plan().Endpoints, rounds*atOnce)
		require.Len(t, l.Plan().LoadBalancers[0].Listeners, rounds*atOnce)
		plans[i], kernels[i] = inOrderOfNames(l.Plane().Plan()), kernelOf(t, dir)
		export, _, err = l.Export()
		require.NoError(t, err)
		down()
	}
	require.Equal(t, plans[0], plans[1])
	requireSameKernel(t, kernels[0], kernels[1], "ten at a time")
	requireSameKernel(t, kernelOfNew(t, export), kernels[1], "a new lab of the export")
	t.Logf("%d edits took %s one after the other, and %s ten at a time", len(steps)*atOnce, took[0], took[1])
}

func editTogether(t *testing.T, l *lab.Lab, edits []topology.Edit) {
	t.Helper()
	var asking sync.WaitGroup
	for _, edit := range edits {
		asking.Go(func() {
			_, err := l.Edit(t.Context(), []topology.Edit{edit}, 20*time.Second)
			assert.NoError(t, err, "%s", edit.Path)
		})
	}
	asking.Wait()
}

// inOrderOfNames is a plan whatever the order in which its objects came.
func inOrderOfNames(p *topology.Plan) topology.Plan {
	out := *p
	out.Source, out.Origin, out.Warnings = nil, nil, nil
	out.VPCs, out.Endpoints, out.LoadBalancers = slices.Clone(p.VPCs), slices.Clone(p.Endpoints), slices.Clone(p.LoadBalancers)
	slices.SortFunc(out.VPCs, func(a, b topology.VPC) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(out.Endpoints, func(a, b topology.Endpoint) int { return cmp.Compare(a.Name, b.Name) })
	for i := range out.LoadBalancers {
		listeners := slices.Clone(out.LoadBalancers[i].Listeners)
		slices.SortFunc(listeners, func(a, b topology.Listener) int { return cmp.Compare(a.Port, b.Port) })
		out.LoadBalancers[i].Listeners = listeners
	}
	return out
}
