package server

import (
	"context"
	"net/http"
	"sync/atomic"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/status"
)

func (s *Server) names(w http.ResponseWriter, r *http.Request) {
	a, err := s.Lab.Query(r.Context(), r.FormValue("from"), r.FormValue("name"), r.FormValue("type"))
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	answer(w, a)
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
	waiting := make(chan status.NameQuery, watchBuffer)
	var missed atomic.Uint64
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Lab.WatchQueries(r.Context(), from, func(q status.NameQuery) {
			select {
			case waiting <- q:
			default:
				missed.Add(1)
			}
		})
	}()
	others := make(chan api.WatchedQuery)
	if !s.answersAlone(r) && from == "" {
		s.Peers.watch(r.Context(), others)
	}
	out := newStream(w)
	for {
		select {
		case q := <-waiting:
			out.send(api.WatchedQuery{NameQuery: q, Missed: missed.Swap(0)})
		case q := <-others:
			out.send(q)
		case <-done:
			return
		}
	}
}

// watch gives on the questions on other hosts, of those that answer, until ctx ends.
func (p *Peers) watch(ctx context.Context, each chan<- api.WatchedQuery) {
	for _, host := range p.others() {
		go func() {
			c, err := p.client(host)
			if err != nil {
				return
			}
			_ = c.WatchQueries(ctx, "", func(q api.WatchedQuery) error {
				select {
				case each <- q:
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			})
		}()
	}
}
