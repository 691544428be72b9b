package server

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Process is a program that runs on an instance for a user of another host. Close ends it, and
// what it has started that still belongs to it, and returns when they are gone.
type Process interface {
	Stdin() io.Writer
	CloseStdin() // nothing comes any more
	// Stdout and Stderr are what it writes; Stderr is nil where a terminal has both.
	Stdout() *os.File
	Stderr() *os.File
	Signal(number byte)
	Resize(api.TerminalSize)
	Wait() (code int)
	Close()
}

// maxExecCall bounds a request for a program; its arguments and environment are what is long.
const maxExecCall = 4 << 20

// exec runs a program on an instance, on the connection of the request.
func (s *Server) exec(w http.ResponseWriter, r *http.Request) {
	var call api.ExecCall
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxExecCall)).Decode(&call); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if !strings.EqualFold(r.Header.Get("Upgrade"), api.ExecProtocol) {
		refuse(w, http.StatusUpgradeRequired, fmt.Errorf("want a connection that becomes %s", api.ExecProtocol))
		return
	}
	s.programs.Add(1)
	defer s.programs.Done()
	plan := s.Lab.Plan()
	instance, err := plan.Running(call.Instance)
	if err != nil {
		refuse(w, http.StatusConflict, err)
		return
	}
	if other := s.elsewhere(plan, instance.Zone); other != "" {
		s.passExec(w, r, other, call)
		return
	}
	process, err := s.Exec(plan, instance, call)
	if err != nil {
		refuse(w, http.StatusConflict, err)
		return
	}
	defer process.Close()
	conn, in, err := switchTo(w, api.ExecProtocol)
	if err != nil {
		return
	}
	defer conn.Close()
	noticeSilence(conn)
	runExec(r.Context(), conn, in, process)
}

// switchTo makes the connection of a request one of another protocol. Where it cannot, nobody
// is left to tell.
func switchTo(w http.ResponseWriter, protocol string) (net.Conn, *bufio.Reader, error) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	_ = conn.SetDeadline(time.Time{})
	_, err = fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", protocol)
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, buffered.Reader, nil
}

// passExec lets another host run a program, and passes the frames on as they are.
func (s *Server) passExec(w http.ResponseWriter, r *http.Request, host string, call api.ExecCall) {
	client, err := s.peer(r, host)
	var there io.ReadWriteCloser
	if err == nil {
		there, err = client.OpenExec(r.Context(), call)
	}
	if err != nil {
		refuse(w, http.StatusBadGateway, err)
		return
	}
	defer there.Close()
	conn, in, err := switchTo(w, api.ExecProtocol)
	if err != nil {
		return
	}
	ctx, ended := context.WithCancel(r.Context())
	var passing sync.WaitGroup
	pass := func(to io.Writer, from io.Reader) {
		defer ended()
		_, _ = io.Copy(to, from) // how a connection ends is nothing that the other end could know
	}
	passing.Go(func() { pass(there, in) })
	passing.Go(func() { pass(conn, there) })
	<-ctx.Done()
	conn.Close()
	there.Close()
	passing.Wait()
}

// elsewhere is the host that has a zone, where that is another one, else "".
func (s *Server) elsewhere(plan *topology.Plan, zone string) string {
	if host := plan.HostOf(zone); s.Handover.Host != "" && host != nil && host.Name != s.Handover.Host {
		return host.Name
	}
	return ""
}

// peer is the daemon of another host, to which a request is passed on once and not again.
func (s *Server) peer(r *http.Request, host string) (*api.Client, error) {
	switch {
	case r.Header.Get(api.PeerHeader) != "":
		return nil, fmt.Errorf("that is on host %q, and this is host %q: their files differ", host, s.Handover.Host)
	case s.Peer == nil:
		return nil, fmt.Errorf("that is on host %q, and this is host %q, which is up without --tls and reaches no other: do it there",
			host, s.Handover.Host)
	}
	return s.Peer(host), nil
}

// noticeSilence lets a connection break where the other host is gone (api.PeerKeepAlive), so that its
// program does not stay.
func noticeSilence(conn net.Conn) {
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secure.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetKeepAliveConfig(api.PeerKeepAlive)
	}
}

// lastWords is how long a client may take to close a connection after the program's exit code.
const lastWords = 5 * time.Second

// runExec carries frames between a program and its user until one of them ends. The caller
// closes both.
func runExec(ctx context.Context, conn net.Conn, in *bufio.Reader, process Process) {
	ctx, gone := context.WithCancel(ctx)
	defer gone()
	to := api.NewFrameWriter(conn)
	input := newInbox()
	defer input.close()
	go func() {
		defer gone()
		hear(in, process, input)
	}()
	go feed(process, input, to)

	exited, code := make(chan struct{}), 0
	var output sync.WaitGroup
	output.Go(func() { tell(to, api.FrameOutput, process.Stdout(), exited) })
	if process.Stderr() != nil {
		output.Go(func() { tell(to, api.FrameError, process.Stderr(), exited) })
	}
	go func() {
		code = process.Wait()
		// Whoever waits for more from it looks what is left.
		_ = process.Stdout().SetReadDeadline(time.Unix(1, 0))
		if process.Stderr() != nil {
			_ = process.Stderr().SetReadDeadline(time.Unix(1, 0))
		}
		close(exited)
	}()
	ended := make(chan struct{})
	go func() {
		output.Wait()
		<-exited
		close(ended)
	}()
	select {
	case <-ended:
		_ = to.Write(api.FrameExit, byte(code))
		// What the client is still sending must be read, or the kernel throws away what it has not read.
		select {
		case <-ctx.Done():
		case <-time.After(lastWords):
		}
		conn.Close()
	case <-ctx.Done():
		conn.Close() // whoever writes to it ends
		process.Close()
		<-ended
	}
}

// hear takes the frames of a user until there are none.
func hear(in io.Reader, process Process, input *inbox) {
	var buf api.FrameBuffer
	for {
		f, err := api.ReadFrame(in, &buf)
		if err != nil {
			return
		}
		switch f.Kind {
		case api.FrameInput:
			if !input.put(f.Data) {
				return
			}
		case api.FrameSignal:
			process.Signal(f.Data[0])
		case api.FrameSize:
			process.Resize(f.Size())
		default:
			return
		}
	}
}

// feed gives a program its input. One that takes no more gets no more; its user need not know.
func feed(process Process, input *inbox, to *api.FrameWriter) {
	for {
		data, more := input.take()
		if len(data) > 0 {
			_, _ = process.Stdin().Write(data)
			input.took()
			_ = to.WriteUint32(api.FrameTaken, uint32(len(data)))
		}
		if !more {
			process.CloseStdin()
			return
		}
	}
}

// What a program has written before its end is in a pipe, or on the way through the terminal:
// at most this is looked for after it, and for so long, since what the program has started may
// write for ever.
const (
	mostLeft = 1 << 20
	leftWait = 200 * time.Millisecond
)

// tell sends what a program writes.
func tell(to *api.FrameWriter, kind api.FrameKind, from *os.File, exited <-chan struct{}) {
	buf := make([]byte, api.MaxFrame)
	for left := mostLeft; left > 0; {
		after := false
		select {
		case <-exited:
			after = true
			_ = from.SetReadDeadline(time.Now().Add(leftWait))
		default:
		}
		n, err := from.Read(buf)
		if n > 0 && to.Write(kind, buf[:n]...) != nil {
			return
		}
		if after {
			left -= n
		}
		if errors.Is(err, os.ErrDeadlineExceeded) && !after {
			<-exited
			continue
		}
		if err != nil {
			return // also EIO, which is the end of a terminal (Linux, pty(7))
		}
	}
}

// inbox is the input that a program has not taken yet.
type inbox struct {
	mu     sync.Mutex
	more   *sync.Cond
	data   []byte // at most api.ExecWindow bytes
	taking int    // bytes that take has returned, until they are taken
	ended  bool   // nothing comes any more
}

func newInbox() *inbox {
	b := &inbox{}
	b.more = sync.NewCond(&b.mu)
	return b
}

// put adds input; none is its end. It is false where there is more than may be.
func (b *inbox) put(data []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended || len(b.data)+b.taking+len(data) > api.ExecWindow {
		return false
	}
	b.data = append(b.data, data...)
	b.ended = len(data) == 0
	b.more.Broadcast()
	return true
}

// take waits for input, and takes it out. After the last there is no more.
func (b *inbox) take() (data []byte, more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.data) == 0 && !b.ended {
		b.more.Wait()
	}
	data, b.data = b.data, nil
	b.taking = len(data)
	return data, !b.ended
}

func (b *inbox) took() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taking = 0
}

func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.more.Broadcast()
}
