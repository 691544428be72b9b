package plinksim

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/plinksim/plinksim"

// layers is the house: a package imports only from lower lines, never from
// its own. ARCHITECTURE.md says what each of them is for. Tests may read their
// topologies with pkg/topofile wherever they are.
var layers = []string{
	0: "pkg/packet pkg/pcap internal/certificate internal/derive internal/memo internal/spell",
	1: "pkg/topology pkg/fullnat/internal/store pkg/flowcache/slot",
	2: "pkg/topofile pkg/flowlog pkg/secgroup pkg/lb pkg/fullnat pkg/control pkg/status pkg/labdir pkg/wire pkg/flowcache pkg/peer",
	3: "pkg/graph pkg/dns pkg/dataplane pkg/host pkg/alb pkg/api pkg/rootless internal/anyedit internal/apitest internal/etcdtest",
	4: "pkg/compile pkg/doctor",
	5: "pkg/lab pkg/replay",
	6: "pkg/cloudapi pkg/etcd pkg/machine/kernel pkg/machine/netstack",
	7: "pkg/aliapi pkg/awsapi pkg/plinktest",
	8: "pkg/api/server pkg/bench pkg/console",
	9: "cmd/plinksim test examples/browser examples/dnscache examples/exhaustion examples/idletimeout examples/mtu examples/overlap " +
		"examples/proxyprotocol examples/rollout examples/zoneloss",
}

// helpers help tests and count. They are below the house: any test may import
// them, and they import nothing of it.
var helpers = []string{"internal/golden internal/house internal/testenv", "internal/house/count"}

// The imports are read by the test itself: what a child process such as
// "go list" reads is not part of the test cache's key, and a cached result
// would hide a break.
func TestPackagesImportOnlyFromLowerLines(t *testing.T) {
	line := map[string]int{}
	for n, names := range helpers {
		for _, name := range strings.Fields(names) {
			line[name] = n - len(helpers)
		}
	}
	for n, names := range layers {
		for _, name := range strings.Fields(names) {
			line[name] = n
		}
	}
	for dir, files := range goFiles(t) {
		if dir == "." {
			continue
		}
		own, ok := line[dir]
		require.True(t, ok, "%s has no line in layers_test.go: give it one", dir)
		for _, file := range files {
			for _, imported := range imports(t, file) {
				other, ours := strings.CutPrefix(imported, module+"/")
				// The tests of a package may be in a package of their own beside it.
				if !ours || other == dir || other == "pkg/topofile" && strings.HasSuffix(file, "_test.go") {
					continue
				}
				at, ok := line[other]
				require.True(t, ok, "%s imports %s, which has no line in layers_test.go", file, other)
				require.Less(t, at, own, "%s (line %d) imports %s (line %d): only lower lines may be imported", file, own, other, at)
			}
		}
	}
	for name := range line {
		require.DirExists(t, name, "layers_test.go has a line for a package that is not there")
	}
}

// What needs a Plan does not need the reader of files, nor what that reads with.
func TestTheModelReadsNoFile(t *testing.T) {
	for _, file := range goFiles(t)["pkg/topology"] {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, imported := range imports(t, file) {
			first, _, _ := strings.Cut(imported, "/")
			require.True(t, strings.HasPrefix(imported, module) || !strings.Contains(first, "."),
				"%s imports %s: pkg/topology stands on the standard library alone", file, imported)
		}
	}
}

// The table of packages in ARCHITECTURE.md is the one above.
func TestTheTableOfPackagesIsTrue(t *testing.T) {
	text, err := os.ReadFile("ARCHITECTURE.md")
	require.NoError(t, err)
	written := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| (\\d) \\| `([a-z0-9/]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		written[row[2]] = row[1]
	}
	want := map[string]string{}
	for line, names := range layers {
		for _, name := range strings.Fields(names) {
			want[name] = strconv.Itoa(line)
		}
	}
	require.Equal(t, want, written)
}

// TestEveryPackageHasOnePackageComment wants exactly one package comment for each package.
func TestEveryPackageHasOnePackageComment(t *testing.T) {
	for dir, files := range goFiles(t) {
		var with []string
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.PackageClauseOnly)
			require.NoError(t, err)
			if f.Doc != nil {
				with = append(with, file)
			}
		}
		if dir != "." {
			require.Len(t, with, 1, "package %s: want one package comment", dir)
		}
	}
}

func goFiles(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && p != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		// A directory with a go.mod of its own is another module.
		if d.IsDir() && p != "." {
			if _, err := os.Stat(filepath.Join(p, "go.mod")); err == nil {
				return filepath.SkipDir
			}
		}
		if strings.HasSuffix(p, ".go") {
			dir := path.Dir(filepath.ToSlash(p))
			found[dir] = append(found[dir], p)
		}
		return nil
	})
	require.NoError(t, err)
	return found
}

func imports(t *testing.T, file string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	require.NoError(t, err)
	var out []string
	for _, spec := range f.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		require.NoError(t, err)
		out = append(out, p)
	}
	return out
}
