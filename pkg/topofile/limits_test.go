package topofile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// wide are files that are small and ask for much: each is wrong in very many
// places of one line, or wants to be unfolded.
func wide() map[string]string {
	servers := func(n int, server string) string {
		all := strings.TrimSuffix(strings.Repeat(server+", ", n), ", ")
		return strings.Replace(small, "[{instance: ecs2, port: 80}, {instance: ecs3, port: 80}]", "["+all+"]", 1)
	}
	keys := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	name := strings.Repeat("n", 200_000)
	return map[string]string{
		"a thousand equal servers on one line":     servers(1000, "{instance: ecs2, port: 80}"),
		"ten thousand servers without an instance": servers(10_000, "{}"),
		"four thousand aliases":                    "x-s: &s {instance: ecs9, port: 80}\n" + servers(4000, "*s"),
		"unknown keys on one line of JSON":         "{" + keys(20_000, `"key%d": 1, `) + `"name": "x"}`,
		"one key ten thousand times":               "{" + strings.Repeat("name: x, ", 10_000) + "}",
		"a list of many values":                    "name: [" + strings.Repeat("a,", 500_000) + "a]",
		"many empty lines":                         strings.Repeat("\n", 1_000_000) + "name: x",
		"very long names":                          strings.Replace(small, "service: svc1", "service: "+name, 1),
		"a long value in many places":              "x-v: &v " + name + "\n" + servers(2000, "{instance: *v, port: *v}"),
		"lists inside of lists":                    strings.Repeat("[", 5000),
		"merges of merges":                         "x-a: &a {" + keys(1000, "k%d: 1, ") + "}\nx-b: &b {<<: [" + strings.TrimSuffix(strings.Repeat("*a, ", 1000), ", ") + "]}\n" + strings.Replace(small, "accounts:", "quotas: *b\naccounts:", 1),
	}
}

func TestOfManyProblemsTheFirstAreShownAndTheOthersCounted(t *testing.T) {
	_, err := Parse("many.yaml", []byte("{name: x, cloud: aws, region: us-east-1, vpcs: {}"+strings.Repeat(", name: y", 1500)+"}"))
	var problems Problems
	require.ErrorAs(t, err, &problems)
	require.Len(t, problems, maxShown+1)
	require.Contains(t, problems[0].Message, `key "name" is given twice`)
	require.Equal(t, "many.yaml: 1450 more problems are not shown", problems[maxShown].String())
	require.True(t, strings.HasSuffix(err.Error(), "\n\n1500 problems"), "all are counted")
}

func TestAFileThatIsTooLongIsRefusedAndNotCut(t *testing.T) {
	text := small + strings.Repeat("#", MaxSize-len(small))
	_, err := Parse("long.yaml", []byte(text))
	require.NoError(t, err)
	_, err = Read("long.yaml", strings.NewReader(text+"#"))
	require.ErrorContains(t, err, "long.yaml: the file has more than 1048576 bytes")
	_, err = Load("/dev/zero")
	require.ErrorContains(t, err, "/dev/zero: the file has more than")
}

func TestTheMarkStandsUnderItsPlaceInALongLine(t *testing.T) {
	line := `{"x-a": "` + strings.Repeat("ü", 300) + `", "naem": "x", "x-b": "` + strings.Repeat("b", 300) + `"}`
	for name, text := range map[string]string{"before and behind": line, "at the end": strings.SplitAfter(line, `"naem": "x"`)[0] + "}"} {
		_, err := Parse("line.json", []byte(text))
		var problems Problems
		require.ErrorAs(t, err, &problems)
		named := false
		for _, p := range problems {
			if p.Line == 0 {
				continue
			}
			rows := strings.Split(p.Excerpt, "\n")
			require.Len(t, rows, 2, name)
			for _, row := range rows {
				require.LessOrEqual(t, len([]rune(row)), maxExcerpt+10, name)
			}
			if strings.Contains(p.Message, "naem") {
				mark := strings.Index(rows[1], "^")
				require.Equal(t, `"naem"`, string([]rune(rows[0])[mark:mark+len(`"naem"`)]), name)
				named = true
			}
		}
		require.True(t, named, "the misspelt key is named")
	}
}

func TestASubnetHasNoMoreInstancesThanItsBridgeHasPorts(t *testing.T) {
	var many strings.Builder
	for i := range maxPorts + 1 {
		fmt.Fprintf(&many, "      i%d: {subnet: h1}\n", i)
	}
	wide := strings.NewReplacer("cidr: 10.0.0.0/24", "cidr: 10.0.0.0/20", "cidr: 10.0.1.0/24", "cidr: 10.0.16.0/24").Replace(small)
	_, err := Parse("many.yaml", []byte(strings.Replace(wide, "      ecs1: ", many.String()+"      ecs1: ", 1)))
	require.ErrorContains(t, err, `subnet "h1" has 1026 instances and ENIs, and 1023 are possible`)
}
