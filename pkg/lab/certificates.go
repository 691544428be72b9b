package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/topology"
)

// The certificates of https listeners for which the file names none are signed
// by a certificate authority of the lab's own, which lives as long as the lab:
// a daemon that takes it over goes on with it. It is in the lab's directory, and
// programs on instances that read the host's list of authorities trust it.
const (
	authorityFile    = "ca.pem"
	authorityKeyFile = "ca-key.pem"
)

// readCertificates reads all that the file names, so that one that is not there
// is noticed before anything is made.
func readCertificates(plan *topology.Plan) error {
	for _, balancer := range plan.LoadBalancers {
		for _, listener := range balancer.Listeners {
			if listener.HTTP == nil {
				continue
			}
			if _, err := givenCertificates(plan, listener); err != nil {
				return fmt.Errorf("load balancer %q: listener %s port %d: %w", balancer.Name, listener.Protocol, listener.Port, err)
			}
		}
	}
	return nil
}

func givenCertificates(plan *topology.Plan, listener topology.Listener) ([]tls.Certificate, error) {
	var out []tls.Certificate
	for _, files := range listener.HTTP.Certificates {
		pair, err := tls.LoadX509KeyPair(beside(plan, files.Certificate), beside(plan, files.Key))
		if err != nil {
			return nil, fmt.Errorf("certificate %s with key %s: %w", files.Certificate, files.Key, err)
		}
		out = append(out, pair)
	}
	return out, nil
}

// beside is a file that the topology names: relative to the topology's own.
func beside(plan *topology.Plan, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(plan.File), name)
}

// certificates of a listener: those that are given, or one made for it.
func (l *Lab) certificates(plan *topology.Plan, listener topology.Listener) ([]tls.Certificate, error) {
	if listener.Protocol != topology.HTTPS {
		return nil, nil
	}
	if len(listener.HTTP.Certificates) > 0 {
		return givenCertificates(plan, listener)
	}
	ca, err := l.authority(plan)
	if err != nil {
		return nil, fmt.Errorf("the lab's certificate authority: %w", err)
	}
	leaf, err := issue(ca, listener.HTTP.CertificateNames)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	return []tls.Certificate{leaf}, nil
}

// prepareAuthority makes the authority before programs start, so that they see
// it.
func (l *Lab) prepareAuthority(plan *topology.Plan) error {
	for _, spec := range proxiesOf(plan) {
		if spec.Protocol == topology.HTTPS && len(spec.HTTP.Certificates) == 0 {
			_, err := l.authority(plan)
			return err
		}
	}
	return nil
}

// authority reads the lab's certificate authority, or makes it. The caller holds
// change, or is Start.
func (l *Lab) authority(plan *topology.Plan) (tls.Certificate, error) {
	cert, key := l.dir.Path(authorityFile), l.dir.Path(authorityKeyFile)
	ca, err := tls.LoadX509KeyPair(cert, key)
	if !errors.Is(err, fs.ErrNotExist) {
		return ca, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "plinksim lab " + plan.Name},
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	made, err := sign(template, nil)
	if err != nil {
		return tls.Certificate{}, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(made.PrivateKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	if err := l.dir.Save(authorityKeyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); err != nil {
		return tls.Certificate{}, err
	}
	if err := l.dir.Save(authorityFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made.Certificate[0]})); err != nil {
		return tls.Certificate{}, err
	}
	return made, errors.Join(os.Chmod(cert, 0o644), l.trust(cert))
}

// trust makes the list of authorities that programs on instances see.
func (l *Lab) trust(cert string) error {
	bundle := l.dir.Path(host.TrustFile)
	list, err := authorities(cert)
	if err != nil {
		return err
	}
	if err := l.dir.Save(host.TrustFile, list); err != nil {
		return err
	}
	return os.Chmod(bundle, 0o644)
}

// authorities are those of the machine's list, which instances see too, and the
// lab's own, if it has one.
func authorities(cert string) (list []byte, err error) {
	for _, file := range append(slices.Clone(host.HostTrust), cert) {
		text, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		list = append(list, text...)
	}
	return list, nil
}

// trusted is what programs on instances trust. x509.SystemCertPool would go by
// the environment of this process.
func (l *Lab) trusted() *x509.CertPool {
	pool := x509.NewCertPool()
	list, err := authorities(l.dir.Path(authorityFile))
	if err != nil {
		l.log.Error("the list of certificate authorities cannot be read", "error", err)
	}
	pool.AppendCertsFromPEM(list)
	return pool
}

// issue makes a certificate for names and addresses.
func issue(ca tls.Certificate, names []string) (tls.Certificate, error) {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "plinksim"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	return sign(template, &ca)
}

// sign completes a template with a key of its own. A nil ca signs itself.
func sign(template *x509.Certificate, ca *tls.Certificate) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return tls.Certificate{}, err
	}
	// A minute ago: clocks differ. 397 days are what clients take at most
	// (CA/Browser Forum, Baseline Requirements, 6.3.2).
	template.NotBefore = time.Now().Add(-time.Minute)
	template.NotAfter = template.NotBefore.Add(397 * 24 * time.Hour)
	parent, signer := template, any(key)
	if ca != nil {
		parent, signer = ca.Leaf, ca.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}
