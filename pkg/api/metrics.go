package api

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
)

// MetricsAddress asks for the metrics on a TCP address too.
type MetricsAddress struct {
	// Address is HOST:PORT. Without a host it is on the loopback interface.
	Address string `json:"address"`
}

// Metrics copies the metrics to w in Prometheus' text format.
func (c *Client) Metrics(ctx context.Context, w io.Writer) error {
	ctx, cancel := context.WithTimeoutCause(ctx, answerTimeout, errSilent(answerTimeout))
	defer cancel()
	resp, err := c.do(ctx, "GET", "/metrics", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(w, resp.Body)
	return err
}

// ListenMetrics listens at an address for metrics: HOST:PORT, where an IPv4 HOST
// means IPv4 alone, or :PORT on the loopback interface.
func ListenMetrics(address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("metrics address %q: want HOST:PORT, or :PORT on the loopback interface", address)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	network := "tcp"
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is4() {
		network = "tcp4" // package net means IPv6 too by 0.0.0.0
	}
	ln, err := net.Listen(network, net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("metrics address %q: %w", address, err)
	}
	return ln, nil
}

// ServeMetrics lets the daemon answer /metrics at a TCP address too, as long as
// the lab is up, and returns the address. It replaces an earlier one.
func (c *Client) ServeMetrics(ctx context.Context, address string) (string, error) {
	var at MetricsAddress
	return at.Address, c.call(ctx, "POST", "/v1/metrics", MetricsAddress{address}, &at)
}
