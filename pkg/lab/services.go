package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/plinksim/plinksim/internal/memo"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topology"
)

// service is one program that answers on an instance: built in and run on
// sockets in the instance's namespace, or a process of its own.
type service struct {
	stop func() // ends it and returns when it has ended
	// Of a program: whether it has ended by itself, and whether it runs or will be
	// started again. Both are nil of what is built in.
	hasEnded, hasFuture func() bool

	mu    sync.Mutex
	state string
}

func (s *service) set(state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
}

// What a built-in service is.
const (
	listening = "listening"
	full      = "full: no descriptors for more clients"
)

// lacks says whether clients wait.
func (s *service) lacks(descriptors bool) {
	if descriptors {
		s.set(full)
	} else {
		s.set(listening)
	}
}

// State is what people read: listening, running, or how it ended.
func (s *service) State() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// serviceSpec is a service with the instance that it is on.
type serviceSpec struct {
	instance topology.Instance
	topology.InstanceService
}

// keyedService is a service with its key.
type keyedService struct {
	serviceSpec
	at string
}

// servicesOf are those of instances that are switched on.
func servicesOf(instances []topology.Instance) (specs []*keyedService) {
	for i := range instances {
		for _, s := range instances[i].Services {
			if spec := (serviceSpec{instances[i], s}); !instances[i].Stopped {
				specs = append(specs, &keyedService{spec, spec.key()})
			}
		}
	}
	return specs
}

// String is the service as people write it.
func (s serviceSpec) String() string {
	if s.Kind == topology.CommandService {
		return fmt.Sprintf("command %q", s.Argv[0])
	}
	return fmt.Sprintf("%s %d", s.Kind, s.Port)
}

// bodyFor is what a client gets, a line.
func (s serviceSpec) bodyFor(client peer) string { return client.fill(s.Body) + "\n" }

// key tells services apart over changes of the file.
func (s serviceSpec) key() string {
	text := append(append(make([]byte, 0, 128), s.instance.Namespace...), ' ')
	text = append(append(append(s.instance.IP.AppendTo(text), ' '), s.Kind...), ' ')
	text = strconv.AppendQuote(append(strconv.AppendInt(text, int64(s.Port), 10), ' '), s.Body)
	if len(s.Argv) > 0 {
		text = fmt.Appendf(text, " %q", s.Argv)
	} else {
		text = append(text, " []"...)
	}
	key := string(text)
	if s.ProxyProtocol {
		key += " proxy_protocol"
	}
	if s.Kind != topology.CommandService || len(s.instance.Env) == 0 && s.Restart == "" {
		return key // as earlier versions know the programs that they have started
	}
	return fmt.Sprintf("%s %q %s", key, s.instance.Env, s.Restart)
}

// services are the programs that answer on instances.
type services struct {
	*process
	running running[*service]
	observe func(control.Event)

	// Guarded by the lab's transition.
	vpcs  []topology.VPC  // of the plan that was looked at last
	specs []*keyedService // of these
	byVPC memo.Of[[]topology.Instance, []*keyedService]
}

// of are those of a plan, in the order of its file. Those of VPCs that are as they were are
// not made again.
func (s *services) of(plan *topology.Plan) []*keyedService {
	if memo.Identical(&s.vpcs, &plan.VPCs) {
		return s.specs
	}
	s.byVPC.Begin()
	s.vpcs, s.specs = plan.VPCs, nil
	for i := range plan.VPCs {
		s.specs = append(s.specs, s.byVPC.Get(plan.VPCs[i].Name, plan.VPCs[i].Instances, servicesOf)...)
	}
	return s.specs
}

// stopMissing stops those that plan does not have.
func (s *services) stopMissing(plan *topology.Plan) {
	keep := map[string]bool{}
	for _, spec := range s.of(plan) {
		keep[spec.at] = true
	}
	s.stopOthers(keep)
}

func (s *services) stopOthers(keep map[string]bool) {
	var ending sync.WaitGroup
	for _, gone := range s.running.removeOthers(keep) {
		ending.Go(gone.stop) // a program may take its time
	}
	ending.Wait()
}

// endOthers ends the programs of an earlier process that plan does not have.
func (s *services) endOthers(plan *topology.Plan) error {
	keeper, ok := s.spaces.machine.(ProgramKeeper)
	if !ok {
		return nil
	}
	keep := map[string]bool{}
	for _, spec := range s.of(plan) {
		keep[spec.at] = true
	}
	return keeper.EndOthers(func(name string) bool { return keep[name] })
}

// start starts those of plan that do not run.
func (s *services) start(plan *topology.Plan) error {
	for _, spec := range s.of(plan) {
		if s.running.get(spec.at) != nil {
			continue
		}
		running, err := s.startOne(plan, spec.serviceSpec)
		if err != nil {
			return fmt.Errorf("instance %q: service %s: %w", plan.ShortName(spec.instance), spec, err)
		}
		s.running.put(spec.at, running)
	}
	return nil
}

func (s *services) startOne(plan *topology.Plan, spec serviceSpec) (*service, error) {
	space, err := s.spaces.space(spec.instance.Namespace)
	if err != nil {
		return nil, err
	}
	if spec.Kind != topology.CommandService {
		return startBuiltIn(s.ctx, space, s.room, spec)
	}
	name := plan.ShortName(spec.instance)
	return startCommand(space, filepath.Dir(plan.File), spec, func(verb control.Verb, what string) {
		event := control.Event{Kind: "program", Name: name, Verb: verb, From: "exited", To: "running"}
		if verb == "end" {
			event.From, event.To = event.To, event.From
		}
		event.Text = fmt.Sprintf("%s of instance %s %s", spec, name, what)
		s.observe(event)
	})
}

// runsProgram says whether a program of an instance runs, or will be started again.
func (s *services) runsProgram(plan *topology.Plan, ref string) bool {
	in, err := plan.Instance(ref)
	if err != nil || in.Stopped {
		return false
	}
	return slices.ContainsFunc(in.Services, func(spec topology.InstanceService) bool {
		running := s.running.get(serviceSpec{*in, spec}.key())
		return running != nil && running.hasFuture != nil && running.hasFuture()
	})
}

// startEnded starts those of plan again that have ended by themselves.
func (s *services) startEnded(plan *topology.Plan, progress Progress) error {
	var errs []error
	for _, spec := range s.of(plan) {
		ended := s.running.get(spec.at)
		if ended == nil || ended.hasEnded == nil || !ended.hasEnded() {
			continue
		}
		progress(0, 0, fmt.Sprintf("start %s of instance %s again, which had %s", spec, plan.ShortName(spec.instance), ended.State()))
		errs = append(errs, s.restart(plan, []*keyedService{spec}))
	}
	return errors.Join(errs...)
}

// restart ends services and starts them again. What cannot be started is tried again
// with the next change of the lab.
func (s *services) restart(plan *topology.Plan, specs []*keyedService) error {
	keep := map[string]bool{}
	for key := range s.running.all() {
		keep[key] = true
	}
	for _, spec := range specs {
		delete(keep, spec.at)
	}
	s.stopOthers(keep)
	return s.start(plan)
}

// startBuiltIn returns when the service listens.
func startBuiltIn(ctx context.Context, space Space, room *room, spec serviceSpec) (*service, error) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	s := &service{state: listening, stop: func() { cancel(); running.Wait() }}
	address := ":" + strconv.Itoa(int(spec.Port))
	serve := func(f func()) { running.Go(f) }

	if slices.Contains(spec.Kind.Transports(), topology.TCP) {
		ln, err := space.Listen(ctx, "tcp", address)
		if err != nil {
			s.stop()
			return nil, err
		}
		ln = &patientListener{Listener: ln, ctx: ctx, room: room, vpc: spec.instance.VPC, lacks: s.lacks}
		if spec.ProxyProtocol {
			ln = readsHeaders(ln)
		}
		switch spec.Kind {
		case topology.HTTPService:
			serve(func() { serveHTTP(ln, spec) })
		case topology.TCPService:
			serve(func() {
				serveTCP(ctx, ln, func(c net.Conn) { io.WriteString(c, spec.bodyFor(peerOf(c))) })
			})
		case topology.EchoService:
			serve(func() { serveTCP(ctx, ln, echo) })
		}
	}
	if slices.Contains(spec.Kind.Transports(), topology.UDP) {
		pc, err := space.ListenPacket(ctx, "udp", address)
		if err != nil {
			s.stop()
			return nil, err
		}
		answer := func(request []byte, _ net.Addr) []byte { return request }
		if spec.Kind == topology.UDPService {
			answer = func(_ []byte, from net.Addr) []byte { return []byte(spec.bodyFor(peer{from: from})) }
		}
		serve(func() { serveUDP(ctx, pc, answer) })
	}
	return s, nil
}

// echo sends back what comes, and before that what a PROXY header says. Without the kernel's splice, which would take a pipe,
// a connection is one descriptor.
func echo(c net.Conn) {
	if lines := peerOf(c).lines(); len(lines) > 0 {
		io.WriteString(c, strings.Join(lines, " ")+"\n")
	}
	io.CopyBuffer(struct{ io.Writer }{c}, struct{ io.Reader }{c}, make([]byte, 8<<10))
}

// serveHTTP answers / with the body, /who with what the server sees of the
// client, and /bytes/N with N bytes that are the same at every call.
func serveHTTP(ln net.Listener, spec serviceSpec) {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		io.WriteString(w, spec.bodyFor(clientOf(r)))
	})
	mux.HandleFunc("/who", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "server %s\nlocal %s\nclient %s\n",
			spec.instance.Name, r.Context().Value(http.LocalAddrContextKey), clientOf(r).from)
		for _, line := range clientOf(r).lines() {
			fmt.Fprintln(w, line)
		}
		for _, h := range []string{"X-Forwarded-For", "X-Forwarded-Proto"} {
			if v := r.Header.Get(h); v != "" {
				fmt.Fprintf(w, "%s %s\n", strings.ToLower(h), v)
			}
		}
	})
	mux.HandleFunc("/bytes/{n}", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.ParseInt(r.PathValue("n"), 10, 64)
		if err != nil || n < 0 {
			http.Error(w, "want /bytes/N with N a number of bytes", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
		io.CopyN(w, Bytes(), n)
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 30 * time.Second, ConnContext: withConn}
	defer server.Close() // what clients have open
	server.Serve(ln)
}

type connKey struct{}

func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// clientOf is who has sent a request.
func clientOf(r *http.Request) peer { return peerOf(r.Context().Value(connKey{}).(net.Conn)) }

// Bytes is the endless stream of which the built-in http service's /bytes/N
// gives the first N: it looks random and is the same every time, so that a
// receiver can know the hash beforehand.
func Bytes() io.Reader {
	return rand.NewChaCha8([32]byte{'p', 'l', 'i', 'n', 'k', 's', 'i', 'm'})
}

// serveTCP accepts until ctx ends, and then closes what is still open.
func serveTCP(ctx context.Context, ln net.Listener, handle func(net.Conn)) {
	var open sync.WaitGroup
	defer open.Wait()
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		open.Go(func() {
			cut := context.AfterFunc(ctx, func() { conn.Close() })
			defer cut()
			defer conn.Close()
			handle(conn)
		})
	}
}

func serveUDP(ctx context.Context, pc net.PacketConn, answer func(request []byte, from net.Addr) []byte) {
	stop := context.AfterFunc(ctx, func() { pc.Close() })
	defer stop()
	buf := make([]byte, 65535)
	for {
		n, from, err := pc.ReadFrom(buf)
		if err != nil && (ctx.Err() != nil || errors.Is(err, net.ErrClosed)) {
			return
		}
		if err == nil {
			pc.WriteTo(answer(buf[:n], from), from)
		}
	}
}
