package plinksim

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// docs/nat.md names the tests of every item, and each of them is there and
// has the item's number in its text or in a story.
func TestTheNATsChecklistNamesItsTests(t *testing.T) {
	tests, stories := natTests(t)
	text, err := os.ReadFile("docs/nat.md")
	require.NoError(t, err)
	next := 1
	for _, row := range regexp.MustCompile(`(?m)^\| nat (\d+) \|.*\| ([^|]+) \|$`).FindAllStringSubmatch(string(text), -1) {
		require.Equal(t, strconv.Itoa(next), row[1], "the items are in order and none is left out")
		next++
		item, says := "nat "+row[1], row[2]
		if strings.HasPrefix(says, "Not done. ") {
			continue
		}
		requireTests(t, item, says, tests, stories)
	}
	require.Equal(t, 68, next, "all items are there")
	identity := regexp.MustCompile(`(?m)^\| (nat J[^|]*) \|.*\| ([^|]+) \|$`).FindAllStringSubmatch(string(text), -1)
	require.Len(t, identity, 15)
	for _, row := range identity {
		requireTests(t, regexp.QuoteMeta(row[1]), row[2], tests, stories)
	}
}

// requireTests holds a row of the checklist against the tests that it names.
func requireTests(t *testing.T, item, says string, tests, stories map[string]string) {
	t.Helper()
	named := regexp.MustCompile("`(Test\\w+)`|story ([a-z][a-z0-9-]*)").FindAllStringSubmatch(says, -1)
	require.NotEmpty(t, named, "%s names a test, or says why it is not done", item)
	for _, n := range named {
		body := tests[n[1]] + stories[n[2]]
		require.Regexp(t, item+`(\W|$)`, body, "%s%s is no test of %s", n[1], n[2], item)
	}
}

// natTests are the texts of the core's tests and stories, by name.
func natTests(t *testing.T) (tests, stories map[string]string) {
	t.Helper()
	tests, stories = map[string]string{}, map[string]string{}
	for _, file := range glob(t, "pkg/fullnat/*_test.go", "pkg/packet/*_test.go", "pkg/dataplane/*_test.go") {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, f := range strings.Split(string(text), "\nfunc ")[1:] {
			name, _, _ := strings.Cut(f, "(")
			tests[name] = f
		}
	}
	for _, file := range glob(t, "pkg/fullnat/testdata/stories/*.txt") {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		stories[strings.TrimSuffix(filepath.Base(file), ".txt")] = string(text)
	}
	return tests, stories
}

func glob(t *testing.T, patterns ...string) (files []string) {
	t.Helper()
	for _, p := range patterns {
		found, err := filepath.Glob(p)
		require.NoError(t, err)
		require.NotEmpty(t, found, p)
		files = append(files, found...)
	}
	return files
}
