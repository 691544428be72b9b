package topofile

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/topology"
)

func TestIdentifiersStandForNamesInEdits(t *testing.T) {
	plan, err := Parse("small.yaml", []byte(small))
	require.NoError(t, err)
	vpc, service := &plan.VPCs[0], &plan.Services[0]
	number := plan.Accounts[0].ID
	for _, tt := range []struct{ path, value, wantPath, want string }{
		{"vpcs/" + vpc.ID + "/instances/ecs9", "{subnet: " + vpc.Subnets[0].ID + "}", "vpcs/vpc1/instances/ecs9", "{subnet: h1}"},
		{"endpoints/ep2", "{service: " + service.ID + ", vpc: " + vpc.ID + ", subnets: [" + vpc.Subnets[0].ID + "]}",
			"endpoints/ep2", "{service: svc1, vpc: vpc1, subnets: [h1]}"},
		{"endpoints/ep2", "{service: " + service.ServiceName + ", subnets: {" + vpc.Subnets[0].ID + ": {ip: 10.0.0.5}}}",
			"endpoints/ep2", "{service: svc1, subnets: {h1: {ip: 10.0.0.5}}}"},
		{"endpoints/ep1/security_groups", "[" + vpc.SecurityGroups[0].ID + "]", "endpoints/ep1/security_groups", "[web]"},
		{"endpoints/ep1/security_groups/-", vpc.SecurityGroups[0].ID, "endpoints/ep1/security_groups/-", "web"},
		{"endpoints/ep1/security_groups/=" + vpc.SecurityGroups[0].ID, "", "endpoints/ep1/security_groups/=web", ""},
		{"endpoint_services/svc1/whitelist/0", number, "endpoint_services/svc1/whitelist/0", "a"},
		{"server_groups/" + plan.ServerGroups[0].ID + "/servers/instance=" + plan.VPCs[1].Instances[0].ID + ",port=80/weight", "5",
			"server_groups/rs1/servers/instance=ecs2,port=80/weight", "5"},
		{"endpoints/ep1/description", vpc.ID, "endpoints/ep1/description", vpc.ID}, // a text is a text
		{"endpoints/ep1", "{description: [", "endpoints/ep1", "{description: ["},
		{"vpcs/*/instances/ecs2/state", "stopped", "vpcs/vpc2/instances/ecs2/state", "stopped"},
		{"vpcs/*/instances/" + plan.VPCs[1].Instances[0].ID, "", "vpcs/vpc2/instances/ecs2", ""},
	} {
		got, err := NamedEdits(plan, []topology.Edit{{Path: tt.path, Value: tt.value}})
		require.NoError(t, err, tt.path)
		require.Equal(t, []topology.Edit{{Path: tt.wantPath, Value: tt.want}}, got)
	}

	_, err = NamedEdits(plan, []topology.Edit{{Path: "vpcs/*/subnets/none"}})
	require.EqualError(t, err, `there is no subnet "none"`)
}

func TestAVPCIsNamedWhereSeveralHaveTheName(t *testing.T) {
	text := strings.ReplaceAll(strings.Split(small, "checks:")[0], "ecs3", "ecs1")
	plan, err := Parse("small.yaml", []byte(text))
	require.NoError(t, err)
	_, err = NamedEdits(plan, []topology.Edit{{Path: "vpcs/*/instances/ecs1"}})
	require.EqualError(t, err, `there are several instances "ecs1"`)
	require.Equal(t, "write vpc1/ecs1 or vpc2/ecs1", err.(*EditError).Hint)
}

func TestWhatIsTerminatedLeavesItsServerGroups(t *testing.T) {
	plan, err := Parse("small.yaml", []byte(small))
	require.NoError(t, err)
	edits, err := NamedEdits(plan, []topology.Edit{{Path: "vpcs/*/instances/ecs3", Leave: true}})
	require.NoError(t, err)
	doc, err := DocumentOf(plan)
	require.NoError(t, err)
	_, after, err := doc.Edited(doc, edits...)
	require.NoError(t, err)
	require.Len(t, after.ServerGroups[0].Servers, 1)
}

// Every key whose value is words either refers to objects or is listed here, so that
// nobody forgets that a new key takes identifiers.
func TestEveryKeyOfWordsRefersToObjectsOrDoesNot(t *testing.T) {
	plain := strings.Fields(`a aaaa name cloud region accounts zone protocol action state body scheduler
		proxy_protocol ip_address_type method path host request response type
		enforce_security_groups_on_private_link forwarded hosts paths methods names value values content_type certificate
		key mode cookie query domain description payer private_dns_name resource_type service_region cname
		target txt error bodies addresses resolve connect get restart env udp send server_name zones`)
	var in func(typ reflect.Type)
	seen, used := map[reflect.Type]bool{}, map[string]bool{}
	in = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if seen[typ] {
			return
		}
		seen[typ] = true
		zero := reflect.Zero(typ).Interface()
		if holder, ok := zero.(elementsOf); ok {
			in(holder.itemType())
			return
		}
		if holder, ok := zero.(namesOf); ok {
			in(holder.entryType())
			return
		}
		if typ.Kind() != reflect.Struct {
			return
		}
		for i := range typ.NumField() {
			key, _ := tagOf(typ, i)
			if key == "" {
				continue
			}
			field := typ.Field(i).Type
			list, words := reflect.Zero(field).Interface().(elementsOf)
			if words {
				words = list.itemType() == reflect.TypeFor[value[string]]()
			}
			if words || field == reflect.TypeFor[value[string]]() {
				_, refers := references[key]
				used[key] = true
				assert.True(t, refers != slices.Contains(plain, key), "%s of %s: is it in references, or plain?", key, typ)
			}
			in(field)
		}
	}
	in(reflect.TypeFor[rawTopology]())
	for _, key := range plain {
		assert.True(t, used[key], "no part of a file has a key %q of words", key)
	}
}

func TestAnIdentifierStandsForOneObject(t *testing.T) {
	id := "i-bp1" + strings.Repeat("a", 17)
	for _, tt := range []struct{ old, now, want string }{
		{"ecs3", "ecs3", ""},
		{"ecs1", id, ""},
		{"ecs", "x", ""},
	} {
		_, err := Parse("small.yaml", []byte(strings.ReplaceAll(small, tt.old, tt.now)))
		require.NoError(t, err)
	}
	both := strings.ReplaceAll(strings.ReplaceAll(strings.Split(small, "checks:")[0], "ecs1", id), "ecs3", id)
	_, err := Parse("small.yaml", []byte(both))
	require.ErrorContains(t, err, `instance "`+id+`" of vpc "vpc1" and instance "`+id+`" of vpc "vpc2" have the same identifier`)
	plan, err := Parse("small.yaml", []byte(small))
	require.NoError(t, err)
	_, err = Parse("small.yaml", []byte(strings.ReplaceAll(small, "web", plan.VPCs[0].ID)))
	require.ErrorContains(t, err, `has the identifier of vpc "vpc1" as its name`)
}

// An edit that is planned by itself is refused as the whole would be.
func TestAnEditCannotShareAnIdentifier(t *testing.T) {
	id := "i-bp1" + strings.Repeat("a", 17)
	doc := documentOf(t, strings.Split(small, "checks:")[0])
	one, _, err := doc.Edited(doc, topology.Edit{Path: "vpcs/vpc1/instances/" + id, Value: "{subnet: h1}"})
	require.NoError(t, err)
	_, _, err = one.Edited(doc, topology.Edit{Path: "vpcs/vpc2/instances/" + id, Value: "{subnet: h2}"})
	require.ErrorContains(t, err, "have the same identifier")
}
