package plinksim

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// testdata/checklists has a file for each document that plinksim reproduces,
// and each of its items says what holds it: that test, check, script or
// message is there. CONTRIBUTING.md, "Checklists", describes the form.
func TestTheChecklistsOfTheDocumentsNameWhatHoldsThem(t *testing.T) {
	held := holders(t)
	for _, file := range glob(t, "testdata/checklists/*.txt") {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			items := checklist(t, file)
			require.NotEmpty(t, items)
			for _, item := range items {
				require.NotEmpty(t, item.held, "%q says neither what holds it nor why nothing does", item.text)
				for _, h := range item.held {
					if h.kind == "not" || h.kind == "not yet" {
						require.Len(t, item.held, 1, "%q is held or it is not", item.text)
						require.NotEmpty(t, h.what, "%q does not say why", item.text)
						continue
					}
					require.Contains(t, held, h.kind, "%q: write test, check, script, message, not or not yet", item.text)
					require.True(t, held[h.kind](h.what), "%q: there is no %s %q", item.text, h.kind, h.what)
				}
			}
		})
	}
}

// item is one thing that a reader of a document must be able to reproduce.
type item struct {
	text string
	held []holder
}

type holder struct{ kind, what string }

var holderLine = regexp.MustCompile(`^  (test|check|script|message|not yet|not): *(.*)$`)

// checklist reads a file of items: a line that begins with "- ", then lines
// that begin with two spaces.
func checklist(t *testing.T, file string) (items []item) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	for _, line := range strings.Split(string(text), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if first, ok := strings.CutPrefix(line, "- "); ok {
			items = append(items, item{text: first})
			continue
		}
		require.NotEmpty(t, items, "%s: %q comes before the first item", file, line)
		last := &items[len(items)-1]
		more, ok := strings.CutPrefix(line, "  ")
		require.True(t, ok, "%s: %q is neither an item nor part of one", file, line)
		switch m := holderLine.FindStringSubmatch(line); {
		case m != nil:
			last.held = append(last.held, holder{m[1], m[2]})
		case len(last.held) > 0:
			last.held[len(last.held)-1].what += " " + more
		default:
			last.text += " " + more
		}
	}
	return items
}

// holders find what an item names: a Go test, a check of a topology
// ("FILE: NAME"), a script, a message of the validator.
func holders(t *testing.T) map[string]func(what string) bool {
	tests := map[string]bool{}
	for _, files := range goFiles(t) {
		for _, file := range files {
			if !strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(read(t, file), -1) {
				tests[m[1]] = true
			}
		}
	}
	messages := ""
	for _, file := range glob(t, "pkg/topofile/testdata/messages*.txt") {
		messages += read(t, file)
	}
	return map[string]func(string) bool{
		"test": func(name string) bool { return tests[name] },
		"check": func(what string) bool {
			file, name, _ := strings.Cut(what, ": ")
			text, err := os.ReadFile(filepath.Join("testdata/topologies", file+".yaml"))
			return err == nil && name != "" && strings.Contains(string(text), "{name: "+name+",")
		},
		"script": func(name string) bool {
			_, err := os.Stat(filepath.Join("testdata/scripts", name+".txt"))
			return err == nil
		},
		"message": func(title string) bool { return strings.Contains(messages, "\n== "+title+"\n") },
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(text)
}

var (
	codeName = regexp.MustCompile("`([a-z]+)\\.([A-Z]\\w+)(?:\\.([A-Z]\\w+))?(?:\\([^`]*\\))?`")
	codePath = regexp.MustCompile("`((?:cmd|docs|internal|pkg|scripts|test|testdata)/[\\w./-]+)`")
)

// What the documents write as `lab.Do` or `docs/nat.md` is there.
var testName = regexp.MustCompile("`(Test[A-Z]\\w+)`")

// Documents say which test holds what they promise.
func TestTheTestsInTheDocumentsAreThere(t *testing.T) {
	var tests strings.Builder
	for _, files := range goFiles(t) {
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				tests.WriteString(read(t, file))
			}
		}
	}
	for _, mod := range glob(t, "examples/*/go.mod") { // they are not of this module
		for _, file := range glob(t, filepath.Dir(mod)+"/*_test.go") {
			tests.WriteString(read(t, file))
		}
	}
	for _, file := range glob(t, "*.md", "docs/*.md", "examples/*/*.md") {
		for _, m := range testName.FindAllStringSubmatch(read(t, file), -1) {
			require.True(t, strings.Contains(tests.String(), "func "+m[1]+"("), "%s: there is no test %s", file, m[1])
		}
	}
}

func TestTheNamesInTheDocumentsAreThere(t *testing.T) {
	code := map[string]string{}
	for _, p := range tree(t).Sorted() {
		for _, f := range p.Files {
			code[f.Syntax.Name.Name] += string(f.Text)
		}
	}
	for _, file := range glob(t, "*.md", "docs/*.md", "docs/bench/*.md") {
		if file == "CHANGELOG.md" {
			continue // it speaks of what was
		}
		text := read(t, file)
		for _, m := range codeName.FindAllStringSubmatch(text, -1) {
			require.Contains(t, code, m[1], "%s: %s: there is no such package", file, m[0])
			for _, name := range m[2:] {
				found, err := regexp.MatchString(`\b`+name+`\b`, code[m[1]])
				require.NoError(t, err)
				require.True(t, found, "%s: there is no %s", file, m[0])
			}
		}
		for _, m := range codePath.FindAllStringSubmatch(text, -1) {
			_, err := os.Stat(m[1])
			require.NoError(t, err, file)
		}
	}
}

// The walks through the console have their pictures, and no picture is left over. All of
// them are small.
func TestTheDocumentsHaveTheirPictures(t *testing.T) {
	picture := regexp.MustCompile(`!\[[^]]{20,}\]\((console/[a-z0-9-]+\.png)\)`)
	shown := map[string]bool{}
	for _, file := range glob(t, "docs/*.md") {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range picture.FindAllStringSubmatch(string(text), -1) {
			require.False(t, shown["docs/"+m[1]], m[1])
			shown["docs/"+m[1]] = true
		}
	}
	all := int64(0)
	for _, file := range glob(t, "docs/console/*") {
		require.True(t, shown[file], "no document shows %s", file)
		delete(shown, file)
		info, err := os.Stat(file)
		require.NoError(t, err)
		all += info.Size()
	}
	require.Empty(t, shown, "\"make console-pictures\" makes them")
	require.Positive(t, all)
	require.Less(t, all, int64(1<<20), "bytes of pictures")
}
