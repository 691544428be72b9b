package server_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/api/server"
	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/machine/kernel"
	"github.com/plinksim/plinksim/pkg/topology"
)

// This program becomes another one in a namespace, as plinksim does.
func TestMain(m *testing.M) {
	if asked, err := kernel.Enter(os.Args); asked {
		fmt.Fprintln(os.Stderr, "plinksim:", err)
		os.Exit(127)
	}
	os.Exit(m.Run())
}

// execs is a lab with programs for users of other hosts.
type execs struct {
	t      *testing.T
	dir    labdir.Dir
	client *api.Client
}

func serveExec(t *testing.T) execs {
	t.Helper()
	dir := serveShop(t, func(dir labdir.Dir) *server.Server {
		return &server.Server{Exec: func(_ *topology.Plan, instance *topology.Instance, call api.ExecCall) (server.Process, error) {
			p, err := kernel.StartExec(dir, instance.Namespace, append(os.Environ(), call.Set...), call)
			if err != nil {
				return nil, err
			}
			return p, nil
		}}
	})
	return execs{t, dir, api.NewClient(dir)}
}

// script runs a script on an instance.
func (e execs) script(stdin io.Reader, script string, args ...string) (stdout, stderr string, code int) {
	e.t.Helper()
	var out, errs bytes.Buffer
	code, err := e.client.Exec(e.t.Context(), api.ExecCall{Instance: "ecs1", Argv: append([]string{"sh", "-c", script, "sh"}, args...)},
		api.ExecIO{Stdin: stdin, Stdout: &out, Stderr: &errs})
	require.NoError(e.t, err)
	return out.String(), errs.String(), code
}

// requireGone waits until nothing runs on an instance any more.
func (e execs) requireGone() {
	e.t.Helper()
	require.Eventually(e.t, func() bool {
		processes, err := host.Processes(string(e.dir))
		return err == nil && len(processes) == 0
	}, 10*time.Second, 10*time.Millisecond)
}

func TestAProgramOfAnotherHostIsAsOneOfThis(t *testing.T) {
	e := serveExec(t)
	nothing := strings.NewReader("")

	stdout, stderr, code := e.script(nothing, "cat; uname -n; ip -br address show eth0 | tr -s ' '; echo sorry >&2; exit 42")
	require.Contains(t, stdout, "ecs1\neth0")
	require.Contains(t, stdout, "10.0.0.10/24")
	require.Equal(t, "sorry\n", stderr)
	require.Equal(t, 42, code)

	_, _, code = e.script(nothing, "kill -KILL $$")
	require.Equal(t, 128+9, code)

	code, err := e.client.Exec(t.Context(), api.ExecCall{Instance: "ecs1", Argv: []string{"no-such-program"}},
		api.ExecIO{Stdin: nothing, Stdout: io.Discard, Stderr: &prefixed{t, "plinksim: no-such-program: no such program in PATH"}})
	require.NoError(t, err)
	require.Equal(t, 127, code)

	_, err = e.client.Exec(t.Context(), api.ExecCall{Instance: "ecs7", Argv: []string{"true"}}, api.ExecIO{Stdin: nothing})
	require.ErrorContains(t, err, "ecs7")

	// All of the input arrives, and all of the output, also that of the last moment.
	data := make([]byte, 10<<20)
	_, err = rand.Read(data)
	require.NoError(t, err)
	stdout, _, code = e.script(bytes.NewReader(data), "sha256sum")
	require.Zero(t, code)
	require.Equal(t, fmt.Sprintf("%x  -\n", sha256.Sum256(data)), stdout)
	stdout, _, _ = e.script(bytes.NewReader(data), "cat")
	require.True(t, stdout == string(data))
	stdout, _, _ = e.script(nothing, "head -c 60000 /dev/zero")
	require.Len(t, stdout, 60000)

	// What goes on behind it is not waited for, as on one host: it ends when the pipe that it reads does.
	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	stdout, _, code = e.script(nothing, `cat "$1" & echo hi; exit 5`, pipe)
	require.Equal(t, "hi\n", stdout)
	require.Equal(t, 5, code)
	end, err := os.OpenFile(pipe, os.O_WRONLY, 0) // when cat has opened it
	require.NoError(t, err)
	require.NoError(t, end.Close())
	e.requireGone()
}

// prefixed is a standard error that begins with some text.
type prefixed struct {
	t    *testing.T
	text string
}

func (p *prefixed) Write(data []byte) (int, error) {
	require.Contains(p.t, string(data), p.text)
	return len(data), nil
}

// shown is what a program has written; await waits for a text in it.
type shown struct {
	mu   sync.Mutex
	text strings.Builder
	more chan struct{}
}

func newShown() *shown { return &shown{more: make(chan struct{}, 1)} }

func (s *shown) Write(data []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
	return s.text.Write(data)
}

func (s *shown) await(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		s.mu.Lock()
		all := s.text.String()
		s.mu.Unlock()
		if strings.Contains(all, text) {
			return
		}
		select {
		case <-s.more:
		case <-deadline:
			t.Fatalf("%q is not in %q", text, all)
		}
	}
}

func TestATerminalGoesToTheProgram(t *testing.T) {
	e := serveExec(t)
	screen, sizes := newShown(), make(chan api.TerminalSize)
	keys, typed := io.Pipe()
	var code int
	var err error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		code, err = e.client.Exec(t.Context(), api.ExecCall{
			Instance: "ecs1", Terminal: &api.TerminalSize{Rows: 24, Columns: 80},
			Argv: []string{"sh", "-c", `stty size; tty; trap 'stty size' WINCH; trap 'echo; echo caught' INT
echo ready >&2; while :; do read line || continue; [ "$line" = end ] && exit 7; echo "<$line>"; done`},
		}, api.ExecIO{Stdin: keys, Stdout: screen, Sizes: sizes})
	}()
	screen.await(t, "24 80\r\n/dev/pts/")
	screen.await(t, "ready\r\n") // standard error is of the terminal
	_, _ = typed.Write([]byte("hello\r"))
	screen.await(t, "<hello>\r\n")
	sizes <- api.TerminalSize{Rows: 50, Columns: 132}
	screen.await(t, "50 132\r\n")
	// dash loses a ctrl-C that comes while it ends a program, so it comes when the shell reads again.
	_, _ = typed.Write([]byte("again\r"))
	screen.await(t, "<again>\r\n")
	_, _ = typed.Write([]byte{3}) // ctrl-C
	screen.await(t, "caught\r\n")
	_, _ = typed.Write([]byte("end\r"))
	<-ended
	require.NoError(t, err)
	require.Equal(t, 7, code)
	e.requireGone()
}

// A program that takes no input still gets signals, and ends with its user.
func TestSignalsPassInputThatIsNotTaken(t *testing.T) {
	e := serveExec(t)
	endless := func() io.Reader { return &zeros{} }
	signals, screen := make(chan byte, 1), newShown()
	go func() {
		screen.await(t, "ready")
		signals <- 15
	}()
	code, err := e.client.Exec(t.Context(), api.ExecCall{Instance: "ecs1", Argv: []string{"sh", "-c", "echo ready; sleep 1000"}},
		api.ExecIO{Stdin: endless(), Stdout: screen, Stderr: io.Discard, Signals: signals})
	require.NoError(t, err)
	require.Equal(t, 128+15, code)
	e.requireGone()

	ctx, cancel := context.WithCancel(t.Context())
	screen = newShown()
	go func() {
		screen.await(t, "ready")
		cancel()
	}()
	_, err = e.client.Exec(ctx, api.ExecCall{Instance: "ecs1",
		Argv: []string{"sh", "-c", "trap '' HUP TERM; sleep 1000 & (sleep 1000 &) ; echo ready; sleep 1000"}},
		api.ExecIO{Stdin: endless(), Stdout: screen, Stderr: io.Discard})
	require.ErrorContains(t, err, "the program is cut off")
	e.requireGone()
}

type zeros struct{}

func (*zeros) Read(data []byte) (int, error) { return len(data), nil }

// A client that sends more than was asked for, or what is no frame, is cut off with its program.
func TestHostileFramesEndTheProgram(t *testing.T) {
	e := serveExec(t)
	for name, send := range map[string]func(io.Writer) error{
		"what is no frame": func(w io.Writer) error { _, err := w.Write([]byte("hello, who is there?")); return err },
		"a frame of the other direction": func(w io.Writer) error {
			return api.NewFrameWriter(w).Write(api.FrameExit, 0)
		},
		"input after its end": func(w io.Writer) error {
			to := api.NewFrameWriter(w)
			return errors.Join(to.Write(api.FrameInput), to.Write(api.FrameInput, 'x'))
		},
		"more input than the window": func(w io.Writer) error {
			to := api.NewFrameWriter(w)
			for range 2*api.ExecWindow/api.MaxFrame + 2 {
				if to.Write(api.FrameInput, make([]byte, api.MaxFrame)...) != nil {
					return nil // it is cut off by now
				}
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("unix", e.dir.Socket())
			require.NoError(t, err)
			defer conn.Close()
			body := `{"instance":"ecs1","argv":["sleep","1000"]}`
			_, err = fmt.Fprintf(conn, "POST /v1/exec HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: %s\r\nContent-Length: %d\r\n\r\n%s",
				api.ExecProtocol, len(body), body)
			require.NoError(t, err)
			head := make([]byte, 12)
			_, err = io.ReadFull(conn, head)
			require.NoError(t, err)
			require.Equal(t, "HTTP/1.1 101", string(head))
			require.NoError(t, send(conn))
			_, _ = io.Copy(io.Discard, conn) // until it is cut off
			e.requireGone()
		})
	}
	resp, err := http.NewRequest("POST", "http://x/v1/exec", strings.NewReader(`{"instance":"ecs1","argv":["true"]}`))
	require.NoError(t, err)
	conn, err := net.Dial("unix", e.dir.Socket())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, resp.Write(conn))
	line := make([]byte, 12)
	_, err = io.ReadFull(conn, line)
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 426", string(line))
}
