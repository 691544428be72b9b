package main

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Every operation that changes something has a command, with an argument or a
// flag for each of its keys and for nothing else.
func TestEveryOperationHasACommand(t *testing.T) {
	rows := map[topology.Verb]operation{}
	for _, op := range operations() {
		require.NotContains(t, rows, op.verb)
		rows[op.verb] = op
	}
	root := newRoot()
	for _, spec := range topology.Specs {
		if spec.Read {
			continue
		}
		op, ok := rows[spec.Verb]
		require.True(t, ok, "%s has no command", spec.Verb)
		delete(rows, spec.Verb)
		keys := op.keys.List()
		for _, f := range op.flags {
			keys = append(keys, f.keys.List()...)
		}
		require.ElementsMatch(t, slices.Concat(spec.Needs.List(), spec.May.List(), spec.Creates.List()), keys, spec.Verb)
		cmd, _, err := root.Find(strings.Fields(op.path))
		require.NoError(t, err)
		require.Equal(t, "plinksim "+op.path, cmd.CommandPath())
	}
	require.Empty(t, rows, "commands of operations that are not there")
}

// What a command line is made of an operation comes back when it is read.
func TestACommandLineIsReadAsItsOperation(t *testing.T) {
	off, mbit, weight, text := false, 200, 0, "orders of the shop"
	values := topology.Operation{
		As: "a", Service: "svc1", Endpoint: "ep1", Zone: "zone-b", Account: "c", Resource: "clb2", SecurityGroup: "web",
		Resources: []topology.Resource{{LoadBalancer: "clb1", Zone: "zone-a"}, {LoadBalancer: "clb2", Zone: "zone-b"}},
		Bandwidth: &mbit, Force: true, Description: &text, AutoAccept: &off, ZoneAffinity: &off, PrivateDNS: &off,
		NATGateway: "ngw1", Entry: "db", NATIP: netip.MustParseAddr("172.16.0.5"), NATPort: 3306, Protocol: "udp",
		AccessIP: netip.MustParseAddr("192.168.0.86"), AccessPort: 33, Domain: &text, ServerGroup: "web", Server: "web-3:80",
		Weight: &weight, VPC: "vpc1", Subnets: []string{"h1", "i1"}, SecurityGroups: []string{"web"}, LoadBalancers: []string{"clb1"},
	}
	for _, spec := range topology.Specs {
		if spec.Read {
			continue
		}
		want := topology.Operation{Verb: spec.Verb, As: "a"}
		for _, key := range slices.Concat(spec.Needs.List(), spec.May.List(), spec.Creates.List()) {
			for _, word := range split(values, key) {
				require.NoError(t, want.Set(key, word))
			}
		}
		line := commandLine(want)
		require.Equal(t, []topology.Operation{want}, readLine(t, line), line)
	}
}

// split are the values of a key, of which lists take one after the other.
func split(o topology.Operation, key string) []string {
	if key == "resources" {
		return strings.Fields(o.Text(key))
	}
	return []string{o.Text(key)}
}

// readLine are the operations that a command line asks for, which quotes words
// as shells do.
func readLine(t *testing.T, line string) (calls []topology.Operation) {
	t.Helper()
	var words []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			words = append(words, part)
			continue
		}
		words = append(words, strings.Fields(part)...)
	}
	for _, op := range operations() {
		if path := strings.Fields("plinksim " + cmp.Or(op.also, op.path)); len(words) >= len(path) && slices.Equal(words[:len(path)], path) {
			cmd := op.reading(&target{}, func(_ *cobra.Command, read []topology.Operation) error {
				calls = read
				return nil
			})
			cmd.SetArgs(words[len(path):])
			require.NoError(t, cmd.Execute(), line)
		}
	}
	return calls
}
