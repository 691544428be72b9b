package etcd

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"syscall"
)

// UnreachableError says why a store does not answer, member by member.
type UnreachableError struct {
	Lab, Host string
	Members   []MemberError // in the order of Config.Endpoints
}

// MemberError is what one member of etcd is found to be. Err is nil where it can be spoken to.
type MemberError struct {
	Endpoint string
	Err      error
}

func (e *UnreachableError) Error() string {
	var text strings.Builder
	fmt.Fprintf(&text, "host %q of lab %q has no store", e.Host, e.Lab)
	reached := 0
	for _, m := range e.Members {
		if m.Err == nil {
			reached++
			continue
		}
		fmt.Fprintf(&text, "; %s: %v", m.Endpoint, m.Err)
	}
	if reached > 0 {
		fmt.Fprintf(&text, "; %d of %d members can be reached from here, and have no quorum", reached, len(e.Members))
	}
	return text.String()
}

// Hint says what to do about it.
func (e *UnreachableError) Hint() string {
	if e.certificates() {
		return "the members of etcd and the hosts need certificates of one authority, each with its address; docs/hosts.md has the way to get them"
	}
	return "most members of etcd must run and be reachable: \"etcdctl endpoint health\" says which are"
}

// certificates says whether a member is not what --tls has, or does not take it.
func (e *UnreachableError) certificates() bool {
	for _, m := range e.Members {
		if of := (*certificateError)(nil); errors.As(m.Err, &of) {
			return true
		}
	}
	return false
}

// certificateError is one side that does not believe the other.
type certificateError struct{ err error }

func (e *certificateError) Error() string { return e.err.Error() }
func (e *certificateError) Unwrap() error { return e.err }

// unreachable asks each member why the store does not answer: the client of etcd does not say.
func (s *Store) unreachable(ctx context.Context) *UnreachableError {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	found := &UnreachableError{Lab: s.cfg.Lab, Host: s.cfg.Host, Members: make([]MemberError, len(s.cfg.Endpoints))}
	var all sync.WaitGroup
	for i, endpoint := range s.cfg.Endpoints {
		all.Go(func() { found.Members[i] = MemberError{endpoint, s.reach(ctx, endpoint)} })
	}
	all.Wait()
	return found
}

// preface is how a client of HTTP/2 begins, with empty settings (RFC 9113, section 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"

// reach says why one cannot speak to a member.
func (s *Store) reach(ctx context.Context, endpoint string) error {
	at, err := url.Parse(endpoint)
	if err != nil {
		return err
	}
	conn, err := s.cfg.dial(ctx, at.Host)
	if err != nil {
		return dialled(err)
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	own := s.cfg.TLS.Clone()
	own.NextProtos = []string{"h2"}
	if own.ServerName == "" {
		own.ServerName = at.Hostname()
	}
	over := tls.Client(conn, own)
	if err := over.HandshakeContext(ctx); err != nil {
		return shaken(err)
	}
	// Whether the member takes this host's certificate it says with its first answer.
	if _, err := over.Write([]byte(preface)); err != nil {
		return shaken(err)
	}
	if _, err := over.Read(make([]byte, 1)); err != nil {
		return shaken(err)
	}
	return nil
}

func dialled(err error) error {
	var timeout net.Error
	var op *net.OpError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("nobody listens there")
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("no answer")
	case errors.As(err, &op):
		return op.Err
	}
	return err
}

// shaken is what is wrong with a handshake, in words.
func shaken(err error) error {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var noTLS tls.RecordHeaderError
	var op *net.OpError
	var timeout net.Error
	switch {
	case errors.As(err, &unknown):
		return &certificateError{errors.New("its certificate is of another authority than ca.pem")}
	case errors.As(err, &name):
		return &certificateError{fmt.Errorf("its certificate is not for that address: %w", name)}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return &certificateError{fmt.Errorf("its certificate has expired, or is not good yet: %w", invalid)}
	case errors.As(err, &invalid):
		return &certificateError{fmt.Errorf("its certificate is not good: %w", invalid)}
	case errors.As(err, &noTLS):
		return &certificateError{errors.New("it does not speak TLS")}
	case errors.As(err, &op) && op.Op == "remote error": // an alert, as crypto/tls says it
		return &certificateError{fmt.Errorf("it does not take host.pem, and says %q", strings.TrimPrefix(op.Err.Error(), "tls: "))}
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return errors.New("it takes the connection and does not answer")
	}
	return err
}

// CheckEndpoints says why etcd is not at these URLs.
func CheckEndpoints(endpoints []string) error {
	if len(endpoints) == 0 {
		return errors.New("etcd has no member: want https://HOST:PORT for each")
	}
	for _, endpoint := range endpoints {
		at, err := url.Parse(endpoint)
		if err != nil || at.Scheme != "https" || at.Hostname() == "" || at.Port() == "" || strings.Trim(at.Path, "/") != "" {
			return fmt.Errorf("%q is not a member of etcd: want https://HOST:PORT", endpoint)
		}
	}
	return nil
}
