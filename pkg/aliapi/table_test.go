package aliapi

import (
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/golden"
	"github.com/plinksim/plinksim/pkg/wire"
)

// Every parameter that a handler reads is one of its operation, with its type; what is
// ignored is a parameter too, and is not read. An answer that a listing gives is there.
func TestTheTableFitsTheAPI(t *testing.T) {
	require.Greater(t, len(rows()), 40)
	for key, r := range rows() {
		require.NoError(t, wire.CheckFields(r.Op.Input, r.Input), key)
		for _, g := range r.Ignored {
			require.NotEmpty(t, g.Why, "%s %s", key, g.Parameter)
			require.True(t, r.Op.Input.Has(g.Parameter), "%s has no %s", key, g.Parameter)
			_, reads := r.Input.FieldByName(g.Parameter)
			require.False(t, reads, "%s reads %s, which it says to ignore", key, g.Parameter)
		}
		if r.listing == nil {
			continue
		}
		require.True(t, r.Op.Output.Has(r.listing.answer), "%s answers no %s", key, r.listing.answer)
		require.Positive(t, r.listing.usual, key)
		require.GreaterOrEqual(t, r.listing.most, r.listing.usual, key)
		for name, f := range r.listing.filters {
			require.True(t, r.Op.Output.Has(r.listing.answer+"."+f.member), "%s: filter %s reads %s", key, name, f.member)
		}
	}
}

// A parameter that is in an operation's description and neither read nor ignored is
// refused, whichever it is.
func TestWhatNobodyReadsIsRefused(t *testing.T) {
	refused := 0
	for key, r := range rows() {
		for _, m := range r.Op.Input.Members {
			_, read := r.Input.FieldByName(m.Name)
			ignored := m.Name == "DryRun" || m.Name == "ClientToken" || m.Name == "RegionId"
			for _, g := range r.Ignored {
				ignored = ignored || g.Parameter == m.Name || strings.HasPrefix(g.Parameter, m.Name+".")
			}
			if read || ignored {
				continue
			}
			refused++
			unused := wire.Bind(wire.Values{m.Name: "x"}, reflect.New(r.Input).Interface())
			require.Equal(t, []string{m.Name}, unused, key)
		}
	}
	require.Positive(t, refused)
}

// All operations of PrivateLink are done.
func TestAllOfPrivateLinkIsDone(t *testing.T) {
	done := 0
	for _, op := range Operations() {
		if op.Service != "privatelink" {
			continue
		}
		if op.Done {
			done++
			continue
		}
		// The SDK has two beside the 39 of the API's reference.
		require.Contains(t, []string{"CheckResourceSupportOperate", "NotifyResourceAddressFamily"}, op.Name)
	}
	require.Equal(t, 39, done)
}

// The reference page of what is done is the table.
func TestTheReferenceOfOperationsIsTheTable(t *testing.T) {
	golden.Equal(t, "../../docs/reference/alibaba-operations.md", Reference())
}
