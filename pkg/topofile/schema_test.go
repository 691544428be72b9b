package topofile

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/internal/golden"
)

func TestSchema(t *testing.T) {
	text, err := Schema()
	require.NoError(t, err)
	golden.Equal(t, "testdata/schema.json", string(text))

	var s jsonschema.Schema
	require.NoError(t, json.Unmarshal(text, &s))
	resolved, err := s.Resolve(nil)
	require.NoError(t, err)

	// What is refused for its addresses has the right form too.
	files, err := filepath.Glob(topologies + "/*.yaml")
	require.NoError(t, err)
	for _, file := range files {
		if filepath.Base(file) == "alibaba-clb-same-account-as-printed.yaml" {
			t.Run("a table with empty cells does not fit", func(t *testing.T) {
				require.Error(t, resolved.Validate(asJSON(t, file)))
			})
			continue
		}
		t.Run(filepath.Base(file)+" fits", func(t *testing.T) {
			require.NoError(t, resolved.Validate(asJSON(t, file)))
		})
	}
	for name, change := range map[string]func(map[string]any){
		"an unknown key does not fit":        func(m map[string]any) { m["vpc"] = 1 },
		"a cloud of another name":            func(m map[string]any) { m["cloud"] = "azure" },
		"a missing name does not fit":        func(m map[string]any) { delete(m, "name") },
		"a name with capitals does not fit":  func(m map[string]any) { m["vpcs"].(map[string]any)["VPC"] = m["vpcs"].(map[string]any)["vpc1"] },
		"a number for the region is no text": func(m map[string]any) { m["region"] = 1 },
	} {
		t.Run(name, func(t *testing.T) {
			m := asJSON(t, topologies+"/alibaba-clb.yaml").(map[string]any)
			change(m)
			require.Error(t, resolved.Validate(m))
		})
	}
	t.Run("a key of the user's own fits", func(t *testing.T) {
		m := asJSON(t, topologies+"/alibaba-clb.yaml").(map[string]any)
		m["x-mine"] = []any{"anything"}
		require.NoError(t, resolved.Validate(m))
	})
}

// asJSON is a YAML file as a JSON parser would give it.
func asJSON(t *testing.T, file string) any {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var content any
	require.NoError(t, yaml.Unmarshal(text, &content))
	text, err = json.Marshal(content)
	require.NoError(t, err)
	var out any
	require.NoError(t, json.Unmarshal(text, &out))
	return out
}
