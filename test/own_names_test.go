package test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/plinktest"
	"github.com/plinksim/plinksim/pkg/status"
)

// hostile is a machine that knows other answers to the lab's questions, in
// files that are mounted over its own in a mount namespace of a test.
var hostile = map[string]string{
	"hosts": `10.9.9.9 vm other cl cl.c.internal www.shop.example machine-only localhost
10.9.9.9 other.c.internal s1.p.internal
`,
	"resolv.conf": "nameserver 127.0.0.1\nsearch shop.example evil.example\noptions ndots:9 timeout:1 attempts:1\n",
}

// hostileEnv has what programs and Go's libraries look at beside such files.
var hostileEnv = []string{
	"HTTP_PROXY=http://127.0.0.1:9", "http_proxy=http://127.0.0.1:9", "HTTPS_PROXY=http://127.0.0.1:9",
	"https_proxy=http://127.0.0.1:9", "ALL_PROXY=http://127.0.0.1:9", "NO_PROXY=", "GODEBUG=netdns=cgo",
	"SSL_CERT_FILE=/nonexistent", "SSL_CERT_DIR=/nonexistent", "CURL_CA_BUNDLE=/nonexistent",
	"RES_OPTIONS=ndots:15", "LOCALDOMAIN=evil.example",
}

const inHostile = "PLINKSIM_TEST_HOSTILE"

// The test runs itself again in a mount namespace of its own, where the files
// of the machine are the hostile ones. The machine's real files stay.
func TestNothingOfTheMachineReachesALab(t *testing.T) {
	plinktest.Require(t)
	if os.Getenv(inHostile) == "" {
		tame := answers(t)
		dir := t.TempDir()
		mount := "set -e; "
		for name, text := range hostile {
			file := filepath.Join(dir, name)
			require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
			mount += fmt.Sprintf("mount --bind %s $(readlink -f /etc/%s); ", file, name)
		}
		self, err := os.Executable()
		require.NoError(t, err)
		out := filepath.Join(dir, "answers")
		cmd := exec.CommandContext(t.Context(), "unshare", "-m", "sh", "-c", mount+`exec "$@"`, "sh",
			self, "-test.run", "^"+t.Name()+"$", "-test.v")
		cmd.Env = append(append(os.Environ(), hostileEnv...), inHostile+"="+out)
		text, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", text)
		said, err := os.ReadFile(out)
		require.NoError(t, err)
		require.Equal(t, tame, string(said))
		return
	}
	found, err := net.LookupHost("machine-only")
	require.NoError(t, err)
	require.Equal(t, []string{"10.9.9.9"}, found, "this is the hostile machine")
	require.NoError(t, os.WriteFile(os.Getenv(inHostile), []byte(answers(t)), 0o644))
}

// answers are what the checks of the file, Go and programs on an instance find.
func answers(t *testing.T) string {
	l := plinktest.Up(t, "testdata/own-names.yaml")
	var b strings.Builder
	require.NoError(t, l.Running().Check(t.Context(), func(r status.Check) {
		require.True(t, r.Passed, "%s: %s", r.Name, r.Got)
		fmt.Fprintln(&b, r.Name, r.Passed)
	}))
	cl := l.Instance("cl")
	for _, name := range []string{
		"vm", "vm.", "other", "other.", "OTHER.c.internal", "cl", "localhost", "www", "www.shop.example", "machine-only",
		l.Name("ep"),
	} {
		text, _ := cl.Command(t.Context(), "getent", "ahostsv4", name).Output()
		byPrograms := firstColumn(string(text))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		addrs, _ := cl.Resolver().LookupNetIP(ctx, "ip4", name)
		cancel()
		var byGo []string
		for _, addr := range addrs {
			byGo = append(byGo, addr.String())
		}
		var byQuery []string
		if answer, err := l.Running().Query(t.Context(), "cl", name, ""); err == nil {
			for _, r := range answer.Records {
				byQuery = append(byQuery, r[strings.LastIndex(r, " ")+1:])
			}
		}
		require.Equal(t, byPrograms, byGo, "%s: programs, and Go's tests", name)
		if name != "cl" && name != "other" { // references: their whole names are asked for
			require.Equal(t, byPrograms, byQuery, "%s: programs, and dns query", name)
		}
		fmt.Fprintln(&b, name, byGo)
	}
	alb := l.Name("alb.ip")
	near := l.Instance("near")
	resp, err := near.HTTP().Get("https://" + alb + "/")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	text, err := near.Command(t.Context(), "curl", "-sS", "-m", "5", "https://"+alb+"/").CombinedOutput()
	require.NoError(t, err, "%s", text)
	fmt.Fprintf(&b, "curl %s\n", text)
	text, err = cl.Command(t.Context(), "curl", "-sS", "-m", "5", "http://www.shop.example/").CombinedOutput()
	require.NoError(t, err, "%s", text)
	fmt.Fprintf(&b, "curl %s\n", text)
	return b.String()
}

// firstColumn is the first word of each line, each once.
func firstColumn(text string) (words []string) {
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 0 && !slices.Contains(words, fields[0]) {
			words = append(words, fields[0])
		}
	}
	return words
}
