package server

import (
	"encoding/json"
	"net/http"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/status"
)

// faultsAfter answers with what goes wrong after a change.
func (s *Server) faultsAfter(w http.ResponseWriter, err error) {
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	answer(w, s.Lab.Faults())
}

func (s *Server) setFault(w http.ResponseWriter, r *http.Request) {
	var c status.FaultChange
	err := json.NewDecoder(r.Body).Decode(&c)
	if err == nil {
		err = s.Lab.SetFault(c)
	}
	s.faultsAfter(w, err)
}

func (s *Server) clearFaults(w http.ResponseWriter, r *http.Request) {
	s.faultsAfter(w, s.Lab.ClearFaults(r.URL.Query().Get("endpoint")))
}

func (s *Server) takeDown(f api.Failure) error { return s.Lab.TakeDown(f.Ref, f.Blackhole) }

func (s *Server) bringUp(f api.Failure) error { return s.Lab.BringUp(f.Ref) }

func (s *Server) failure(act func(api.Failure) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var f api.Failure
		err := json.NewDecoder(r.Body).Decode(&f)
		if err == nil {
			err = act(f)
		}
		s.faultsAfter(w, err)
	}
}
