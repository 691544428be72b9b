package server

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/plinksim/plinksim/pkg/api"
)

// logs sends what the programs of an instance have printed, with ?follow=true until either side goes.
func (s *Server) logs(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	call := api.LogsCall{Instance: query.Get("instance"), Follow: query.Get("follow") == "true"}
	tail, err := strconv.Atoi(query.Get("tail"))
	if err != nil || tail < -1 {
		refuse(w, http.StatusBadRequest, fmt.Errorf("tail: want a number of lines"))
		return
	}
	call.Tail = tail
	plan := s.Lab.Plan()
	instance, err := plan.Instance(call.Instance)
	if err != nil {
		refuse(w, http.StatusNotFound, err)
		return
	}
	out := &printed{w: w}
	if other := s.elsewhere(plan, instance.Zone); other != "" {
		var client *api.Client
		if client, err = s.peer(r, other); err == nil {
			err = client.Logs(r.Context(), call, out)
		}
	} else {
		if call.Follow {
			out.flush() // there may be nothing for long
		}
		err = s.Logs(r.Context(), instance, call, out)
	}
	if err != nil && !out.begun {
		refuse(w, http.StatusConflict, err)
	}
}

// printed is an answer of which each line goes at once.
type printed struct {
	w     http.ResponseWriter
	begun bool
}

func (p *printed) Write(text []byte) (int, error) {
	p.begin()
	n, err := p.w.Write(text)
	p.flush()
	return n, err
}

func (p *printed) flush() {
	p.begin()
	_ = http.NewResponseController(p.w).Flush()
}

func (p *printed) begin() {
	if !p.begun {
		p.begun = true
		p.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		p.w.WriteHeader(http.StatusOK)
	}
}
