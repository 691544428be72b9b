package api

import (
	"context"
	"net/url"

	"github.com/plinksim/plinksim/pkg/status"
)

// Failure names what fails, or works again: an interface (ep1@zone), all of an
// endpoint or a load balancer, or a zone.
type Failure struct {
	Ref       string `json:"ref"`
	Blackhole bool   `json:"blackhole,omitempty"` // packets vanish, neighbours still see it
}

// Faults says what goes wrong on purpose.
func (c *Client) Faults(ctx context.Context) (status.Faults, error) {
	var s status.Faults
	return s, c.call(ctx, "GET", "/v1/faults", nil, &s)
}

// SetFault changes the impairments of an endpoint.
func (c *Client) SetFault(ctx context.Context, change status.FaultChange) (status.Faults, error) {
	var s status.Faults
	return s, c.call(ctx, "POST", "/v1/faults", change, &s)
}

// ClearFaults goes back to what the file says, of one endpoint or, where it is
// empty, of the lab.
func (c *Client) ClearFaults(ctx context.Context, endpoint string) (status.Faults, error) {
	var s status.Faults
	return s, c.call(ctx, "DELETE", "/v1/faults?"+url.Values{"endpoint": {endpoint}}.Encode(), nil, &s)
}

// TakeDown lets something fail.
func (c *Client) TakeDown(ctx context.Context, f Failure) (status.Faults, error) {
	var s status.Faults
	return s, c.call(ctx, "POST", "/v1/faults/down", f, &s)
}

// BringUp lets it work again.
func (c *Client) BringUp(ctx context.Context, f Failure) (status.Faults, error) {
	var s status.Faults
	return s, c.call(ctx, "POST", "/v1/faults/up", f, &s)
}
