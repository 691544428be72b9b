package lb

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Cause is the kind of failure of a health check, as far as the clouds tell
// kinds apart.
type Cause uint8

const (
	NoCause        Cause = iota
	ConnectTimeout       // nobody answered the connection attempt
	ConnectFailed        // it was refused, or nobody is there
	AnswerTimeout        // connected, but the answer did not come in time
	AnswerFailed         // connected, but the connection ended instead
	Mismatch             // another answer than the check wants
	Malformed            // an answer that is not HTTP
	SwitchedOff          // its instance is stopped; checks do not find that out
)

// failure is how a check failed, in few words for people.
type failure struct {
	cause Cause
	text  string
}

func (f *failure) Error() string { return f.text }

// explain takes what a check ended with apart. Errors of others than this
// package's checker are failures to connect.
func explain(result error) (Cause, string) {
	var f *failure
	switch {
	case result == nil:
		return NoCause, ""
	case errors.As(result, &f):
		return f.cause, f.text
	}
	return ConnectFailed, result.Error()
}

// localHeader is a PROXY protocol v2 header of a connection that the load
// balancer makes for itself: the command LOCAL, without addresses (The PROXY
// protocol, haproxy.org, section 2.2).
const localHeader = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"

// maxAnswer is how much of a server's answer is looked at.
const maxAnswer = 64 << 10

// probe checks a server once. It takes the check's timeout at most.
func (c *Checker) probe(ctx context.Context, check topology.HealthCheck, s topology.Server) error {
	ctx, cancel := context.WithTimeout(ctx, check.Timeout)
	defer cancel()
	port := check.Port
	if port == 0 {
		port = s.Port
	}
	at := netip.AddrPortFrom(s.IP, port)
	if check.Protocol == topology.UDP {
		return c.probeUDP(ctx, check, at)
	}
	conn, err := c.Dial(ctx, "tcp", at.String())
	if err != nil {
		return connecting(err, check.Timeout)
	}
	if check.Protocol == topology.HTTP {
		return errors.Join(c.probeHTTP(ctx, check, conn, at), closed(conn))
	}
	return c.probeTCP(ctx, check, conn)
}

// closed closes a connection of which nothing is wanted any more.
func closed(conn net.Conn) error {
	_ = conn.Close()
	return nil
}

// probeTCP resets the connection, as the layer 4 check of Alibaba Cloud's CLB
// does: SYN, SYN-ACK, RST ("Health check overview of CLB"). The server's
// program is not bothered, and no port stays in TIME-WAIT. With a header there
// is something to read, and the end is an ordinary one.
func (c *Checker) probeTCP(ctx context.Context, check topology.HealthCheck, conn net.Conn) error {
	if check.ProxyHeader {
		defer conn.Close()
		return answering(write(ctx, conn, localHeader), check.Timeout)
	}
	if tcp, ok := conn.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	return closed(conn)
}

// probeHTTP asks for one page, follows no redirection and reads no body.
func (c *Checker) probeHTTP(ctx context.Context, check topology.HealthCheck, conn net.Conn, at netip.AddrPort) error {
	request, err := http.NewRequestWithContext(ctx, check.Method, "http://"+at.String()+check.Path, nil)
	if err != nil {
		return &failure{Malformed, err.Error()}
	}
	if check.Host != "" {
		request.Host = check.Host
	}
	request.Close = true
	request.Header.Set("User-Agent", "plinksim-health-check")
	if check.UserAgent != "" {
		request.Header.Set("User-Agent", check.UserAgent)
	}
	obey(ctx, conn)
	if check.ProxyHeader {
		if err := write(ctx, conn, localHeader); err != nil {
			return answering(err, check.Timeout)
		}
	}
	if err := request.Write(conn); err != nil {
		return answering(err, check.Timeout)
	}
	answer, err := http.ReadResponse(bufio.NewReader(io.LimitReader(conn, maxAnswer)), request)
	if err != nil {
		return answering(err, check.Timeout)
	}
	_ = answer.Body.Close()
	if !check.Codes.Contains(answer.StatusCode) {
		return &failure{Mismatch, fmt.Sprintf("%s %s answers %d, not %s", check.Method, check.Path, answer.StatusCode,
			check.Codes)}
	}
	return nil
}

// quietEnough is how long silence is listened to while nothing is known of a
// server: whoever starts a lab waits for that.
const quietEnough = time.Second

// probeUDP sends a datagram. Silence is health, since not every server answers
// to what it does not know; an ICMP error is not ("Health check overview of
// CLB"). With a wanted response, only that is.
func (c *Checker) probeUDP(ctx context.Context, check topology.HealthCheck, at netip.AddrPort) error {
	conn, err := c.Dial(ctx, "udp", at.String())
	if err != nil {
		return connecting(err, check.Timeout)
	}
	defer conn.Close()
	request := check.Request
	if request == "" {
		request = "plinksim health check\n"
	}
	if err := write(ctx, conn, request); err != nil {
		return answering(err, check.Timeout)
	}
	answer := make([]byte, maxAnswer)
	n, err := conn.Read(answer)
	switch {
	case err != nil && isTimeout(err) && check.Response == "":
		return nil
	case err != nil:
		return answering(err, check.Timeout)
	case check.Response != "" && string(answer[:n]) != check.Response:
		return &failure{Mismatch, fmt.Sprintf("the answer is %.40q, not %.40q", answer[:n], check.Response)}
	}
	return nil
}

// write sends text before ctx ends, and lets what is read from conn end then.
func write(ctx context.Context, conn net.Conn, text string) error {
	obey(ctx, conn)
	_, err := io.WriteString(conn, text)
	return err
}

func obey(ctx context.Context, conn net.Conn) {
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
}

// connecting says in few words why a connection did not come to be.
func connecting(err error, timeout time.Duration) error {
	switch {
	case isTimeout(err):
		return &failure{ConnectTimeout, fmt.Sprintf("no answer within %s", timeout)}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &failure{ConnectFailed, "connection refused"}
	case errors.Is(err, syscall.EHOSTUNREACH):
		return &failure{ConnectFailed, "host unreachable"}
	}
	return &failure{ConnectFailed, err.Error()}
}

// answering says in few words why an answer did not come.
func answering(err error, timeout time.Duration) error {
	switch {
	case err == nil:
		return nil
	case isTimeout(err):
		return &failure{AnswerTimeout, fmt.Sprintf("connected, but no answer within %s", timeout)}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &failure{ConnectFailed, "port unreachable"} // ICMP, as a UDP socket hears it
	case errors.Is(err, syscall.EHOSTUNREACH):
		return &failure{ConnectFailed, "host unreachable"}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err,
		syscall.EPIPE):
		return &failure{AnswerFailed, "connected, but the connection ended before the answer"}
	}
	return &failure{Malformed, "the answer is not HTTP: " + err.Error()}
}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.As(err, &netErr) && netErr.Timeout()
}
