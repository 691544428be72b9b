package api

import (
	"context"
	"net/http"
	"net/url"
	"sync/atomic"

	"github.com/plinksim/plinksim/pkg/lab"
)

// Query asks the resolver of an instance's VPC, and why.
func (c *Client) Query(ctx context.Context, from, name, qtype string) (lab.NameAnswer, error) {
	var a lab.NameAnswer
	return a, c.call(ctx, "GET", "/v1/names?"+url.Values{"from": {from}, "name": {name}, "type": {qtype}}.Encode(), nil, &a)
}

// WatchedQuery is a question, or how many there were that came too fast.
type WatchedQuery struct {
	lab.NameQuery
	Missed uint64 `json:"missed,omitempty"` // before this one
}

// WatchQueries calls each for every question, of one instance or of all where
// from is empty, until ctx ends.
func (c *Client) WatchQueries(ctx context.Context, from string, each func(WatchedQuery) error) error {
	return readLines(ctx, c, "GET", "/v1/queries?"+url.Values{"from": {from}}.Encode(), nil, each)
}

func (s *Server) nameRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/names", func(w http.ResponseWriter, r *http.Request) {
		a, err := s.Lab.Query(r.Context(), r.FormValue("from"), r.FormValue("name"), r.FormValue("type"))
		if err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		answer(w, a)
	})
	mux.HandleFunc("GET /v1/queries", s.queries)
}

// watchBuffer is how many questions may wait for a slow reader. Resolvers
// never wait.
const watchBuffer = 1024

func (s *Server) queries(w http.ResponseWriter, r *http.Request) {
	from := r.FormValue("from")
	if from != "" {
		if _, err := s.Lab.Plan().Instance(from); err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
	}
	waiting := make(chan lab.NameQuery, watchBuffer)
	var missed atomic.Uint64
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Lab.WatchQueries(r.Context(), from, func(q lab.NameQuery) {
			select {
			case waiting <- q:
			default:
				missed.Add(1)
			}
		})
	}()
	out := newStream(w)
	for {
		select {
		case q := <-waiting:
			out.send(WatchedQuery{q, missed.Swap(0)})
		case <-done:
			return
		}
	}
}
