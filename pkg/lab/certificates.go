package lab

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/plinksim/plinksim/internal/certificate"
	"github.com/plinksim/plinksim/pkg/topology"
)

// The certificates of https listeners for which the file names none are signed
// by a certificate authority of the lab's own, which lives as long as the lab:
// a daemon that takes it over goes on with it. Programs on instances that read
// the machine's list of authorities trust it.
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
			for _, c := range listener.HTTP.Certificates {
				if _, err := givenCertificate(plan, c); err != nil && c.Certificate != "" {
					return fmt.Errorf("load balancer %q: listener %s port %d: %w",
						balancer.Name, listener.Protocol, listener.Port, err)
				}
			}
		}
	}
	return nil
}

func givenCertificate(plan *topology.Plan, files topology.Certificate) (tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(beside(plan, files.Certificate), beside(plan, files.Key))
	if err != nil {
		return pair, fmt.Errorf("certificate %s with key %s: %w", files.Certificate, files.Key, err)
	}
	return pair, nil
}

// beside is a file that the topology names: relative to the topology's own.
func beside(plan *topology.Plan, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(filepath.Dir(plan.File), name)
}

// authority is the lab's certificate authority, which is made when it is first
// needed.
type authority struct {
	store   Store
	truster Truster // nil where no program needs a list of authorities
	log     *slog.Logger
	wanted  bool // whatever the plan has
	// shared is the authority of all hosts of the lab, which the first of them makes: its
	// certificate and key as PEM; nil: there are no other hosts.
	shared func(first func() ([]byte, error)) ([]byte, error)

	making sync.Mutex
}

// certificates of a listener: those that are given or made for the names that are, or one
// made for it.
func (a *authority) certificates(plan *topology.Plan, listener topology.Listener) ([]tls.Certificate, error) {
	if listener.Protocol != topology.HTTPS {
		return nil, nil
	}
	wanted := listener.HTTP.Certificates
	if len(wanted) == 0 {
		wanted = []topology.Certificate{{Names: listener.HTTP.CertificateNames}}
	}
	var out []tls.Certificate
	for _, c := range wanted {
		one, err := a.certificate(plan, c)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

func (a *authority) certificate(plan *topology.Plan, c topology.Certificate) (tls.Certificate, error) {
	if c.Certificate != "" {
		return givenCertificate(plan, c)
	}
	ca, err := a.prepare(plan.Name)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("the lab's certificate authority: %w", err)
	}
	leaf, err := issue(ca, c.Names)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make a certificate: %w", err)
	}
	return leaf, nil
}

// isNeeded says whether the lab has listeners whose certificates it makes, or others
// will ask for some.
func (a *authority) isNeeded(plan *topology.Plan) bool {
	return a.wanted || slices.ContainsFunc(proxiesOf(plan), func(spec proxySpec) bool {
		return spec.Protocol == topology.HTTPS && (len(spec.HTTP.Certificates) == 0 ||
			slices.ContainsFunc(spec.HTTP.Certificates, func(c topology.Certificate) bool { return c.Certificate == "" }))
	})
}

// prepare reads the authority, or makes it for the lab of that name.
func (a *authority) prepare(lab string) (tls.Certificate, error) {
	a.making.Lock()
	defer a.making.Unlock()
	cert, err := a.store.Load(authorityFile)
	if errors.Is(err, fs.ErrNotExist) {
		return a.make(lab)
	}
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := a.store.Load(authorityKeyFile)
	if errors.Is(err, fs.ErrNotExist) {
		return a.make(lab)
	}
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(cert, key)
}

func (a *authority) make(lab string) (tls.Certificate, error) {
	first := func() ([]byte, error) { return makeAuthority(lab) }
	shared := a.shared
	if shared == nil {
		shared = func(first func() ([]byte, error)) ([]byte, error) { return first() }
	}
	text, err := shared(first)
	if err != nil {
		return tls.Certificate{}, err
	}
	made, err := tls.X509KeyPair(text, text)
	if err != nil {
		return tls.Certificate{}, err
	}
	cert, key := pem.Decode(text)
	if err := a.store.Save(authorityKeyFile, key); err != nil {
		return tls.Certificate{}, err
	}
	if err := a.store.Save(authorityFile, pem.EncodeToMemory(cert)); err != nil {
		return tls.Certificate{}, err
	}
	return made, a.trust(pem.EncodeToMemory(cert))
}

// makeAuthority makes the certificate of an authority, and behind it its key.
func makeAuthority(lab string) ([]byte, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "plinksim lab " + lab},
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	made, err := sign(template, nil)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(made.PrivateKey)
	if err != nil {
		return nil, err
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made.Certificate[0]})
	return append(cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...), nil
}

// trust makes the list of authorities that programs on instances see.
func (a *authority) trust(cert []byte) error {
	if a.truster == nil {
		return nil
	}
	list, err := a.truster.Authorities()
	if err != nil {
		return err
	}
	return a.truster.Trust(append(list, cert...))
}

// trusted is what programs on instances trust: the machine's own list, and the
// lab's authority if it has one. x509.SystemCertPool would go by the environment
// of this process.
func (a *authority) trusted() *x509.CertPool {
	pool := x509.NewCertPool()
	add := func(list []byte, err error) {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			a.log.Error("the list of certificate authorities cannot be read", "error", err)
		}
		pool.AppendCertsFromPEM(list)
	}
	if a.truster != nil {
		add(a.truster.Authorities())
	}
	add(a.store.Load(authorityFile))
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

// sign completes a template, from a minute ago, as clocks differ, for 397 days, which is
// what clients take at most (CA/Browser Forum, Baseline Requirements, 6.3.2). A nil ca signs itself.
func sign(template *x509.Certificate, ca *tls.Certificate) (tls.Certificate, error) {
	begin := time.Now().Add(-time.Minute)
	return certificate.Sign(template, ca, begin, begin.Add(397*24*time.Hour))
}
