package anyedit

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Steps make objects of every kind and are operations of every verb. Many of
// them fit, and many do not.
func TestStepsAreOfEveryKind(t *testing.T) {
	testenv.NeedNoRace(t) // one goroutine
	seen := map[string]int{}
	for _, cloud := range []string{"alibaba", "aws", "rfc"} {
		plan, err := topofile.Parse("base.yaml", []byte(Base(cloud)))
		require.NoError(t, err)
		base, err := topofile.DocumentOf(plan)
		require.NoError(t, err)
		doc := base
		d, made, refused, most := New(1), 0, 0, 0
		for range 250 {
			s := d.Next(plan)
			if len(s.Edits) == 0 {
				continue
			}
			for _, e := range s.Edits {
				parts := topology.SplitPath(e.Path)
				require.False(t, kept(parts), "%s", s)
				seen[parts[0]]++
				if len(parts) > 2 {
					seen[parts[2]]++
				}
			}
			if edited, next, err := doc.Edited(base, s.Edits...); err == nil {
				doc, plan = edited, next
				_, err := plan.Endpoint(Kept + "-ep")
				require.NoError(t, err, "%s", s)
				made++
			} else {
				refused++
				t.Log(err)
			}
			n := draw{Drawer: d, plan: plan}
			n.parse()
			most = max(most, len(n.objects()))
		}
		for range 500 {
			n := draw{Drawer: d, plan: plan}
			seen[string(n.operation().Verb)]++
		}
		t.Log(cloud, made, "made,", refused, "refused, at most", most, "objects")
		require.Greater(t, made, 75)
		require.Greater(t, refused, 50)
		require.Greater(t, most, 15)
		require.Less(t, most, 40)
	}
	sections := slices.DeleteFunc(New(1).schema.keys(), func(key string) bool {
		// The hosts of a lab are chosen before it comes up: no edit brings any.
		return key == "hosts" || New(1).schema.Properties[key].AdditionalProperties.schema == nil
	})
	for _, key := range slices.Concat(sections, partsOfVPCs, topology.Verbs(), strings.Fields("servers listeners records full_nat")) {
		require.NotZero(t, seen[key], key)
	}
}

func TestASeedGivesTheSameSteps(t *testing.T) {
	plan, err := topofile.Parse("base.yaml", []byte(Base("aws")))
	require.NoError(t, err)
	one, other := New(7), New(7)
	for range 200 {
		require.Equal(t, one.Next(plan), other.Next(plan))
	}
}
