package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/host"
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

// startService starts a service of an instance. It returns when the service
// listens, or, for a command, when its process was started.
func startService(ctx context.Context, dir Dir, ns *host.Namespace, instance topology.Instance, spec topology.InstanceService) (*service, error) {
	if spec.Kind == "command" {
		return startCommand(dir, instance, spec)
	}
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
			serve(func() { serveHTTP(ctx, ln, instance.Name, spec.Body) })
		case "tcp":
			serve(func() {
				serveTCP(ctx, ln, func(c net.Conn) { io.WriteString(c, spec.Body+"\n") })
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
		answer := func(request []byte) []byte { return request }
		if spec.Kind == "udp" {
			answer = func([]byte) []byte { return []byte(spec.Body + "\n") }
		}
		serve(func() { serveUDP(ctx, pc, answer) })
	}
	return s, nil
}

// serveHTTP answers / with the body, /who with what the server sees of the
// client, and /bytes/N with N bytes that are the same at every call.
func serveHTTP(ctx context.Context, ln net.Listener, name, body string) {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, body+"\n")
	})
	mux.HandleFunc("/who", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "server %s\nlocal %s\nclient %s\n", name, r.Context().Value(http.LocalAddrContextKey), r.RemoteAddr)
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

func serveUDP(ctx context.Context, pc net.PacketConn, answer func([]byte) []byte) {
	stop := context.AfterFunc(ctx, func() { pc.Close() })
	defer stop()
	buf := make([]byte, 65535)
	for {
		n, from, err := pc.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			pc.WriteTo(answer(buf[:n]), from)
		}
	}
}

// startCommand runs a program inside an instance. What it prints goes to the
// lab's log directory. The kernel ends it when the daemon ends, however that
// happens: the thread that starts it lives as long as the program.
func startCommand(dir Dir, instance topology.Instance, spec topology.InstanceService) (*service, error) {
	if err := os.MkdirAll(dir.Path("log"), 0o700); err != nil {
		return nil, err
	}
	name := instance.Namespace + "." + filepath.Base(spec.Argv[0]) + ".log"
	log, err := os.OpenFile(dir.Path("log", name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		log.Close()
		return nil, err
	}
	cmd := exec.Command(self, append([]string{EnterCommand, string(dir), instance.Namespace}, spec.Argv...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}

	started, ended := make(chan error), make(chan struct{})
	s := &service{state: "running"}
	go func() {
		defer close(ended)
		defer log.Close()
		// Pdeathsig is sent when the thread that forked ends, so it must not
		// end before the program does.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		s.set("exited: " + exitText(cmd.Wait()) + ", see " + log.Name())
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Argv[0], err)
	}
	s.stop = func() {
		group := -cmd.Process.Pid
		unix.Kill(group, unix.SIGTERM)
		select {
		case <-ended:
		case <-time.After(2 * time.Second):
		}
		unix.Kill(group, unix.SIGKILL)
		<-ended
	}
	return s, nil
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

// serviceKey tells services apart over changes of the file.
func serviceKey(instance topology.Instance, spec topology.InstanceService) string {
	return fmt.Sprintf("%s %s %d %q %q %s", instance.Namespace, spec.Kind, spec.Port, spec.Body, spec.Argv, netip.PrefixFrom(instance.IP, 32))
}
