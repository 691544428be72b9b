package topofile

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Every key of a Spec is one of an operation, and every key of an operation is
// some verb's, so that a file can have it.
func TestEveryKeyIsSomeVerbs(t *testing.T) {
	used := map[string]bool{"verb": true, "as": true}
	for _, spec := range topology.Specs {
		for _, keys := range []topology.Keys{spec.Needs, spec.May} {
			for _, key := range keys.List() {
				used[key] = true
			}
		}
		for _, key := range spec.Creates.List() {
			require.False(t, topology.Operation{}.Given(key))
		}
	}
	for i := range operationKeys.NumField() {
		key, _ := tagOf(operationKeys, i)
		require.True(t, used[key], key)
		delete(used, key)
	}
	require.Empty(t, used)
}

func TestOperationsOfChecks(t *testing.T) {
	for text, want := range map[string]string{
		"{verb: whitelist-add, service: svc1, account: a}":                                            "whitelist-add svc1 a",
		"{verb: whitelist-add, service: svc1, account: '*', as: b}":                                   "whitelist-add svc1 * as b",
		"{verb: accept, service: svc1, endpoint: ep1, resources: [nlb1@cn-hangzhou-h]}":               "accept svc1 ep1 nlb1@cn-hangzhou-h",
		"{verb: bandwidth, service: svc1, endpoint: ep1, bandwidth: 200}":                             "bandwidth svc1 ep1 200Mbit",
		"{verb: bandwidth, service: svc1, endpoint: ep1, bandwidth: none}":                            "bandwidth svc1 ep1 none",
		"{verb: replace, service: svc1, endpoint: ep1, zone: cn-hangzhou-h, force: true}":             "replace svc1 ep1 cn-hangzhou-h by force",
		"{verb: group-add, endpoint: ep1, security_group: web}":                                       "group-add ep1 web",
		"{verb: service-set, service: svc1, auto_accept: true, description: a text, bandwidth: none}": "service-set svc1 none",
	} {
		file := strings.Replace(small, `from: ecs1, get: "http://${ep1}/"`, "do: "+text, 1)
		plan, err := Parse("topology.yaml", []byte(file))
		require.NoError(t, err, text)
		require.Equal(t, want, plan.Checks[0].Do.String())
	}
}

// Where an operation shall be refused, what it names need not be there.
func TestARefusalMayNameWhatIsNotThere(t *testing.T) {
	file := strings.Replace(small, `from: ecs1, get: "http://${ep1}/"`, "do: {verb: accept, service: svc9, endpoint: ep9}, expect: {error: not-found}", 1)
	plan, err := Parse("topology.yaml", []byte(file))
	require.NoError(t, err)
	require.Equal(t, topology.Operation{Verb: "accept", Service: "svc9", Endpoint: "ep9"}, *plan.Checks[0].Do)
	require.Equal(t, "not-found", plan.Checks[0].Expect.Error)
}

// What does not exist yet has everything that it will have.
func TestWhatDoesNotExistYetIsPlanned(t *testing.T) {
	file := strings.Replace(small, "whitelist: [a]", "exists: false", 1)
	file = strings.Replace(file, "ep1: {", "ep1: {exists: false, description: for later, ", 1)
	plan, err := Parse("topology.yaml", []byte(file))
	require.NoError(t, err, "who may not see the service yet may plan an endpoint")
	require.True(t, plan.Services[0].Absent)
	ep1 := plan.Endpoints[0]
	require.True(t, ep1.Absent)
	require.Equal(t, "for later", ep1.Description)
	require.True(t, ep1.Zones[0].ENI.IP.IsValid())
	require.NotEmpty(t, ep1.Zones[0].Domain)
}
