package server

import "net/http"

// whose says which host's daemon does what a request asks for, where a topology is over
// several. What another host asks for is done here, and never asked for again.
type whose int

const (
	// own is of the daemon that is asked. No other host may ask for it.
	own whose = iota + 1
	// leaders is of the host that leads, as it changes what the hosts agree on. Where they
	// have no control plane it is of the host that is asked.
	leaders
	// instances is of the host of the instance that the request names: in its query as
	// "from", or in its body as "instance". Where it names none, all hosts answer.
	instances
	// asking is of all hosts, or of those of what the request names: its function asks the
	// others, and makes one answer of theirs and its own.
	asking
	// everywhere is of all hosts: it is done here, and then on each of the others.
	everywhere
	// peers is what only other hosts ask for.
	peers
)

// route is a kind of request, as patterns of http.ServeMux have it.
type route struct {
	pattern string
	whose   whose
	handle  http.HandlerFunc
}

// table has every route of the server.
func (s *Server) table() []route {
	table := []route{
		{"GET /metrics", own, s.metrics.handler.ServeHTTP},
		{"POST /v1/metrics", own, s.metrics.move},
		{"GET /v1/status", asking, s.status},
		{"GET /v1/sessions", asking, s.sessions},
		{"GET /v1/explain", instances, s.explain},
		{"GET /v1/names", instances, s.names},
		{"GET /v1/queries", instances, s.queries},
		{"GET /v1/events", own, s.events},
		{"GET /v1/capture", asking, s.capture},
		{"POST /v1/do", leaders, s.do},
		{"POST /v1/edit", leaders, s.edit},
		{"GET /v1/edit", own, s.edits},
		{"GET /v1/export", own, s.export},
		{"POST /v1/topology", leaders, s.apply},
		{"POST /v1/check", leaders, s.check},
		{"POST /v1/check/one", peers, s.checkOne},
		{"POST /v1/cloud-api", own, s.cloud.start},
		{"GET /v1/cloud-api", own, s.cloud.tell},
		{"GET /v1/cloud-api/calls", own, s.cloud.calls},
		{"GET /v1/faults", asking, s.faults},
		{"POST /v1/faults", everywhere, s.setFault},
		{"DELETE /v1/faults", everywhere, s.clearFaults},
		{"POST /v1/faults/down", everywhere, s.failure(s.takeDown)},
		{"POST /v1/faults/up", everywhere, s.failure(s.bringUp)},
		{"POST /v1/transition", everywhere, s.transition},
		{"POST /v1/time-scale", everywhere, s.timeScale},
		{"POST /v1/log", own, s.logging},
		{"POST /v1/restart", instances, s.restart},
		{"POST /v1/down", own, accepted(func() { s.Down() })},
	}
	if s.Exec != nil {
		table = append(table, route{"POST /v1/exec", asking, s.exec})
	}
	if s.Logs != nil {
		table = append(table, route{"GET /v1/logs", asking, s.logs})
	}
	if s.Leave != nil {
		table = append(table, route{"GET /v1/handover", own, s.handover}, route{"POST /v1/leave", own, accepted(s.Leave)})
	}
	return table
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.table() {
		mux.HandleFunc(r.pattern, s.routed(r))
	}
	return mux
}

// accepted does what returns at once, after the answer.
func accepted(do func()) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		do()
	}
}

// routed lets a request be done where it is to be.
func (s *Server) routed(r route) http.HandlerFunc {
	if s.Peers == nil {
		return r.handle
	}
	return func(w http.ResponseWriter, req *http.Request) {
		if req.TLS != nil {
			s.fromPeer(w, req, r)
			return
		}
		switch r.whose {
		case leaders:
			s.Peers.atLeader(w, req, r.handle)
		case instances:
			s.Peers.atInstance(w, req, r.handle)
		case everywhere:
			s.Peers.everywhere(w, req, r.handle)
		case peers:
			refuse(w, http.StatusForbidden, errForPeers)
		default:
			r.handle(w, req)
		}
	}
}
