package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

const (
	// idleTCP is how long a connection may be silent. RFC 7766, 6.2.3, leaves
	// it to the server and speaks of a few seconds.
	idleTCP = 10 * time.Second
	// maxTCP limits the connections of one listener; more of them wait.
	maxTCP = 1000
	// headerLen is what every message has (RFC 1035, 4.1.1).
	headerLen = 12
)

// Server answers from one view at a time. Its methods may be called from any
// goroutine. The zero value refuses every name.
type Server struct {
	// Forwarder is asked for names that are not the view's; without one they
	// are refused. Set it before Serve.
	Forwarder *Forwarder

	view     atomic.Pointer[View]
	count    counters
	watching watchers
}

// SetView swaps the view. Questions that come later are answered from it.
func (s *Server) SetView(v *View) { s.view.Store(v) }

// Serve answers on both sockets, either of which may be nil, until parent ends or
// one of them fails. It closes them and returns when nothing runs any more:
// nil after parent ended. It may run for several pairs of sockets at a time.
func (s *Server) Serve(parent context.Context, pc net.PacketConn, ln net.Listener) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	var running sync.WaitGroup
	if pc != nil {
		context.AfterFunc(ctx, func() { pc.Close() })
		running.Go(func() { cancel(s.serveUDP(ctx, pc)) })
	}
	if ln != nil {
		context.AfterFunc(ctx, func() { ln.Close() })
		running.Go(func() { cancel(s.serveTCP(ctx, ln)) })
	}
	<-ctx.Done()
	running.Wait()
	if parent.Err() != nil {
		return nil
	}
	return context.Cause(ctx)
}

func (s *Server) serveTCP(ctx context.Context, ln net.Listener) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	slots := make(chan struct{}, maxTCP)
	for {
		conn, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				conn.Close()
			}
			return nil
		case passes(err):
			pause(ctx, 10*time.Millisecond)
			continue
		case err != nil:
			return err
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			conn.Close()
			return nil
		}
		conns.Go(func() {
			defer func() { <-slots }()
			s.serveConn(ctx, conn)
		})
	}
}

// passes reports whether an error of Accept is worth another try.
func passes(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ECONNABORTED)
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// serveConn answers the questions of one connection, as many as come. Those
// that wait for an upstream hold up no others (RFC 7766, 6.2.1.1).
func (s *Server) serveConn(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var forwarded sync.WaitGroup
	defer forwarded.Wait()
	var writing sync.Mutex
	write := func(reply []byte) {
		writing.Lock()
		defer writing.Unlock()
		_ = conn.SetWriteDeadline(time.Now().Add(idleTCP))
		if writeTCP(conn, reply) != nil {
			conn.Close()
		}
	}
	from := addrPortOf(conn.RemoteAddr())
	for {
		_ = conn.SetReadDeadline(time.Now().Add(idleTCP))
		packet, err := readTCP(conn)
		if err != nil {
			return
		}
		s.count.tcp.Add(1)
		if len(packet) < headerLen || isResponse(packet) {
			s.count.unanswered.Add(1)
			return
		}
		if reply := s.handle(ctx, packet, exchange{from: from}, &forwarded, write); reply != nil {
			write(reply)
		}
	}
}

func readTCP(r io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	packet := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(r, packet)
	return packet, err
}

// writeTCP sends length and message in one write (RFC 7766, 8).
func writeTCP(w io.Writer, reply []byte) error {
	out := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(reply)), uint16(len(reply)))
	_, err := w.Write(append(out, reply...))
	return err
}

// exchange is where a question came from, and what became of it.
type exchange struct {
	from   netip.AddrPort
	udp    bool
	buf    []byte    // for the reply, which need not use it
	start  time.Time // only where somebody watches
	source string
}

// handle answers one message as it came from the wire. The reply is good until
// e.buf is used again. It is nil where there is none, and where an upstream is
// asked: then later gets it, in a goroutine of its own that forwarded counts.
func (s *Server) handle(
	ctx context.Context, packet []byte, e exchange, forwarded *sync.WaitGroup, later func([]byte),
) []byte {
	if s.watching.list.Load() != nil {
		e.start = time.Now()
	}
	m, req, foreign := s.answer(packet, e.from.Addr())
	if m == nil {
		s.count.unanswered.Add(1)
		return nil
	}
	if !foreign {
		return s.finish(packet, m, req, e)
	}
	if !s.forwards(req, e.from.Addr()) {
		explainRefusal(m)
		return s.finish(packet, m, req, e)
	}
	if s.Forwarder.queued.Add(1) > maxForwarded {
		s.Forwarder.queued.Add(-1)
		m.Rcode = dns.RcodeServerFailure
		return s.finish(packet, m, req, e)
	}
	// What is in the buffers by then is another question's.
	header := slices.Clone(packet[:headerLen])
	e.buf = nil
	forwarded.Go(func() {
		defer s.Forwarder.queued.Add(-1)
		if s.forward(ctx, m, req, &e) {
			later(s.finish(header, m, req, e))
		}
	})
	return nil
}

// forwards reports whether an upstream is asked for a foreign name. An asker
// that does not desire recursion gets none. Neither does an upstream: the
// question would come back to it.
func (s *Server) forwards(req *dns.Msg, asker netip.Addr) bool {
	return s.Forwarder != nil && len(s.Forwarder.Upstreams) > 0 && req.RecursionDesired &&
		!s.Forwarder.isUpstream(asker)
}

// forward completes m by what an upstream says to the question, or to the name
// to which our CNAMEs led. It is false where the server ends.
func (s *Server) forward(ctx context.Context, m, req *dns.Msg, e *exchange) bool {
	q := req.Question[0]
	if n := len(m.Answer); n > 0 {
		q.Name = m.Answer[n-1].(*dns.CNAME).Target
	}
	opt := req.IsEdns0()
	answer, source := s.Forwarder.lookup(ctx, q, opt != nil && opt.Do())
	if answer == nil {
		return false
	}
	e.source = source
	m.Rcode, m.Ns = answer.Rcode, answer.Ns
	for _, rr := range answer.Answer {
		// The cache knows no case; the asker compares it.
		if strings.EqualFold(rr.Header().Name, q.Name) {
			rr.Header().Name = q.Name
		}
		m.Answer = append(m.Answer, rr)
	}
	if m.Rcode == dns.RcodeServerFailure {
		explainFailure(m)
	}
	return true
}

// finish makes the bytes of a reply, as many as may be sent.
func (s *Server) finish(packet []byte, m, req *dns.Msg, e exchange) []byte {
	if e.source == "" {
		e.source = sourceOf(m)
	}
	m.Truncate(limit(req, e.udp))
	if m.Truncated {
		s.count.truncated.Add(1)
	}
	out, err := m.PackBuffer(e.buf)
	if err != nil {
		m, out = serverFailure(packet)
	}
	s.count.rcode(m.Rcode)
	s.watching.tell(e, m, len(out))
	return out
}

// sourceOf says where an answer is from that no upstream gave.
func sourceOf(m *dns.Msg) string {
	if m.Rcode == dns.RcodeRefused {
		return "refused"
	}
	return "authority"
}

func (s *Server) answer(packet []byte, asker netip.Addr) (m, req *dns.Msg, foreign bool) {
	if len(packet) < headerLen || isResponse(packet) {
		return nil, nil, false
	}
	req = new(dns.Msg)
	if err := req.Unpack(packet); err != nil || !isWhole(packet, req) {
		m = bare(packet)
		m.Rcode = dns.RcodeFormatError
		return m, m, false
	}
	m, foreign = s.currentView().answer(req, asker, nil)
	return m, req, foreign
}

// currentView is one that refuses every name before SetView.
func (s *Server) currentView() *View {
	if view := s.view.Load(); view != nil {
		return view
	}
	return &View{}
}

// isWhole holds a message to what its header announces: the library takes what
// is there, and zeros for the rest of a question.
func isWhole(packet []byte, m *dns.Msg) bool {
	for i, have := range []int{len(m.Question), len(m.Answer), len(m.Ns), len(m.Extra)} {
		if int(binary.BigEndian.Uint16(packet[4+2*i:])) != have {
			return false
		}
	}
	off := headerLen
	for range m.Question {
		if off = afterName(packet, off) + 4; off > len(packet) {
			return false
		}
	}
	return true
}

// afterName is where a name ends that could be read.
func afterName(packet []byte, off int) int {
	for off < len(packet) {
		switch label := int(packet[off]); {
		case label == 0:
			return off + 1
		case label >= 0xc0:
			return off + 2
		default:
			off += 1 + label
		}
	}
	return off
}

// limit is how long a reply may be: what the asker's EDNS record says, at most
// our own, and 512 bytes without one (RFC 6891, 6.2.3; RFC 1035, 4.2.1).
func limit(req *dns.Msg, udp bool) int {
	if !udp {
		return dns.MaxMsgSize
	}
	if opt := req.IsEdns0(); opt != nil {
		return min(max(int(opt.UDPSize()), dns.MinMsgSize), payload)
	}
	return dns.MinMsgSize
}

// bare is the reply to a message of which only the header can be read.
func bare(packet []byte) *dns.Msg {
	m := new(dns.Msg)
	m.Id = binary.BigEndian.Uint16(packet)
	m.Response = true
	m.Opcode = int(packet[2]>>3) & 0xf
	return m
}

func serverFailure(packet []byte) (*dns.Msg, []byte) {
	m := bare(packet)
	m.Rcode = dns.RcodeServerFailure
	out, _ := m.Pack() // a header alone always fits
	return m, out
}

func isResponse(packet []byte) bool { return packet[2]&0x80 != 0 }

// addrPortOf gives the address of a peer, the zero AddrPort for what is not an
// IP socket.
func addrPortOf(a net.Addr) netip.AddrPort {
	var at netip.AddrPort
	switch a := a.(type) {
	case *net.UDPAddr:
		at = a.AddrPort()
	case *net.TCPAddr:
		at = a.AddrPort()
	}
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}
