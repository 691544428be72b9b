package host

import (
	"testing"

	"github.com/google/nftables"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/topofile"
)

// The guards of a VPC's ports come and go with the instances, and their table
// with the last of them.
func TestTheLastGuardTakesItsTableAlong(t *testing.T) {
	const file = "name: guards\ncloud: alibaba\nregion: r1\nvpcs: {v: {cidr: 10.0.0.0/16," +
		" subnets: {s: {zone: a, cidr: 10.0.0.0/24}}, instances: {"
	both, err := topofile.Parse("guards.yaml", []byte(file+"i1: {subnet: s}, i2: {subnet: s}}}}\n"))
	require.NoError(t, err)
	one, err := topofile.Parse("guards.yaml", []byte(file+"i1: {subnet: s}}}}\n"))
	require.NoError(t, err)
	none, err := topofile.Parse("guards.yaml", []byte(file+"}}}\n"))
	require.NoError(t, err)
	dir := built(t, both)
	vpc := open(t, dir, both.VPCs[0].Namespace)
	tables := func() (n int) {
		require.NoError(t, vpc.Do(func() error {
			conn, err := nftables.New()
			if err != nil {
				return err
			}
			all, err := conn.ListTables()
			n = len(all)
			return err
		}))
		return n
	}
	require.Equal(t, 1, tables())
	require.NoError(t, Change(t.Context(), dir, both, one, nil))
	require.Equal(t, 1, tables())
	frames, err := vpc.SpoofedFrames()
	require.NoError(t, err)
	require.Len(t, frames, 1)
	require.NoError(t, Change(t.Context(), dir, one, none, nil))
	require.Zero(t, tables())
}
