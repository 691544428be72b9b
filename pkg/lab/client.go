package lab

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"strings"

	"github.com/plinksim/plinksim/pkg/dns"
)

// Client opens connections as a program on an instance would: its sockets are
// in the instance's namespace, and its names come from the instance's files and
// from the VPC's resolver. Nothing of this process or its machine plays a part.
type Client struct {
	resolver *dns.Resolver
	space    Space
	trusted  func() *x509.CertPool
}

// Resolver finds names as the instance's programs do.
func (c *Client) Resolver() *dns.Resolver { return c.resolver }

// DialContext is as net.Dialer's, from the instance. The addresses of a name
// are tried in turn until one connects.
func (c *Client) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	name, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	// tcp4 and udp6 want addresses of one family.
	addrs, err := c.resolver.LookupNetIP(ctx, "ip"+strings.TrimLeft(network, "tcpud"), name)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	var last error
	for _, addr := range addrs {
		conn, err := c.space.DialContext(ctx, network, net.JoinHostPort(addr.String(), port))
		if err == nil {
			return conn, nil
		}
		last = err
	}
	return nil, last
}

// Listen is as net.ListenConfig's, on the instance.
func (c *Client) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	return c.space.Listen(ctx, network, address)
}

// ListenPacket is as net.ListenConfig's, on the instance.
func (c *Client) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	return c.space.ListenPacket(ctx, network, address)
}

// HTTP is a client that opens a connection of its own for every request. It
// trusts what programs on the instance trust, and knows no proxy.
func (c *Client) HTTP() *http.Client { return &http.Client{Transport: roundTripper{client: c}} }

type roundTripper struct {
	client     *Client
	serverName string // that TLS asks for and verifies; "" is the URL's
}

// RoundTrip gives up connecting when the request has timed out. A Transport
// alone goes on, for the next request; here that would reach a service as soon
// as it is accepted.
func (r roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	var config *tls.Config
	if req.URL.Scheme == "https" {
		config = &tls.Config{RootCAs: r.client.trusted(), ServerName: r.serverName}
	}
	transport := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   config,
		DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			return r.client.DialContext(req.Context(), network, address)
		},
	}
	return transport.RoundTrip(req)
}
