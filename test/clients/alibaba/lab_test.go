package alibaba

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const region = "eu-central-1"

// key is an access key of an account, as "plinksim api keys" prints it.
type key struct {
	Account string `json:"account"`
	Number  string `json:"account_id"`
	ID      string `json:"access_key_id"`
	Secret  string `json:"secret_access_key"`
}

// lab is one that the program has brought up, with its API.
type lab struct {
	t       *testing.T
	program string
	env     []string
	address string // of the API
	keys    []key
}

// program is plinksim's.
func program(t *testing.T) string {
	t.Helper()
	name := os.Getenv("PLINKSIM")
	if name == "" {
		if os.Getenv("PLINKSIM_MUST_RUN") != "" {
			t.Fatal("PLINKSIM, the program, is not set")
		}
		t.Skip("PLINKSIM, the program, is not set: \"make ali-clients\" sets it")
	}
	return name
}

// up brings an empty lab up, and takes it down at the end of the test.
func up(t *testing.T, name string) *lab {
	t.Helper()
	l := &lab{t: t, program: program(t)}
	state, err := os.MkdirTemp("", "plinksim") // a socket's path is short
	require.NoError(t, err)
	l.env = append(os.Environ(), "PLINKSIM_STATE_DIR="+filepath.Join(state, "run"))
	t.Cleanup(func() {
		l.plinksim("down", name)
		require.NoError(t, os.RemoveAll(state))
	})
	l.plinksim("up", "--api", "127.0.0.1:0", "--cloud", "alibaba", "--region", region, "--name", name)
	var told struct {
		Address string `json:"address"`
		Keys    []key  `json:"keys"`
	}
	require.NoError(t, json.Unmarshal([]byte(l.plinksim("api", "keys", "-o", "json")), &told))
	l.address, l.keys = told.Address, told.Keys
	require.Len(t, l.keys, 2, "an empty lab has a provider and a consumer")
	return l
}

// run runs the program.
func (l *lab) run(arguments ...string) (stdout string, _ error) {
	var out, errors bytes.Buffer
	cmd := exec.Command(l.program, arguments...)
	cmd.Env, cmd.Stdout, cmd.Stderr = l.env, &out, &errors
	err := cmd.Run()
	if err != nil {
		l.t.Logf("plinksim %s: %v\n%s%s", strings.Join(arguments, " "), err, &out, &errors)
	}
	return strings.TrimSpace(out.String()), err
}

// plinksim runs the program, which must succeed.
func (l *lab) plinksim(arguments ...string) (stdout string) {
	l.t.Helper()
	out, err := l.run(arguments...)
	require.NoError(l.t, err, "plinksim %s", strings.Join(arguments, " "))
	return out
}

// get is the page that curl gets on an instance, "" for none.
func (l *lab) get(instance, url string) string {
	cmd := exec.Command(l.program, "exec", instance, "--", "curl", "-fsS", "--max-time", "2", url)
	cmd.Env = l.env
	page, err := cmd.Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(page))
}

// reads waits until an instance gets a page, "" for none.
func (l *lab) reads(instance, url, want string) {
	l.t.Helper()
	got := ""
	require.Eventually(l.t, func() bool {
		got = l.get(instance, url)
		return got == want
	}, 20*time.Second, 50*time.Millisecond, "%s on %s: want %q", url, instance, want)
}
