package spell

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestCountsHaveTheirPlural(t *testing.T) {
	for _, tt := range []struct {
		n    int
		what string
		want string
	}{
		{0, "check", "0 checks"}, {1, "check", "1 check"}, {2, "check", "2 checks"},
		{1, "entry", "1 entry"}, {2, "entry", "2 entries"}, {1, "VPC", "1 VPC"}, {3, "VPC", "3 VPCs"},
	} {
		require.Equal(t, tt.want, Count(tt.n, tt.what))
	}
}

func TestNearest(t *testing.T) {
	keys := []string{"subnets", "cidr", "account", "instances", "ecs1", "ecs2"}
	for _, tt := range []struct{ name, typed, want string }{
		{"two letters exchanged", "subents", "subnets"},
		{"a letter missing", "acount", "account"},
		{"a letter too many", "cidrr", "cidr"},
		{"capitals do not count", "CIDR", "cidr"},
		{"of equally near ones the first", "ecs9", "ecs1"},
		{"nothing is near", "horses", ""},
		{"one letter is too little to go by", "x", ""},
		{"an empty name is near nothing", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) { require.Equal(t, tt.want, Nearest(tt.typed, keys)) })
	}
}

// slipsByDefinition is the recursion that slips unrolls.
func slipsByDefinition(a, b string) int {
	if a == "" || b == "" {
		return len(a) + len(b)
	}
	i, j := len(a)-1, len(b)-1
	replace := slipsByDefinition(a[:i], b[:j])
	if a[i] != b[j] {
		replace++
	}
	best := min(replace, slipsByDefinition(a[:i], b)+1, slipsByDefinition(a, b[:j])+1)
	if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
		best = min(best, slipsByDefinition(a[:i-1], b[:j-1])+1)
	}
	return best
}

func TestSlipsAreWhatTheDefinitionSays(t *testing.T) {
	word := rapid.StringOfN(rapid.RuneFrom([]rune("abc")), 0, 6, -1)
	rapid.Check(t, func(t *rapid.T) {
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		require.Equal(t, slipsByDefinition(a, b), slips(a, b))
	})
}
