package test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
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

// onHostileMachine runs the test that calls it again in a mount namespace of its own,
// where the files of the machine are the hostile ones, and returns what look returned
// there. The machine's real files stay. inside is true there.
func onHostileMachine(t *testing.T, look func(t *testing.T) string) (said string, inside bool) {
	t.Helper()
	if at := os.Getenv(inHostile); at != "" {
		found, err := net.LookupHost("machine-only")
		require.NoError(t, err)
		require.Equal(t, []string{"10.9.9.9"}, found, "this is the hostile machine")
		require.NoError(t, os.WriteFile(at, []byte(look(t)), 0o644))
		return "", true
	}
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
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", output)
	text, err := os.ReadFile(out)
	require.NoError(t, err)
	return string(text), false
}

func TestNothingOfTheMachineReachesALab(t *testing.T) {
	plinktest.Require(t)
	if said, inside := onHostileMachine(t, answers); !inside {
		require.Equal(t, answers(t), said)
	}
}

// Whatever a test does on an instance, it is that instance that does it: its address is
// what servers see, and what asks the resolver.
func TestOnAHostileMachineTheRightInstanceActs(t *testing.T) {
	plinktest.Require(t)
	onHostileMachine(t, func(t *testing.T) string {
		plinktest.OnEachMachine(t, actTwentyTimes)
		return ""
	})
}

func actTwentyTimes(t *testing.T, machine plinktest.Option) {
	const times = 20
	text, err := os.ReadFile("testdata/own-names.yaml")
	require.NoError(t, err)
	program := regexp.MustCompile(`, \{command: [^}]*\}`) // which a lab in the process cannot run
	l := plinktest.UpText(t, program.ReplaceAllString(string(text), ""), machine)
	cl := l.Instance("cl")
	own, err := l.Plan().Instance("cl")
	require.NoError(t, err)
	other, err := l.Plan().Instance("other")
	require.NoError(t, err)
	server := l.Instance("other").ServeHTTP(8000, http.NotFoundHandler())
	var mu sync.Mutex
	var askers []string
	ctx, cancel := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() {
		_ = l.Running().WatchQueries(ctx, "", func(q status.NameQuery) {
			mu.Lock()
			defer mu.Unlock()
			askers = append(askers, q.Asker.Addr().String())
		})
	})
	for range times {
		resp, err := cl.HTTP().Get("http://other:8000/") // 10.9.9.9, if the machine were asked
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		conn, err := cl.DialContext(t.Context(), "tcp", "other:8000")
		require.NoError(t, err)
		require.Equal(t, other.IP.String(), conn.RemoteAddr().(*net.TCPAddr).IP.String())
		require.Equal(t, own.IP.String(), conn.LocalAddr().(*net.TCPAddr).IP.String())
		require.NoError(t, conn.Close())
		_, err = cl.Resolver().LookupHost(t.Context(), l.Name("ep"))
		require.NoError(t, err)
		_, err = cl.Resolver().LookupHost(t.Context(), "machine-only")
		require.Error(t, err)
	}
	cancel()
	watching.Wait()
	for _, v := range server.RequireVisits(times) {
		require.Equal(t, own.IP, v.From.Addr())
	}
	require.GreaterOrEqual(t, len(askers), 2*times)
	for _, asker := range askers {
		require.Equal(t, own.IP.String(), asker)
	}
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
