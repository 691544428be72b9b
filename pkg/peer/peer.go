// Package peer is how the hosts of a topology know each other: each has a certificate
// with its name, signed by an authority that the hosts of the topology share. Make makes
// them, Load reads those of one host, and the configurations of TLS that it gives speak
// to hosts of that authority alone, in both directions.
package peer

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/plinksim/plinksim/pkg/topology"
)

// The files of a host's directory, all of them PEM.
const (
	AuthorityFile   = "ca.pem"       // whom the host believes
	CertificateFile = "host.pem"     // who it is
	KeyFile         = "host-key.pem" // its private key
)

// Credentials are what a host shows to others, and how it knows them.
type Credentials struct {
	Host    string
	Expires time.Time // of the first of the two certificates that does

	authority *x509.CertPool
	own       tls.Certificate
}

// FileError is what is wrong with a file of a host's directory.
type FileError struct {
	Path string
	Err  error
	hint string
}

func (e *FileError) Error() string { return e.Path + ": " + e.Err.Error() }
func (e *FileError) Unwrap() error { return e.Err }

// Hint is what to do about it.
func (e *FileError) Hint() string { return e.hint }

const makeThem = "\"plinksim hosts certificates FILE --out DIR\" makes the files, and DIR/HOST is for one host"

// Load reads the directory of a host, and holds it to what others will ask of it at that
// time. The error is a *FileError.
func Load(dir string, host *topology.Host, now time.Time) (*Credentials, error) {
	ca, err := readCertificate(filepath.Join(dir, AuthorityFile))
	if err != nil {
		return nil, err
	}
	if err := checkTimes(filepath.Join(dir, AuthorityFile), ca, now); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, CertificateFile)
	own, err := readCertificate(path)
	if err != nil {
		return nil, err
	}
	if err := checkTimes(path, own, now); err != nil {
		return nil, err
	}
	if err := checkOwn(own, ca, host, now); err != nil {
		return nil, &FileError{path, err, makeThem}
	}
	keyPath := filepath.Join(dir, KeyFile)
	key, err := readFile(keyPath)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: own.Raw}), key)
	if err != nil {
		return nil, &FileError{keyPath, fmt.Errorf("it is not the key of %s: %w", CertificateFile, err), makeThem}
	}
	c := &Credentials{Host: host.Name, Expires: own.NotAfter, authority: x509.NewCertPool(), own: pair}
	if ca.NotAfter.Before(c.Expires) {
		c.Expires = ca.NotAfter
	}
	c.authority.AddCert(ca)
	return c, nil
}

// checkOwn says why a certificate is not that of a host.
func checkOwn(own, ca *x509.Certificate, host *topology.Host, now time.Time) error {
	if own.Subject.CommonName != host.Name {
		return fmt.Errorf("it is the certificate of %q, and this is host %q", own.Subject.CommonName, host.Name)
	}
	if err := own.CheckSignatureFrom(ca); err != nil {
		return fmt.Errorf("it is not signed by the authority in %s", AuthorityFile)
	}
	if err := own.VerifyHostname(host.Name); err != nil {
		return fmt.Errorf("it is not for the name %q", host.Name)
	}
	if host.Address.IsValid() && own.VerifyHostname(host.Address.String()) != nil {
		return fmt.Errorf("it is not for the address of host %q, %s", host.Name, host.Address)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	for _, use := range []struct {
		usage x509.ExtKeyUsage
		text  string
	}{{x509.ExtKeyUsageServerAuth, "as a server"}, {x509.ExtKeyUsageClientAuth, "as a client"}} {
		_, err := own.Verify(x509.VerifyOptions{
			Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{use.usage},
		})
		if err != nil {
			return fmt.Errorf("it cannot be used %s: %w", use.text, err)
		}
	}
	return nil
}

func checkTimes(path string, c *x509.Certificate, now time.Time) error {
	switch {
	case now.After(c.NotAfter):
		return &FileError{path, fmt.Errorf("it expired at %s", stamp(c.NotAfter)),
			"\"plinksim hosts certificates FILE --out DIR --replace\" makes new ones"}
	case now.Before(c.NotBefore):
		return &FileError{path, fmt.Errorf("it begins at %s, and here it is %s", stamp(c.NotBefore), stamp(now)),
			"look at the clocks of the hosts"}
	}
	return nil
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

const certificateBlock = "CERTIFICATE"

func readFile(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		var of *os.PathError
		if errors.As(err, &of) {
			err = of.Err
		}
		return nil, &FileError{path, err, makeThem}
	}
	return text, nil
}

// readCertificate reads a file that has one certificate.
func readCertificate(path string) (*x509.Certificate, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != certificateBlock {
		return nil, &FileError{path, errors.New("it has no certificate"), makeThem}
	}
	if next, _ := pem.Decode(rest); next != nil {
		return nil, &FileError{path, errors.New("it has more than one certificate"), makeThem}
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, &FileError{path, err, makeThem}
	}
	return c, nil
}

// Server is the configuration of what answers other hosts. It lets in whoever shows a
// certificate of the authority for another host that isHost knows, which is asked each time.
func (c *Credentials) Server(isHost func(name string) bool) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{c.own},
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: c.authority,
		VerifyConnection: func(s tls.ConnectionState) error {
			switch name := Name(&s); {
			case name == c.Host:
				return fmt.Errorf("this is host %q itself", name)
			case !isHost(name):
				return fmt.Errorf("the topology of host %q has no host %q", c.Host, name)
			}
			return nil
		},
	}
}

// Name is the host at the other end of a connection whose certificate has been verified.
func Name(s *tls.ConnectionState) string {
	if s == nil || len(s.PeerCertificates) == 0 {
		return ""
	}
	return s.PeerCertificates[0].Subject.CommonName
}

// Client is the configuration of what asks another host. It speaks to nobody but the host
// of that name; with "", to a server of the authority whose certificate has the address or
// the name that is dialled, as etcd's.
func (c *Credentials) Client(host string) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, // etcd 3.4 may have been built to have no newer one
		ServerName: host, Certificates: []tls.Certificate{c.own}, RootCAs: c.authority,
	}
}
