package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/plinktest"
	"github.com/plinksim/plinksim/pkg/topology"
)

func TestMain(m *testing.M) {
	if os.Getenv(programVariable) != "" {
		if len(os.Args) > 1 && os.Args[1] == newDaemon().Name() {
			go leak(os.Getenv(leakVariable))
		}
		main()
	}
	if what := os.Getenv(floodVariable); what != "" && len(os.Args) == 1 {
		if err := beFlood(what); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	plinktest.Main(m)
}

var fence = regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$")

// blocks are the code blocks of one language in a Markdown file.
func blocks(t *testing.T, file, language string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var found []string
	for _, m := range fence.FindAllStringSubmatch(string(text), -1) {
		if m[1] == language {
			found = append(found, m[2])
		}
	}
	return found
}

func markdown(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../../*.md")
	require.NoError(t, err)
	more, err := filepath.Glob("../../docs/*.md")
	require.NoError(t, err)
	return append(files, more...)
}

// Every "sh" block of every document is run, those of one document in their
// order by one shell. Those that run this test again, and lint, which is run
// beside it, are left out.
func TestTheCommandsOfTheDocumentsWork(t *testing.T) {
	t.Parallel()
	plinktest.Require(t)
	testenv.NeedNoRace(t)
	cache := t.TempDir() // all documents build the same
	for _, file := range markdown(t) {
		commands := strings.Join(blocks(t, file, "sh"), "")
		commands = regexp.MustCompile(`(?m)^make (test|lint|golden|race|fuzz|bench).*$`).ReplaceAllString(commands, "")
		if strings.TrimSpace(commands) == "" {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			state, err := os.MkdirTemp("", "plinksim")
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, os.RemoveAll(state)) })
			// The test is root already, and a machine may have no sudo program.
			script := "set -eux\nsudo() { \"$@\"; }\n" + commands
			readersFile := "../../shop.yaml" // which "init" does not write over
			require.NoError(t, os.RemoveAll(readersFile))
			t.Cleanup(func() { require.NoError(t, os.RemoveAll(readersFile)) })
			cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
			cmd.Dir = "../.."
			cmd.Env = append(os.Environ(), "PLINKSIM_STATE_DIR="+filepath.Join(state, "run"))
			if os.Getenv("SUDO_UID") != "" {
				// The user's build cache must not get files of root.
				cmd.Env = append(cmd.Env, "GOCACHE="+cache)
			}
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, "%s", out)
			require.NoDirExists(t, filepath.Join(state, "run"), "a document takes down what it brings up:\n%s", out)
		})
	}
}

// From nothing to a service of one's own behind haproxy a newcomer types less than ten
// commands: those of the README, which the test above runs, "make build" and the
// installation of haproxy.
func TestTheWayToAServiceOfOnesOwnIsShort(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(text), "\n## A service of your own\n")
	require.True(t, found)
	section, _, _ = strings.Cut(section, "\n## ")
	typed := []string{"make build", "apt-get install haproxy"}
	for _, m := range fence.FindAllStringSubmatch(section, -1) {
		typed = append(typed, strings.Split(strings.TrimSpace(m[2]), "\n")...)
	}
	require.Less(t, len(typed), 10, strings.Join(typed, "\n"))
	for _, step := range []string{"init haproxy", "up", "check", "sed", "down"} {
		require.Contains(t, strings.Join(typed, "\n"), step)
	}
}

// Every "yaml" block of every document is a whole topology; it is brought up
// and its checks are run.
func TestTheTopologiesOfTheDocumentsWork(t *testing.T) {
	t.Parallel()
	for _, file := range markdown(t) {
		for _, text := range blocks(t, file, "yaml") {
			t.Run(filepath.Base(file), func(t *testing.T) {
				l := plinktest.UpText(t, text)
				l.Check()
			})
		}
	}
}

// docs/control-plane.md has every operation.
func TestTheOperationsOfTheDocumentAreTheCodes(t *testing.T) {
	text, err := os.ReadFile("../../docs/control-plane.md")
	require.NoError(t, err)
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `[^|]*` \\| `([a-z-]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		documented = append(documented, row[1])
	}
	require.ElementsMatch(t, topology.Verbs(), documented)
	for _, code := range topology.Refusals() {
		require.Contains(t, string(text), "`"+code+"`")
	}
}

// What docs/containers.md shows for CI are the files that "make lint" reads.
func TestTheFilesForCIAreThoseOfTheDocument(t *testing.T) {
	var files []string
	for _, name := range []string{"github-actions.yml", "gitlab-ci.yml"} {
		text, err := os.ReadFile(filepath.Join("../../docs/ci", name))
		require.NoError(t, err)
		files = append(files, string(text))
	}
	require.Equal(t, files, blocks(t, "../../docs/containers.md", "yml"))
}
