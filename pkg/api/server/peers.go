package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/peer"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// How long others may take.
const (
	// mergeWithin is how long a host has for its part of an answer.
	mergeWithin = 2 * time.Second
	// doneWithin is how long a host may take to begin an answer, beside what the request
	// itself wants to wait for. A client of this daemon waits longer.
	doneWithin = 8 * time.Second
	// leaderWithin is how long a request waits for a host that leads.
	leaderWithin = lab.RefusedWithin
	// leaderLook is how often it looks for one.
	leaderLook = 50 * time.Millisecond
)

// Peers are the other hosts of a lab, to the daemon of one of them.
type Peers struct {
	Credentials *peer.Credentials
	// Agreement is where the hosts agree on the lab; nil: they have no control plane.
	Agreement lab.Agreement

	lab atomic.Pointer[lab.Lab] // that is served
}

// Listen listens where other hosts ask a host of the plan.
func (p *Peers) Listen(plan *topology.Plan) (net.Listener, error) {
	at, err := addressOf(plan, p.Credentials.Host)
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", at.String())
	if err != nil {
		return nil, fmt.Errorf("listen for other hosts: %w", err)
	}
	return ln, nil
}

func addressOf(plan *topology.Plan, host string) (netip.AddrPort, error) {
	h, err := plan.Host(host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.AddrPortFrom(h.Address, plan.Underlay.Port), nil
}

// servePeers answers other hosts on ln until ctx ends, and closes it.
func (s *Server) servePeers(ctx context.Context, ln net.Listener, handler http.Handler) error {
	isHost := func(name string) bool { _, err := s.Lab.Plan().Host(name); return err == nil }
	server := &http.Server{
		Handler: handler, TLSConfig: s.Peers.Credentials.Server(isHost),
		ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 30 * time.Second, // of the handshake, too
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	if s.Log != nil {
		server.ErrorLog = slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn)
	}
	return serveUntil(ctx, server, func() error { return server.ServeTLS(ln, "", "") })
}

var errForPeers = errors.New("only another host of the lab asks for this")

// fromPeer does what another host asks for.
func (s *Server) fromPeer(w http.ResponseWriter, r *http.Request, to route) {
	name, here := peer.Name(r.TLS), s.Lab.Plan().Name
	switch meant := r.Header.Get(api.PeerHeader); {
	case meant != here:
		refuse(w, http.StatusMisdirectedRequest, fmt.Errorf("host %q answers for lab %q here, and not for lab %q",
			s.Peers.Credentials.Host, here, meant))
	case to.whose == own:
		refuse(w, http.StatusForbidden, fmt.Errorf("host %q may not ask host %q for this: only who is on it may",
			name, s.Peers.Credentials.Host))
	default:
		to.handle(w, r)
	}
}

// client asks another host.
func (p *Peers) client(host string) (*api.Client, error) {
	plan := p.lab.Load().Plan()
	at, err := addressOf(plan, host)
	if err != nil {
		return nil, err
	}
	return api.NewPeerClient(plan.Name, host, at, p.Credentials.Client(host)), nil
}

// reach asks another host. Where the topology has no such host, every call says so.
func (p *Peers) reach(host string) *api.Client {
	c, err := p.client(host)
	if err != nil {
		return api.NewPeerClient(p.lab.Load().Plan().Name, host, netip.AddrPort{}, p.Credentials.Client(host))
	}
	return c
}

// others are the other hosts, in the order of the file.
func (p *Peers) others() []string {
	return slices.DeleteFunc(p.lab.Load().Plan().NamesOfHosts(), func(h string) bool { return h == p.Credentials.Host })
}

// RunCheck runs a check on another host: see lab.Remote.
func (p *Peers) RunCheck(ctx context.Context, host string, file []byte, number int) (status.Check, error) {
	c, err := p.client(host)
	if err != nil {
		return status.Check{}, err
	}
	return c.CheckOne(ctx, file, number)
}

// checkOne runs one check of an instance here.
func (s *Server) checkOne(w http.ResponseWriter, r *http.Request) {
	number, err := strconv.Atoi(r.URL.Query().Get("number"))
	var text []byte
	if err == nil {
		text, err = io.ReadAll(io.LimitReader(r.Body, topofile.MaxSize))
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if len(text) == 0 {
		text = nil
	}
	// A check takes any time, so that the answer begins before it.
	out := newStream(w)
	check, err := lab.RunCheckHere(r.Context(), s.Lab, text, number)
	line := api.CheckLine{Check: check}
	if err != nil {
		line.Error = *toError(err)
	}
	out.send(line)
}

// pass lets another host do what a request asks for, and gives its answer on as it comes.
// Where none comes, whatIf says what is known of what was asked for.
func (p *Peers) pass(w http.ResponseWriter, r *http.Request, host string, within time.Duration, whatIf func(error) error) {
	c, err := p.client(host)
	if err != nil {
		refuse(w, http.StatusBadGateway, err)
		return
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	late := time.AfterFunc(within, func() { cancel(fmt.Errorf("nothing came for %s", within)) })
	defer late.Stop()
	proxy := httputil.ReverseProxy{
		Transport: c,
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.SetURL(&url.URL{Scheme: "http", Host: "plinksim"})
		},
		FlushInterval: -1,
		ModifyResponse: func(resp *http.Response) error {
			late.Stop()
			p.awaitRevision(ctx, resp.Header)
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			refuse(w, http.StatusBadGateway, whatIf(silentError(host, err)))
		},
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // a client or a host that went
	}
	proxy.ServeHTTP(w, r.WithContext(ctx))
}

// silentError is a host that does not answer.
func silentError(host string, err error) error {
	return fmt.Errorf("host %q: its daemon does not answer: %w", host, err)
}

// maxBody is more than any request may have: whoever does it says that.
const maxBody = max(topofile.MaxSize, 4<<20) + 1

// bodyOf reads a request's body, and puts it back.
func bodyOf(r *http.Request) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	r.Body = io.NopCloser(bytes.NewReader(text))
	return text, err
}

// atLeader lets the host do it that leads.
func (p *Peers) atLeader(w http.ResponseWriter, r *http.Request, here http.HandlerFunc) {
	if p.Agreement == nil {
		here(w, r)
		return
	}
	text, err := bodyOf(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	leader, err := p.leader(r.Context())
	switch {
	case err != nil:
		refuse(w, http.StatusServiceUnavailable, err)
	case leader == p.Credentials.Host:
		here(w, r)
	default:
		var call api.Call
		_ = json.Unmarshal(text, &call) // what has no such key waits for nothing
		p.pass(w, r, leader, doneWithin+call.Wait(), api.Unanswered)
	}
}

// leader waits a little for a host that leads.
func (p *Peers) leader(ctx context.Context) (string, error) {
	look := time.NewTicker(leaderLook)
	defer look.Stop()
	give := time.After(leaderWithin - leaderLook)
	for {
		leader, silent := p.Agreement.Leader(), p.Agreement.Silent()
		if !silent.IsZero() {
			record, _ := p.Agreement.Now()
			return "", &lab.NoQuorumError{Revision: record.Revision, Since: silent}
		}
		if leader != "" {
			return leader, nil
		}
		select {
		case <-look.C:
		case <-give:
			return "", &lab.NotLeadingError{Host: p.Credentials.Host}
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// tellRevision says with the answer to a change which revision it has made. It may be asked of
// a host without others.
func (p *Peers) tellRevision(w http.ResponseWriter) {
	if p == nil || p.Agreement == nil {
		return
	}
	if record, ok := p.Agreement.Now(); ok {
		w.Header().Set(api.RevisionHeader, strconv.FormatInt(record.Revision, 10))
	}
}

// awaitRevision waits a little until the revision that another host speaks of is in force here,
// so that who asks here next sees it.
func (p *Peers) awaitRevision(ctx context.Context, header http.Header) {
	revision, err := strconv.ParseInt(header.Get(api.RevisionHeader), 10, 64)
	if err != nil || p.Agreement == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, mergeWithin)
	defer cancel()
	look := time.NewTicker(leaderLook / 10)
	defer look.Stop()
	for p.Agreement.Hosts()[p.Credentials.Host].Applied < revision && ctx.Err() == nil {
		select {
		case <-look.C:
		case <-ctx.Done():
		}
	}
}

// leading changes the lab on the host that leads, for the APIs of clouds.
type leading struct {
	*Peers
	lab *lab.Lab
}

// Do implements cloudapi.Changer.
func (l leading) Do(ctx context.Context, o topology.Operation, wait time.Duration) (control.Event, error) {
	there, err := l.client(ctx)
	if err != nil || there == nil {
		return onOne(err, func() (control.Event, error) { return l.lab.Do(ctx, o, wait) })
	}
	event, err := there.Do(ctx, api.Call{Operation: o, WaitSeconds: wait.Seconds()})
	return event, fromError(err)
}

// EditBy implements cloudapi.Changer.
func (l leading) EditBy(ctx context.Context, editor lab.Editor, edits []topology.Edit, wait time.Duration) (
	[]topology.Change, error) {
	there, err := l.client(ctx)
	if err != nil || there == nil {
		return onOne(err, func() ([]topology.Change, error) { return l.lab.EditBy(ctx, editor, edits, wait) })
	}
	made, err := there.Edit(ctx, api.EditCall{
		Edits: edits, WaitSeconds: wait.Seconds(), By: editor.By, Account: editor.Account, Request: editor.Request, If: editor.If,
	})
	return made, fromError(err)
}

// client asks the host that leads; nil where that is this one, or hosts have no control plane.
func (l leading) client(ctx context.Context) (*api.Client, error) {
	if l.Agreement == nil {
		return nil, nil
	}
	leader, err := l.leader(ctx)
	if err != nil || leader == l.Credentials.Host {
		return nil, err
	}
	there, err := l.Peers.client(leader)
	if err != nil {
		return nil, err
	}
	return there.Telling(func(h http.Header) { l.awaitRevision(ctx, h) }), nil
}

func onOne[T any](err error, here func() (T, error)) (out T, _ error) {
	if err != nil {
		return out, err
	}
	return here()
}

// fromError is the refusal that another host's answer is, the reverse of toError.
func fromError(err error) error {
	var refused *api.Error
	if !errors.As(err, &refused) || refused.Code == "" {
		return err
	}
	return &control.Error{
		Code: topology.Refusal(refused.Code), Kind: refused.Kind, Name: refused.Name, Text: refused.Text, Hint: refused.Hint,
		Remedies: refused.Remedies, Word: refused.Word,
	}
}

// atInstance lets the host do it that the instance of the request is on. What names none, or
// one that is not there, is done here.
func (p *Peers) atInstance(w http.ResponseWriter, r *http.Request, here http.HandlerFunc) {
	name := r.URL.Query().Get("from")
	if r.Method == http.MethodPost {
		text, err := bodyOf(r)
		if err != nil {
			refuse(w, http.StatusBadRequest, err)
			return
		}
		var call api.Restart
		_ = json.Unmarshal(text, &call) // the handler says what is wrong
		name = call.Instance
	}
	plan := p.lab.Load().Plan()
	if instance, err := plan.Instance(name); err == nil {
		if host := plan.HostOf(instance.Zone); host != nil && host.Name != p.Credentials.Host {
			p.pass(w, r, host.Name, doneWithin, func(err error) error { return err })
			return
		}
	}
	here(w, r)
}

// everywhere does it here and then on all other hosts. It answers what came here, or who did
// not do it.
func (p *Peers) everywhere(w http.ResponseWriter, r *http.Request, here http.HandlerFunc) {
	text, err := bodyOf(r)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	kept := &keptAnswer{header: http.Header{}}
	here(kept, r)
	if kept.status >= 300 {
		kept.give(w)
		return
	}
	done := []string{p.Credentials.Host}
	_, failed := ask(r.Context(), p, doneWithin, func(ctx context.Context, c *api.Client) (struct{}, error) {
		return struct{}{}, c.Repeat(ctx, r.Method, r.URL.RequestURI(), text)
	})
	if len(failed) == 0 {
		kept.give(w)
		return
	}
	var wrong []string
	for _, host := range p.others() {
		if err := failed[host]; err != nil {
			wrong = append(wrong, err.Error())
		} else {
			done = append(done, host)
		}
	}
	refuse(w, http.StatusBadGateway, &partlyError{done, wrong})
}

// partlyError says that not all hosts have done something.
type partlyError struct{ done, wrong []string }

func (e *partlyError) Error() string {
	return fmt.Sprintf("it is done on host %s, and not everywhere: %s", spell.List(e.done), spell.List(e.wrong))
}

// Hint is what to do about it.
func (e *partlyError) Hint() string { return "give the command again when all hosts answer" }

// keptAnswer is an answer that is not given yet.
type keptAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (k *keptAnswer) Header() http.Header { return k.header }

func (k *keptAnswer) WriteHeader(status int) {
	if k.status == 0 {
		k.status = status
	}
}

func (k *keptAnswer) Write(text []byte) (int, error) {
	k.WriteHeader(http.StatusOK)
	return k.body.Write(text)
}

func (k *keptAnswer) give(w http.ResponseWriter) {
	maps.Copy(w.Header(), k.header)
	w.WriteHeader(max(k.status, http.StatusOK))
	w.Write(k.body.Bytes())
}

// ask asks all other hosts at once, each for so long. What they answered and why others did
// not is by their names.
func ask[T any](ctx context.Context, p *Peers, within time.Duration,
	question func(context.Context, *api.Client) (T, error)) (answers map[string]T, failed map[string]error) {
	var mu sync.Mutex
	var all sync.WaitGroup
	answers, failed = map[string]T{}, map[string]error{}
	for _, host := range p.others() {
		all.Go(func() {
			ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("nothing came for %s", within))
			defer cancel()
			c, err := p.client(host)
			var answer T
			if err == nil {
				answer, err = question(ctx, c)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed[host] = err
			} else {
				answers[host] = answer
			}
		})
	}
	all.Wait()
	return answers, failed
}
