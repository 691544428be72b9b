package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/topology"
)

// service is one program that answers on an instance: built in and run on
// sockets in the instance's namespace, or a process of its own.
type service struct {
	stop func() // ends it and returns when it has ended

	mu    sync.Mutex
	state string
}

func (s *service) set(state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
}

// State is what people read: listening, running, or how it ended.
func (s *service) State() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// serviceSpec is a service with the instance that it is on.
type serviceSpec struct {
	instance topology.Instance
	topology.InstanceService
}

func servicesOf(plan *topology.Plan) []serviceSpec {
	var specs []serviceSpec
	for _, vpc := range plan.VPCs {
		for _, instance := range vpc.Instances {
			for _, s := range instance.Services {
				specs = append(specs, serviceSpec{instance, s})
			}
		}
	}
	return specs
}

// String is the service as people write it.
func (s serviceSpec) String() string {
	if s.Kind == "command" {
		return fmt.Sprintf("command %q", s.Argv[0])
	}
	return fmt.Sprintf("%s %d", s.Kind, s.Port)
}

// bodyFor is what a client gets, a line; its address, without the port, stands
// where the file has {client}.
func (s serviceSpec) bodyFor(client string) string {
	if host, _, err := net.SplitHostPort(client); err == nil {
		client = host
	}
	return strings.ReplaceAll(s.Body, "{client}", client) + "\n"
}

// key tells services apart over changes of the file.
func (s serviceSpec) key() string {
	return fmt.Sprintf("%s %s %s %d %q %q", s.instance.Namespace, s.instance.IP, s.Kind, s.Port, s.Body, s.Argv)
}

func (l *Lab) startService(plan *topology.Plan, spec serviceSpec) (*service, error) {
	if spec.Kind == "command" {
		name := plan.ShortName(spec.instance)
		return startCommand(l.dir, filepath.Dir(plan.File), spec, func(how string) {
			text := fmt.Sprintf("%s of instance %s ended: %s", spec, name, how)
			l.plane.Observe(control.Event{Kind: "program", Name: name, Verb: "end", From: "running", To: "exited", Text: text})
		})
	}
	ns, err := l.namespace(spec.instance.Namespace)
	if err != nil {
		return nil, err
	}
	return startBuiltIn(l.ctx, ns, spec)
}

// startBuiltIn returns when the service listens.
func startBuiltIn(ctx context.Context, ns *host.Namespace, spec serviceSpec) (*service, error) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	s := &service{state: "listening", stop: func() { cancel(); running.Wait() }}
	address := ":" + strconv.Itoa(int(spec.Port))
	serve := func(f func()) { running.Go(f) }

	if spec.Kind == "http" || spec.Kind == "tcp" || spec.Kind == "echo" {
		ln, err := ns.Listen(ctx, "tcp", address)
		if err != nil {
			s.stop()
			return nil, err
		}
		switch spec.Kind {
		case "http":
			serve(func() { serveHTTP(ctx, ln, spec) })
		case "tcp":
			serve(func() {
				serveTCP(ctx, ln, func(c net.Conn) { io.WriteString(c, spec.bodyFor(c.RemoteAddr().String())) })
			})
		case "echo":
			serve(func() { serveTCP(ctx, ln, func(c net.Conn) { io.Copy(c, c) }) })
		}
	}
	if spec.Kind == "udp" || spec.Kind == "echo" {
		pc, err := ns.ListenPacket(ctx, "udp", address)
		if err != nil {
			s.stop()
			return nil, err
		}
		answer := func(request []byte, _ net.Addr) []byte { return request }
		if spec.Kind == "udp" {
			answer = func(_ []byte, from net.Addr) []byte { return []byte(spec.bodyFor(from.String())) }
		}
		serve(func() { serveUDP(ctx, pc, answer) })
	}
	return s, nil
}

// serveHTTP answers / with the body, /who with what the server sees of the
// client, and /bytes/N with N bytes that are the same at every call.
func serveHTTP(ctx context.Context, ln net.Listener, spec serviceSpec) {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, spec.bodyFor(r.RemoteAddr))
	})
	mux.HandleFunc("/who", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "server %s\nlocal %s\nclient %s\n", spec.instance.Name, r.Context().Value(http.LocalAddrContextKey), r.RemoteAddr)
		for _, h := range []string{"X-Forwarded-For", "X-Forwarded-Proto"} {
			if v := r.Header.Get(h); v != "" {
				fmt.Fprintf(w, "%s %s\n", strings.ToLower(h), v)
			}
		}
	})
	mux.HandleFunc("/bytes/{n}", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.ParseInt(r.PathValue("n"), 10, 64)
		if err != nil || n < 0 {
			http.Error(w, "want /bytes/N with N a number of bytes", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		io.CopyN(w, Bytes(), n)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 30 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	server.Serve(ln)
}

// Bytes is the endless stream of which the built-in http service's /bytes/N
// gives the first N: it looks random and is the same every time, so that a
// receiver can know the hash beforehand.
func Bytes() io.Reader {
	return rand.NewChaCha8([32]byte{'p', 'l', 'i', 'n', 'k', 's', 'i', 'm'})
}

// serveTCP accepts until ctx ends, and then closes what is still open.
func serveTCP(ctx context.Context, ln net.Listener, handle func(net.Conn)) {
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	var open sync.WaitGroup
	defer open.Wait()
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		open.Go(func() {
			cut := context.AfterFunc(ctx, func() { conn.Close() })
			defer cut()
			defer conn.Close()
			handle(conn)
		})
	}
}

func serveUDP(ctx context.Context, pc net.PacketConn, answer func(request []byte, from net.Addr) []byte) {
	stop := context.AfterFunc(ctx, func() { pc.Close() })
	defer stop()
	buf := make([]byte, 65535)
	for {
		n, from, err := pc.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			pc.WriteTo(answer(buf[:n], from), from)
		}
	}
}

// startCommand runs a program inside an instance, in the directory of the
// topology file, so that the file can name others beside it. What it prints
// goes to the lab's log directory, and exited hears how it ended by itself.
// The kernel ends it when the daemon ends, however that happens.
func startCommand(dir labdir.Dir, beside string, spec serviceSpec, exited func(how string)) (*service, error) {
	if err := findProgram(beside, spec.Argv[0]); err != nil {
		return nil, err
	}
	log, err := openProgramLog(dir, spec)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, append([]string{EnterCommand, string(dir), spec.instance.Namespace}, spec.Argv...)...)
	cmd.Dir, cmd.Env = beside, host.Environ(os.Environ())
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}

	started, ended := make(chan error), make(chan struct{})
	var stopping atomic.Bool
	s := &service{state: "running"}
	go func() {
		defer close(ended)
		// Pdeathsig is sent when the thread that forked ends, so it must not
		// end before the program does.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		how := exitText(cmd.Wait())
		s.set("exited: " + how + ", see " + log.Name())
		if !stopping.Load() {
			exited(how)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Argv[0], err)
	}
	s.stop = func() {
		stopping.Store(true)
		stopGroup(cmd.Process.Pid, ended)
	}
	return s, nil
}

// findProgram says beforehand what a shell would say: afterwards nobody is
// there to hear it.
func findProgram(beside, program string) error {
	if strings.Contains(program, "/") && !filepath.IsAbs(program) {
		program = filepath.Join(beside, program)
	}
	_, err := exec.LookPath(program)
	return err
}

func openProgramLog(dir labdir.Dir, spec serviceSpec) (*os.File, error) {
	if err := os.MkdirAll(dir.Path("log"), 0o700); err != nil {
		return nil, err
	}
	name := spec.instance.Namespace + "." + filepath.Base(spec.Argv[0]) + ".log"
	return os.OpenFile(dir.Path("log", name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

// stopGroup ends a program and what it started, if it has not ended yet: its
// number may be another's by then.
func stopGroup(pid int, ended <-chan struct{}) {
	select {
	case <-ended:
		return
	default:
	}
	unix.Kill(-pid, unix.SIGTERM)
	select {
	case <-ended:
	case <-time.After(2 * time.Second):
	}
	unix.Kill(-pid, unix.SIGKILL)
	<-ended
}

// EnterCommand is the first argument with which the plinksim program runs
// another one inside a namespace: EnterCommand DIR NAMESPACE PROGRAM ARG….
const EnterCommand = "__enter"

func exitText(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}
