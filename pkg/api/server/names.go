package server

import (
	"net/http"
	"sync/atomic"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/status"
)

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
	out := newStream(w)
	for {
		select {
		case q := <-waiting:
			out.send(api.WatchedQuery{NameQuery: q, Missed: missed.Swap(0)})
		case <-done:
			return
		}
	}
}
