package lab

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Client opens connections as a program on an instance would: its sockets are
// in the instance's namespace, and its names come from the instance's hosts
// file and from the VPC's resolver.
type Client struct {
	hosts    func() []topology.HostName
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
	listen   func(ctx context.Context, network, address string) (net.Listener, error)
	resolver *net.Resolver
	trusted  func() *x509.CertPool
}

// Resolver asks the VPC's resolvers from the instance.
func (c *Client) Resolver() *net.Resolver { return c.resolver }

// DialContext is as net.Dialer's, from the instance.
func (c *Client) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	name, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return c.dial(ctx, network, address)
	}
	addrs, err := c.lookup(ctx, name)
	if err != nil {
		return nil, err
	}
	var last error
	for _, addr := range addrs {
		conn, err := c.dial(ctx, network, net.JoinHostPort(addr, port))
		if err == nil {
			return conn, nil
		}
		last = err
	}
	return nil, last
}

// lookup asks the hosts file first, as the instance's nsswitch.conf says.
func (c *Client) lookup(ctx context.Context, name string) ([]string, error) {
	var addrs []string
	for _, h := range c.hosts() {
		if h.Name == name {
			addrs = append(addrs, h.IP.String())
		}
	}
	if len(addrs) > 0 {
		return addrs, nil
	}
	return c.resolver.LookupHost(ctx, name)
}

// Listen is as net.ListenConfig's, on the instance.
func (c *Client) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	return c.listen(ctx, network, address)
}

// HTTP is a client that opens a connection of its own for every request. It
// trusts the lab's certificates beside those that this machine trusts.
func (c *Client) HTTP() *http.Client { return &http.Client{Transport: roundTripper{c}} }

type roundTripper struct{ client *Client }

// RoundTrip gives up connecting when the request has timed out. A Transport
// alone goes on, for the next request; here that would reach a service as soon
// as it is accepted.
func (r roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	var config *tls.Config
	if req.URL.Scheme == "https" {
		config = &tls.Config{RootCAs: r.client.trusted()}
	}
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: config, DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
		return r.client.DialContext(req.Context(), network, address)
	}}
	return transport.RoundTrip(req)
}
