package server

import (
	"encoding/json"
	"net/http"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/status"
)

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
		var c status.FaultChange
		err := json.NewDecoder(r.Body).Decode(&c)
		if err == nil {
			err = s.Lab.SetFault(c)
		}
		done(w, err)
	})
	mux.HandleFunc("DELETE /v1/faults", func(w http.ResponseWriter, r *http.Request) {
		done(w, s.Lab.ClearFaults(r.URL.Query().Get("endpoint")))
	})
	failure := func(act func(api.Failure) error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			var f api.Failure
			err := json.NewDecoder(r.Body).Decode(&f)
			if err == nil {
				err = act(f)
			}
			done(w, err)
		}
	}
	mux.HandleFunc("POST /v1/faults/down",
		failure(func(f api.Failure) error { return s.Lab.TakeDown(f.Ref, f.Blackhole) }))
	mux.HandleFunc("POST /v1/faults/up", failure(func(f api.Failure) error { return s.Lab.BringUp(f.Ref) }))
}
