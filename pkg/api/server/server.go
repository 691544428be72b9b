// Package server answers for a lab on its socket, in the words of package api.
package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Server answers for one lab.
type Server struct {
	Lab *lab.Lab
	// Down is called once when a client asks for the end of the lab. It must
	// return at once.
	Down func()
	// Leave is called once when a client asks the daemon to leave the lab to
	// another one, to which Handover tells what it must know. It must return at
	// once; nil: nobody can come after this process.
	Leave    func()
	Handover api.Handover
	// What the API for clients of the lab's cloud needs: where it keeps its keys, who
	// hears of failures, and how long states on the way last.
	Store      lab.Store
	Log        *slog.Logger
	Transition time.Duration
	// Logging is how Log is written; nil where that does not change.
	Logging *Logging
	// Exec starts a program on an instance; nil: nobody asks for that, as users of the only
	// host of a lab enter instances themselves.
	Exec func(*topology.Plan, *topology.Instance, api.ExecCall) (Process, error)
	// Logs writes what the programs of an instance here have printed; nil as Exec.
	Logs func(context.Context, *topology.Instance, api.LogsCall, io.Writer) error
	// Peers are the other hosts of the lab, which ask on PeerListener; nil: nobody does.
	Peers        *Peers
	PeerListener net.Listener
	// Peer is the daemon of another host of the lab, of Peers where that is set; nil where
	// there is none that could be asked.
	Peer func(host string) *api.Client

	programs sync.WaitGroup // that Exec has started
	metrics  *metrics
	cloud    *cloud
}

// Listen makes the daemon's socket at path, which only its owner may use.
func Listen(path string) (net.Listener, error) {
	// A socket that a killed daemon left is nobody's: the caller holds the lock.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}

// Serve answers on ln, and other hosts on PeerListener, until ctx ends, and closes both.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	s.metrics = newMetrics(s.Lab)
	defer s.metrics.stop()
	s.cloud = newCloud(s)
	defer s.cloud.stop()
	s.cloud.resume()
	defer s.programs.Wait()
	if s.Peers != nil {
		s.Peers.lab.Store(s.Lab)
		s.Peer = s.Peers.reach
	}
	handler := s.logged(s.routes())
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var serving sync.WaitGroup
	var peersErr error
	if s.PeerListener != nil {
		serving.Go(func() {
			peersErr = s.servePeers(ctx, s.PeerListener, handler)
			stop(peersErr)
		})
	}
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	err := serveUntil(ctx, server, func() error { return server.Serve(ln) })
	stop(err)
	serving.Wait()
	return errors.Join(err, peersErr)
}

// serveUntil serves until ctx ends.
func serveUntil(ctx context.Context, server *http.Server, serve func() error) error {
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		// Streams end with ctx, so a short grace lets them say goodbye.
		grace, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if server.Shutdown(grace) != nil {
			server.Close()
		}
	})
	err := serve()
	if !stop() {
		<-stopped
		return nil
	}
	return err
}

func (s *Server) handover(w http.ResponseWriter, _ *http.Request) {
	h := s.Handover
	h.File, h.Source = s.Lab.File()
	h.Transition = s.Lab.Pace().Transition()
	if s.Logging != nil {
		h.Log = s.Logging.Now()
	}
	answer(w, h)
}

func (s *Server) explain(w http.ResponseWriter, r *http.Request) {
	explanation, err := s.Lab.Explain(r.FormValue("from"), r.FormValue("to"))
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	answer(w, explanation)
}

// status is everything about the lab or, with ?as=, what an account sees; with ?outline=true
// it has no counts of spaces. What other hosts know of it is from them.
func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	if account := r.URL.Query().Get("as"); account != "" {
		seen, err := s.Lab.StatusFor(account)
		if err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		answer(w, seen)
		return
	}
	outline := r.URL.Query().Get("outline") == "true"
	here, question := s.Lab.Status, (*api.Client).Status
	if outline {
		here, question = s.Lab.Outline, (*api.Client).Outline
	}
	if s.answersAlone(r) {
		answer(w, here())
		return
	}
	answer(w, merge(s.Peers, w, r, here,
		func(ctx context.Context, c *api.Client) (status.Lab, error) { return question(c, ctx) }, status.Merge))
}

func (s *Server) sessions(w http.ResponseWriter, r *http.Request) {
	if s.answersAlone(r) {
		answer(w, s.Lab.Sessions())
		return
	}
	answer(w, merge(s.Peers, w, r, s.Lab.Sessions, func(ctx context.Context, c *api.Client) ([]status.Session, error) {
		return c.Sessions(ctx)
	}, mergeSessions))
}

// do carries out an operation and answers with the event that tells of it.
func (s *Server) do(w http.ResponseWriter, r *http.Request) {
	var call api.Call
	if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	o, err := s.Lab.Plane().Plan().Unaliased(call.Operation)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	event, err := s.Lab.Do(r.Context(), o, call.Wait())
	s.Peers.tellRevision(w)
	if err != nil {
		refuse(w, http.StatusGatewayTimeout, err)
		return
	}
	answer(w, event)
}

// edit edits the topology and answers with what that changed, or would change.
func (s *Server) edit(w http.ResponseWriter, r *http.Request) {
	var call api.EditCall
	if err := json.NewDecoder(io.LimitReader(r.Body, topofile.MaxSize)).Decode(&call); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	began, machine := time.Now(), s.Lab.MachineTime()
	var made api.Edited
	edits, err := topofile.Unaliased(s.Lab.Plan(), call.Edits)
	switch {
	case err != nil:
	case call.DryRun:
		made.Changes, err = s.Lab.LookAtEdits(edits, call.If)
	default:
		editor := lab.Editor{By: call.By, Account: call.Account, Request: call.Request, If: call.If}
		made.Changes, err = s.Lab.EditBy(r.Context(), editor, edits, call.Wait())
	}
	s.Peers.tellRevision(w)
	if err != nil {
		refuse(w, http.StatusGatewayTimeout, err)
		return
	}
	w.Header().Set("Server-Timing", timing("total", time.Since(began))+", "+
		timing("machine", s.Lab.MachineTime()-machine))
	answer(w, made)
}

func (s *Server) edits(w http.ResponseWriter, r *http.Request) {
	warnings, err := s.Lab.Warnings()
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	answer(w, api.Edited{Changes: s.Lab.Edits(), Warnings: warnings})
}

// timing is a metric of a Server-Timing header (W3C, Server Timing, "The
// Server-Timing header field"), in milliseconds.
func timing(name string, d time.Duration) string {
	return fmt.Sprintf("%s;dur=%.3f", name, float64(d)/float64(time.Millisecond))
}

// events sends the kept events after ?since=, and with ?follow=1 every later
// one, until either side goes.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	since, _ := strconv.ParseUint(r.URL.Query().Get("since"), 10, 64)
	out := newStream(w)
	if r.URL.Query().Get("follow") == "" {
		for _, e := range s.Lab.Plane().Events(since) {
			out.send(e)
		}
		return
	}
	for e := range s.Lab.Plane().Subscribe(r.Context(), since) {
		out.send(e)
	}
}

// check runs the checks whose name ?only= matches, all without it, and with
// ?fail_fast=true none after one that failed.
func (s *Server) check(w http.ResponseWriter, r *http.Request) {
	var filter lab.CheckFilter
	if only := r.URL.Query().Get("only"); only != "" {
		var err error
		if filter.Only, err = regexp.Compile(only); err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
	}
	filter.FailFast = r.URL.Query().Get("fail_fast") == "true"
	filter.AsItIs = r.URL.Query().Get("as_it_is") == "true"
	text, err := io.ReadAll(io.LimitReader(r.Body, topofile.MaxSize))
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	out := newStream(w)
	send := func(result status.Check) { out.send(result) }
	if len(text) > 0 {
		err = s.Lab.CheckFile(r.Context(), text, filter, send)
	} else {
		err = s.Lab.CheckSome(r.Context(), filter, send)
	}
	if err != nil {
		out.send(toError(err))
	}
}

func (s *Server) export(w http.ResponseWriter, r *http.Request) {
	text, notes, err := s.Lab.Export()
	if err != nil {
		refuse(w, http.StatusConflict, err)
		return
	}
	answer(w, api.Exported{Text: string(text), Notes: notes})
}

// apply takes a whole topology file, in which problems are named by ?file=. With
// ?dry_run=1 it only says what that would change.
func (s *Server) apply(w http.ResponseWriter, r *http.Request) {
	plan, err := topofile.Read(r.URL.Query().Get("file"), r.Body)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	out := newStream(w)
	if r.URL.Query().Get("dry_run") != "" {
		changes, err := s.Lab.LookAtFile(plan)
		last := api.Progress{End: true, Changes: changes}
		if err != nil {
			last.Err = toError(err)
		}
		out.send(last)
		return
	}
	changed, err := s.Lab.Apply(r.Context(), plan, api.Seldom(func(done, total int, what string) {
		out.send(api.Progress{Done: done, Total: total, What: what})
	}))
	last := api.Progress{End: true, Changed: changed}
	if err != nil {
		last.Err = toError(err)
	}
	out.send(last)
}

// transition says how long states on the way last from now on.
func (s *Server) transition(w http.ResponseWriter, r *http.Request) {
	var t api.Transition
	if err := json.NewDecoder(r.Body).Decode(&t); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if err := s.Lab.Pace().SetTransition(time.Duration(t.Seconds * float64(time.Second))); err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// timeScale says how fast times pass from now on.
func (s *Server) timeScale(w http.ResponseWriter, r *http.Request) {
	var t api.TimeScale
	err := json.NewDecoder(r.Body).Decode(&t)
	if err == nil {
		err = s.Lab.Pace().SetTimeScale(t.Scale)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// restart starts the services of an instance again.
func (s *Server) restart(w http.ResponseWriter, r *http.Request) {
	var call api.Restart
	if err := json.NewDecoder(r.Body).Decode(&call); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	services, err := s.Lab.Restart(call.Instance)
	if err != nil {
		refuse(w, http.StatusConflict, err)
		return
	}
	answer(w, api.Restarted{Schema: status.Schema, Services: services})
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(value)
}

func refuse(w http.ResponseWriter, status int, err error) {
	var known *control.Error
	if errors.As(err, &known) {
		status = known.Code.Status()
	}
	if unsaved := (*lab.NotSavedError)(nil); errors.As(err, &unsaved) {
		status = http.StatusInsufficientStorage
	}
	if errors.As(err, new(*lab.NotLeadingError)) || errors.As(err, new(*lab.NoQuorumError)) {
		status = http.StatusServiceUnavailable
	}
	if errors.As(err, new(*lab.ConflictError)) {
		status = http.StatusConflict
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(toError(err))
}

func toError(err error) *api.Error {
	var known *control.Error
	if errors.As(err, &known) {
		refused := &api.Error{
			Text: known.Text, Hint: known.Hint, Remedies: known.Remedies, Code: string(known.Code), Word: known.Word,
			Kind: known.Kind, Name: known.Name,
		}
		if refused.Hint == "" && len(known.Known) > 0 {
			refused.Hint = "there is " + strings.Join(known.Known, ", ")
		}
		return refused
	}
	if passed, ok := err.(*api.Error); ok {
		return passed // another host has said so
	}
	out := &api.Error{Text: err.Error()}
	if known := (interface{ Hint() string })(nil); errors.As(err, &known) {
		out.Hint = known.Hint()
	}
	return out
}

// stream sends JSON values, one a line, each as soon as it is there.
type stream struct {
	encode *json.Encoder
	flush  func() error
}

func newStream(w http.ResponseWriter) stream {
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.WriteHeader(http.StatusOK)
	s := stream{json.NewEncoder(w), http.NewResponseController(w).Flush}
	s.flush()
	return s
}

// send has no error: a client that is gone ends the request's context.
func (s stream) send(value any) {
	if s.encode.Encode(value) == nil {
		s.flush()
	}
}
