package plinksim

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// docs/dns.md names the tests of every item, and each of them is there and has
// the item's number in its text.
func TestTheResolversChecklistNamesItsTests(t *testing.T) {
	tests := map[string]string{}
	for _, file := range glob(t, "pkg/dns/*_test.go") {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, f := range strings.Split(string(text), "\nfunc ")[1:] {
			name, _, _ := strings.Cut(f, "(")
			tests[name] = f
		}
	}
	text, err := os.ReadFile("docs/dns.md")
	require.NoError(t, err)
	rows := regexp.MustCompile(`(?m)^\| dns (\d+) \|.*\| ([^|]+) \|$`).FindAllStringSubmatch(string(text), -1)
	require.Len(t, rows, 57)
	for i, row := range rows {
		require.Equal(t, strconv.Itoa(i+1), row[1], "the items are in order and none is left out")
		if !strings.HasPrefix(row[2], "Not done. ") {
			requireTests(t, "dns "+row[1], row[2], tests, nil)
		}
	}
}
