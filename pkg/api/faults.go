package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/plinksim/plinksim/pkg/lab"
)

// Failure names what fails, or works again: an interface (ep1@zone), all of an
// endpoint or a load balancer, or a zone.
type Failure struct {
	Ref       string `json:"ref"`
	Blackhole bool   `json:"blackhole,omitempty"` // packets vanish, neighbours still see it
}

// Faults says what goes wrong on purpose.
func (c *Client) Faults(ctx context.Context) (lab.FaultStatus, error) {
	var s lab.FaultStatus
	return s, c.call(ctx, "GET", "/v1/faults", nil, &s)
}

// SetFault changes the impairments of an endpoint.
func (c *Client) SetFault(ctx context.Context, change lab.FaultChange) (lab.FaultStatus, error) {
	var s lab.FaultStatus
	return s, c.call(ctx, "POST", "/v1/faults", change, &s)
}

// ClearFaults goes back to what the file says, of one endpoint or, where it is
// empty, of the lab.
func (c *Client) ClearFaults(ctx context.Context, endpoint string) (lab.FaultStatus, error) {
	var s lab.FaultStatus
	return s, c.call(ctx, "DELETE", "/v1/faults?"+url.Values{"endpoint": {endpoint}}.Encode(), nil, &s)
}

// TakeDown lets something fail.
func (c *Client) TakeDown(ctx context.Context, f Failure) (lab.FaultStatus, error) {
	var s lab.FaultStatus
	return s, c.call(ctx, "POST", "/v1/faults/down", f, &s)
}

// BringUp lets it work again.
func (c *Client) BringUp(ctx context.Context, f Failure) (lab.FaultStatus, error) {
	var s lab.FaultStatus
	return s, c.call(ctx, "POST", "/v1/faults/up", f, &s)
}

// faultRoutes answer with what goes wrong after the change.
func (s *Server) faultRoutes(mux *http.ServeMux) {
	done := func(w http.ResponseWriter, err error) {
		if err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		answer(w, s.Lab.Faults())
	}
	mux.HandleFunc("GET /v1/faults", func(w http.ResponseWriter, r *http.Request) { done(w, nil) })
	mux.HandleFunc("POST /v1/faults", func(w http.ResponseWriter, r *http.Request) {
		var c lab.FaultChange
		err := json.NewDecoder(r.Body).Decode(&c)
		if err == nil {
			err = s.Lab.SetFault(c)
		}
		done(w, err)
	})
	mux.HandleFunc("DELETE /v1/faults", func(w http.ResponseWriter, r *http.Request) {
		done(w, s.Lab.ClearFaults(r.URL.Query().Get("endpoint")))
	})
	failure := func(act func(Failure) error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			var f Failure
			err := json.NewDecoder(r.Body).Decode(&f)
			if err == nil {
				err = act(f)
			}
			done(w, err)
		}
	}
	mux.HandleFunc("POST /v1/faults/down", failure(func(f Failure) error { return s.Lab.TakeDown(f.Ref, f.Blackhole) }))
	mux.HandleFunc("POST /v1/faults/up", failure(func(f Failure) error { return s.Lab.BringUp(f.Ref) }))
}
