package topofile

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/topology"
)

// A lab grows from nothing, in any order that a cloud takes.
func TestWhatIsNotThereYetIsAWarning(t *testing.T) {
	const empty = "name: empty\ncloud: %s\nregion: eu-central-1\nvpcs: {}\n"
	for _, cloud := range []string{"alibaba", "aws", "rfc"} {
		base := documentOf(t, fmt.Sprintf(empty, cloud))
		doc, plan := base, (*topology.Plan)(nil)
		for _, step := range []struct{ path, value, warning string }{
			{"vpcs/vpc1", "{cidr: 10.0.0.0/16}", `vpc "vpc1" has no subnets`},
			{"endpoint_services/svc1", "{}", `endpoint service "svc1" has no resources`},
			{"endpoints/ep1", "{service: svc1, vpc: vpc1}", `endpoint "ep1" is in no subnet`},
			{"vpcs/vpc1/subnets/s1", "{zone: eu-central-1a, cidr: 10.0.0.0/24}", `endpoint "ep1" is in no subnet`},
			{"endpoints/ep1/subnets/-", "s1", `endpoint service "svc1" has no resources`},
		} {
			var err error
			doc, plan, err = doc.Edited(base, topology.Edit{Path: step.path, Value: step.value})
			require.NoError(t, err, "%s %s", cloud, step.path)
			whole, err := doc.Plan()
			require.NoError(t, err)
			var said []string
			for _, w := range whole.Warnings {
				said = append(said, w.Message)
			}
			require.Contains(t, said, step.warning, "%s %s", cloud, step.path)
		}
		require.Len(t, plan.Endpoints[0].Zones, 1)
		require.Equal(t, plan.VPCs[0].Account, plan.Services[0].Account)
		for _, c := range doc.Since(base) {
			require.Contains(t, []string{"vpcs/vpc1", "endpoint_services/svc1", "endpoints/ep1"}, c.Path, "objects come one by one")
		}
	}
}

func TestANameThatHasTheFormOfAnIDIsTheID(t *testing.T) {
	const file = `
name: ids
cloud: %s
region: eu-central-1
vpcs:
  %s: {cidr: 10.0.0.0/16, subnets: {%s: {zone: eu-central-1a, cidr: 10.0.0.0/24}}, instances: {%s: {subnet: %[3]s}}}
endpoint_services: {%[5]s: {}}
endpoints: {%[6]s: {service: %[5]s, vpc: %[2]s, subnets: [%[3]s]}}
`
	hex, long := "0123456789abcdef0", "gw8z23456789abcdefgh"
	for cloud, names := range map[string][]any{
		"aws":     {"vpc-" + hex, "subnet-" + hex, "i-" + hex, "vpce-svc-" + hex, "vpce-" + hex},
		"alibaba": {"vpc-" + long, "vsw-" + long, "i-" + long, "epsrv-" + long, "ep-" + long},
	} {
		plan, err := Parse("ids.yaml", fmt.Appendf(nil, file, append([]any{cloud}, names...)...))
		require.NoError(t, err)
		vpc := plan.VPCs[0]
		ids := []any{vpc.ID, vpc.Subnets[0].ID, vpc.Instances[0].ID, plan.Services[0].ID, plan.Endpoints[0].ID}
		require.Equal(t, names, ids)
		require.Contains(t, plan.Endpoints[0].Domain, plan.Endpoints[0].ID)
	}
	ids := topology.IDs{Cloud: topology.AWS, Lab: "lab", Region: "us-east-1"}
	for _, name := range []string{"vpc-0123456789abcdef", "vpc-0123456789abcdefg", "subnet-" + hex, "vpc1"} {
		require.NotEqual(t, name, ids.ID("vpc", name), "it is a name alone")
	}
}
