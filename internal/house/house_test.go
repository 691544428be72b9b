package house

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// write makes a module of files.
func write(t *testing.T, files map[string]string) *Tree {
	t.Helper()
	root := t.TempDir()
	files["go.mod"] = "module example.org/m\n\ngo 1.26\n"
	for name, text := range files {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(root, name), []byte(text), 0o644))
	}
	tree, err := Read(root)
	require.NoError(t, err)
	return tree
}

func TestFunctionsOfATypeAreItsMethodsAndThoseThatTakeItFirst(t *testing.T) {
	tree := write(t, map[string]string{
		"a/a.go":      "package a\n\ntype T struct{}\n\ntype G[K any] struct{}\n\nfunc (t *T) M() {}\n\nfunc (g *G[K]) M() {}\n",
		"a/b.go":      "package a\n\nfunc of(t T, n int) {}\n\nfunc late(n int, t T) {}\n\nfunc none() {}\n\nfunc all(ts []T) {}\n",
		"a/a_test.go": "package a\n\nfunc in(t T) {}\n\nfunc ExampleT() {}\n",
		"b/b.go":      "package b\n\nimport \"example.org/m/a\"\n\nfunc of(t a.T) {}\n",
		"c/go.mod":    "module example.org/other\n",
		"c/c.go":      "package c\n\ntype T struct{}\n\nfunc (t T) M() {}\n",
	})
	require.Equal(t, []Receiver{{"a.T", 2}, {"a.G", 1}}, tree.Receivers())
	require.Equal(t, 1, tree.Examples())
	require.Len(t, tree.Sorted(), 2, "a directory with a go.mod is another module")
}

func TestImportsAreThoseOfTheKernelThatRunsIt(t *testing.T) {
	tree := write(t, map[string]string{
		"a/a.go":         "package a\n\nimport (\n\t\"fmt\"\n\n\t\"example.org/m/b\"\n)\n",
		"a/a_test.go":    "package a\n\nimport \"example.org/testing\"\n",
		"b/b.go":         "package b\n",
		"b/b_linux.go":   "package b\n\nimport \"example.org/netlink\"\n",
		"b/b_windows.go": "package b\n\nimport \"example.org/windows\"\n",
	})
	ours, others := tree.Imports("a")
	require.Equal(t, []string{"b"}, ours)
	require.Equal(t, []string{"example.org/netlink"}, others)
}

func TestComparisonsWithACloudAreCounted(t *testing.T) {
	tree := write(t, map[string]string{"a/a.go": `package a

type Cloud string

const AWS Cloud = "aws"

const Alibaba = "alibaba"

func f(c Cloud, s string) bool {
	switch s {
	case "aws":
		return true
	case "other":
	}
	names := map[Cloud]string{AWS: "AWS", "alibaba": ""}
	return c == AWS || c != Alibaba || Cloud("aws") == c || s == "tcp" || names[AWS] == ""
}
`})
	require.Equal(t, map[string]int{"a/a.go": 4}, tree.CloudComparisons())
}

func TestATabIsFourColumns(t *testing.T) {
	files := []File{{Text: []byte("\t" + strings.Repeat("ä", 116) + "\n\t" + strings.Repeat("ä", 117) + "\n")}}
	wide, all := Wide(files, 120)
	require.Equal(t, 1, wide)
	require.Equal(t, 2, all)
	require.Equal(t, 2, Lines(files))
}
