package api

import (
	"context"
	"io"
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

// ServeMetrics lets the daemon answer /metrics at a TCP address too, as long as
// the lab is up, and returns the address. It replaces an earlier one.
func (c *Client) ServeMetrics(ctx context.Context, address string) (string, error) {
	var at MetricsAddress
	return at.Address, c.call(ctx, "POST", "/v1/metrics", MetricsAddress{address}, &at)
}
