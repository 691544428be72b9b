package main

import (
	"cmp"
	"reflect"
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
	root := newRoot(new(timeLimit))
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
		require.ElementsMatch(t, slices.Concat(spec.Needs.List(), spec.May.List(), spec.Creates.List()), keys,
			spec.Verb)
		cmd, _, err := root.Find(strings.Fields(op.path))
		require.NoError(t, err)
		require.Equal(t, "plinksim "+op.path, cmd.CommandPath())
	}
	require.Empty(t, rows, "commands of operations that are not there")
}

// What a command line is made of an operation comes back when it is read.
func TestACommandLineIsReadAsItsOperation(t *testing.T) {
	for _, spec := range topology.Specs {
		if spec.Read {
			continue
		}
		want := topology.Operation{Verb: spec.Verb, As: "a"}
		for _, key := range slices.Concat(spec.Needs.List(), spec.May.List(), spec.Creates.List()) {
			for _, text := range valuesOf(key) {
				require.NoError(t, want.Set(key, text))
			}
		}
		line := commandLine(want)
		require.Equal(t, []topology.Operation{want}, readLine(t, line), line)
	}
}

// valuesOf are values that a key may have. Lists take one after the other.
func valuesOf(key string) []string {
	switch {
	case key == "resources":
		return []string{"clb1@zone-a", "clb2@zone-b"}
	case key == "nat_ip", key == "access_ip":
		return []string{"172.16.0.5"}
	case key == "description":
		return []string{"orders of the shop"}
	}
	switch topology.KeyKind(key) {
	case reflect.Bool:
		return []string{"false"}
	case reflect.Int, reflect.Uint16:
		return []string{"80"}
	case reflect.Slice:
		return []string{"h1,i1"}
	}
	return []string{"some-" + strings.ReplaceAll(key, "_", "-")}
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
		if path := strings.Fields("plinksim " + cmp.Or(op.also, op.path)); len(words) >= len(path) &&
			slices.Equal(words[:len(path)], path) {
			cmd := op.reading(&target{}, &topology.Operation{Verb: op.verb}, func(_ *cobra.Command, read []topology.Operation) error {
				calls = read
				return nil
			})
			cmd.SetArgs(words[len(path):])
			require.NoError(t, cmd.Execute(), line)
		}
	}
	return calls
}
