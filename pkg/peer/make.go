package peer

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/plinksim/plinksim/internal/certificate"
	"github.com/plinksim/plinksim/pkg/topology"
)

// AuthorityKeyFile is the authority's private key, beside its certificate in the directory
// that Make writes. No host needs it.
const AuthorityKeyFile = "ca-key.pem"

// How long certificates are good for. The authority outlives many of a host's, as all hosts
// need a new one with it.
const (
	AuthorityLasts = 10 * 365 * 24 * time.Hour
	HostLasts      = 2 * 365 * 24 * time.Hour
)

// Made is what Make has written or found.
type Made struct {
	Path    string // a directory of a host, or the authority's certificate
	Host    string // "" for the authority
	Expires time.Time
	Kept    bool // it was there already
}

// Make writes below dir what each host of a topology needs for Load, in a directory with its
// name, and the authority that signs it. An authority that is there is used again. A host that
// has a directory keeps it, unless replace is set; where what it has is not good any more,
// that is an error, and nothing is written.
func Make(dir string, plan *topology.Plan, replace bool, now time.Time) ([]Made, error) {
	if len(plan.Hosts) == 0 {
		return nil, errors.New("the topology has no hosts")
	}
	ca, made, err := readAuthority(dir, plan.Name, now)
	if err != nil {
		return nil, err
	}
	all := []Made{made}
	for i := range plan.Hosts {
		h := &plan.Hosts[i]
		one := Made{Path: filepath.Join(dir, h.Name), Host: h.Name, Expires: now.Add(HostLasts)}
		if _, err := os.Lstat(one.Path); err == nil && !replace {
			c, err := loadOf(one.Path, h, ca.Leaf, now)
			if err != nil {
				return nil, err
			}
			one.Expires, one.Kept = c.Expires, true
		}
		if ca.Leaf.NotAfter.Before(one.Expires) {
			one.Expires = ca.Leaf.NotAfter
		}
		all = append(all, one)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if !made.Kept {
		if err := save(dir, ca, AuthorityFile, AuthorityKeyFile); err != nil {
			return nil, err
		}
	}
	for i, h := range plan.Hosts {
		if one := all[i+1]; !one.Kept {
			if err := makeHost(one, h, ca, now); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// loadOf reads a host's directory, which must be of that authority.
func loadOf(dir string, h *topology.Host, ca *x509.Certificate, now time.Time) (*Credentials, error) {
	c, err := Load(dir, h, now)
	if err == nil && c.own.Leaf.CheckSignatureFrom(ca) != nil {
		err = &FileError{Path: filepath.Join(dir, CertificateFile),
			Err: fmt.Errorf("it is not signed by the authority in %s", filepath.Join(filepath.Dir(dir), AuthorityFile))}
	}
	if of := (*FileError)(nil); errors.As(err, &of) {
		of.hint = "--replace makes new certificates of all hosts"
	}
	return c, err
}

// readAuthority reads the authority of a directory, or makes one, which it does not write.
func readAuthority(dir, lab string, now time.Time) (ca tls.Certificate, made Made, err error) {
	made = Made{Path: filepath.Join(dir, AuthorityFile), Expires: now.Add(AuthorityLasts)}
	keyPath := filepath.Join(dir, AuthorityKeyFile)
	cert, certErr := os.ReadFile(made.Path)
	key, keyErr := os.ReadFile(keyPath)
	const other = "write to another directory, and give every host its certificates anew"
	switch {
	case errors.Is(certErr, fs.ErrNotExist) && errors.Is(keyErr, fs.ErrNotExist):
		ca, err = sign(&x509.Certificate{
			Subject: pkix.Name{CommonName: "plinksim hosts of " + lab},
			IsCA:    true, BasicConstraintsValid: true, MaxPathLenZero: true,
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}, nil, now, made.Expires)
		return ca, made, err
	case errors.Is(keyErr, fs.ErrNotExist):
		return ca, made, &FileError{keyPath, errors.New("it is missing, and the authority of " + made.Path + " signs with it"), other}
	case certErr != nil || keyErr != nil:
		return ca, made, errors.Join(certErr, keyErr)
	}
	if ca, err = tls.X509KeyPair(cert, key); err != nil {
		return ca, made, &FileError{keyPath, fmt.Errorf("it is not the key of %s: %w", AuthorityFile, err), other}
	}
	if err := checkTimes(made.Path, ca.Leaf, now); err != nil {
		return ca, made, &FileError{made.Path, errors.Unwrap(err), other}
	}
	made.Kept, made.Expires = true, ca.Leaf.NotAfter
	return ca, made, nil
}

// makeHost writes the directory of a host.
func makeHost(one Made, h topology.Host, ca tls.Certificate, now time.Time) error {
	own, err := sign(&x509.Certificate{
		Subject:     pkix.Name{CommonName: h.Name},
		DNSNames:    []string{h.Name},
		IPAddresses: []net.IP{h.Address.AsSlice()},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, &ca, now, one.Expires)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(one.Path, 0o700); err != nil {
		return err
	}
	if err := save(one.Path, own, CertificateFile, KeyFile); err != nil {
		return err
	}
	return write(filepath.Join(one.Path, AuthorityFile), pem.Block{Type: certificateBlock, Bytes: ca.Leaf.Raw}, 0o644)
}

// save writes a certificate and its key. The key comes first: where that fails, there is no
// certificate that seems to be good.
func save(dir string, c tls.Certificate, file, keyFile string) error {
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		return err
	}
	if err := write(filepath.Join(dir, keyFile), pem.Block{Type: "PRIVATE KEY", Bytes: key}, 0o600); err != nil {
		return err
	}
	return write(filepath.Join(dir, file), pem.Block{Type: certificateBlock, Bytes: c.Leaf.Raw}, 0o644)
}

// write replaces a file at once, so that its mode is that which is given, whatever was there.
func write(path string, block pem.Block, mode fs.FileMode) error {
	next := path + ".next"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(next, pem.EncodeToMemory(&block), mode); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// sign completes a template, from a day ago: the clocks of hosts differ, and so may their zones,
// by mistake. A nil ca signs itself.
func sign(template *x509.Certificate, ca *tls.Certificate, now, end time.Time) (tls.Certificate, error) {
	return certificate.Sign(template, ca, now.Add(-24*time.Hour), end)
}
