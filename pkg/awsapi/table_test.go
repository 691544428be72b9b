package awsapi

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/golden"
	"github.com/plinksim/plinksim/pkg/wire"
)

// Every parameter that a handler reads is one of its operation, with its type; what is
// ignored is a parameter too, and is not read.
func TestTheTableFitsTheAPI(t *testing.T) {
	require.Greater(t, len(rows()), 90)
	for key, r := range rows() {
		if r.Op.Input == nil {
			require.Zero(t, r.Input.NumField(), key)
			continue
		}
		require.NoError(t, wire.CheckFields(r.Op.Input, r.Input), key)
		for _, g := range r.Ignored {
			require.NotEmpty(t, g.Why, "%s %s", key, g.Parameter)
			require.True(t, r.Op.Input.Has(g.Parameter), "%s has no %s", key, g.Parameter)
			require.False(t, reads(r.Input, g.Parameter), "%s reads %s, which it says to ignore", key, g.Parameter)
		}
	}
}

// reads says whether a struct of parameters has a field for a path.
func reads(t reflect.Type, path string) bool {
	for _, name := range strings.Split(path, ".") {
		for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		f, ok := t.FieldByName(name)
		if !ok {
			return false
		}
		t = f.Type
	}
	return true
}

// A parameter that is in an operation's description and neither read nor ignored is
// refused, whichever it is.
func TestWhatNobodyReadsIsRefused(t *testing.T) {
	refused := 0
	for _, r := range rows() {
		if r.Op.Input == nil {
			continue
		}
		for _, m := range r.Op.Input.Members {
			if m.Name == "DryRun" || m.Name == "ClientToken" {
				continue
			}
			_, read := r.Input.FieldByName(m.Name)
			ignored := false
			for _, g := range r.Ignored {
				ignored = ignored || g.Parameter == m.Name || strings.HasPrefix(g.Parameter, m.Name+".")
			}
			if read || ignored {
				continue
			}
			refused++
			unused := wire.Bind(wire.Values{m.Name: "x"}, reflect.New(r.Input).Interface())
			require.Equal(t, []string{m.Name}, unused)
		}
	}
	require.Greater(t, refused, 80)
}

// The reference page of what is done is the table.
func TestTheReferenceOfOperationsIsTheTable(t *testing.T) {
	golden.Equal(t, "../../docs/reference/aws-operations.md", Reference())
}
