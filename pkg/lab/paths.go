package lab

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// TransitSpace is the Space of a VPC of which parts are on other hosts.
type TransitSpace interface {
	// ListenTransit opens a UDP socket that hears what comes from other hosts by a device, and
	// nothing else. What it sends is as long as it is, or lost: nobody cuts it into fragments.
	ListenTransit(ctx context.Context, device, address string) (net.PacketConn, error)
}

// paths are the ways to the other hosts of a lab. Nothing runs of it where there are none.
type paths struct {
	*process
	observe func(control.Event)
	// changed is told why zones are not to be had, by zone, whenever that is different.
	changed func(lost map[string]string)

	telling sync.Mutex // held while a verdict is told, so that the last one is the last told

	mu      sync.Mutex
	running *transitProbe // nil: none
	silent  []string      // hosts that did not answer the last one that ran
}

// transitProbe asks the other hosts in one VPC.
type transitProbe struct {
	of       transitOf
	conn     net.PacketConn
	stop     context.CancelFunc
	work     sync.WaitGroup
	overhead int
	byAddr   map[netip.Addr]*hostPath // their state is guarded by paths.mu
	all      []*hostPath              // in the order of the file
	wake     map[*hostPath]chan struct{}
	judged   chan struct{} // closed when an answer came or is missing, and then another one; guarded by paths.mu
}

// transitOf is all that a transitProbe depends on.
type transitOf struct {
	vpc, namespace string
	mtu            int
	transit        topology.Transit
	hosts          []topology.Host
}

// transitOfPlan is where a slice of a plan is asked: in the VPC with the longest packets, of
// those the first by name, so that hosts choose the same one.
func transitOfPlan(slice *topology.Plan) (of transitOf, ok bool) {
	for i := range slice.VPCs {
		v := &slice.VPCs[i]
		if v.Transit == nil || len(v.Transit.Peers) == 0 {
			continue
		}
		if !ok || v.MTU > of.mtu || v.MTU == of.mtu && v.Name < of.vpc {
			of, ok = transitOf{v.Name, v.Namespace, v.MTU, *v.Transit, slice.Hosts}, true
		}
	}
	of.transit.Peers = slices.Clone(of.transit.Peers)
	for i := range of.transit.Peers {
		of.transit.Peers[i].Routes = nil // these change with what is there, and the way does not
	}
	return of, ok
}

// stopMissing stops what another plan does not have.
func (s *paths) stopMissing(slice *topology.Plan) {
	of, ok := transitOfPlan(slice)
	s.mu.Lock()
	running := s.running
	if running == nil || ok && reflect.DeepEqual(running.of, of) {
		s.mu.Unlock()
		return
	}
	s.running, s.silent = nil, nil
	for _, p := range running.all {
		if p.verdict() == status.PathLost {
			s.silent = append(s.silent, p.host.Host)
		}
	}
	s.mu.Unlock()
	running.close()
}

// start starts what a plan has, unless it runs.
func (s *paths) start(slice *topology.Plan) error {
	of, ok := transitOfPlan(slice)
	s.mu.Lock()
	running := s.running
	s.mu.Unlock()
	if !ok || running != nil {
		return nil
	}
	space, err := s.spaces.space(of.namespace)
	if err != nil {
		return err
	}
	transit, can := space.(TransitSpace)
	if !can {
		return nil // a machine that reaches no other host
	}
	at := netip.AddrPortFrom(of.transit.IP, of.transit.Port)
	ctx, cancel := context.WithCancel(s.ctx)
	conn, err := transit.ListenTransit(ctx, of.transit.Device, at.String())
	if err != nil {
		cancel()
		return fmt.Errorf("vpc %q: ask the other hosts: %w", of.vpc, err)
	}
	probe := &transitProbe{
		of: of, conn: conn, stop: cancel, overhead: topology.VXLANOverhead(of.transit.Local),
		byAddr: map[netip.Addr]*hostPath{}, wake: map[*hostPath]chan struct{}{}, judged: make(chan struct{}),
	}
	for _, peer := range of.transit.Peers {
		p := newPath(peer, of.mtu)
		if slices.Contains(s.silent, peer.Host) {
			p.small.state = isSilent // until it answers
		}
		probe.all = append(probe.all, p)
		probe.byAddr[peer.IP], probe.wake[p] = p, make(chan struct{}, 1)
	}
	s.mu.Lock()
	s.running = probe
	s.mu.Unlock()
	s.changed(s.lost())
	probe.work.Go(func() { s.listen(probe) })
	for _, p := range probe.all {
		probe.work.Go(func() { s.ask(ctx, probe, p) })
	}
	return nil
}

func (t *transitProbe) close() {
	t.stop()
	_ = t.conn.Close()
	t.work.Wait()
}

// ask asks one host until ctx ends.
func (s *paths) ask(ctx context.Context, t *transitProbe, p *hostPath) {
	buffer := make([]byte, 0, p.full)
	for {
		var questions []outgoing
		s.judge(t, p, func(now time.Time) { questions = p.ask(now, unguessable) })
		for _, q := range questions {
			t.send(q.append(buffer, q.size), p)
		}
		s.mu.Lock()
		pause := p.pause()
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		case <-t.wake[p]:
		}
	}
}

func (t *transitProbe) send(b []byte, p *hostPath) {
	// What cannot be sent is missing, as what was lost.
	_, _ = t.conn.WriteTo(b, net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.host.IP, t.of.transit.Port)))
}

func unguessable() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:])
}

// listen answers the other hosts, and hears their answers, until the socket is closed.
func (s *paths) listen(t *transitProbe) {
	buffer := make([]byte, t.of.mtu)
	for {
		n, from, err := t.conn.ReadFrom(buffer)
		if err != nil {
			if s.stopped(t) {
				return
			}
			select { // an error of the way, not of the socket; but never a busy loop
			case <-s.ctx.Done():
				return
			case <-time.After(pathPause / 10):
			}
			continue
		}
		s.hear(t, buffer[:n], from)
	}
}

// stopped says whether a probe is not the one that runs.
func (s *paths) stopped(t *transitProbe) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended() || s.running != t
}

// hear takes a datagram from anybody.
func (s *paths) hear(t *transitProbe, b []byte, from net.Addr) {
	udp, ok := from.(*net.UDPAddr)
	if !ok || udp.AddrPort().Port() != t.of.transit.Port {
		return
	}
	p := t.byAddr[udp.AddrPort().Addr().Unmap()]
	d, ok := parseDatagram(b)
	if p == nil || !ok {
		return
	}
	if d.kind != aQuestion {
		s.judge(t, p, func(now time.Time) { p.heard(d, len(b), now) })
		return
	}
	now := time.Now()
	s.mu.Lock()
	may := p.mayAnswer(now)
	p.theirs = d.number
	// One that asks is there: a host that was lost is asked without delay.
	again := p.verdict() == status.PathLost
	s.mu.Unlock()
	if !may {
		return
	}
	t.send(aDatagram{kind: anAnswer, number: d.number}.append(nil, min(int(d.answer), p.full)), p)
	if again {
		select {
		case t.wake[p] <- struct{}{}:
		default:
		}
	}
}

// judge does something that may change the verdict on a path, and tells of the change.
func (s *paths) judge(t *transitProbe, p *hostPath, do func(now time.Time)) {
	s.telling.Lock()
	defer s.telling.Unlock()
	now := time.Now()
	s.mu.Lock()
	before := p.verdict()
	why := p.lostText()
	do(now)
	after := p.verdict()
	if after != before {
		p.since = now
	}
	changed := after != before || after == status.PathLost && why != p.lostText()
	text := p.eventText(before, t.overhead)
	close(t.judged)
	t.judged = make(chan struct{})
	s.mu.Unlock()
	if changed && (before == status.PathLost || after == status.PathLost) {
		s.changed(s.lost())
	}
	if !changed || before == "" && after == status.PathOK {
		return // nothing has happened
	}
	s.observe(control.Event{Kind: control.KindHost, Name: p.host.Host, Verb: "path", From: before, To: after, Text: text})
}

// lost are the zones that are not to be had, and why.
func (s *paths) lost() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	zones := map[string]string{}
	if s.running == nil {
		return zones
	}
	for _, host := range s.running.of.hosts {
		p := s.running.to(host.Name)
		if p == nil || p.verdict() != status.PathLost {
			continue
		}
		for _, zone := range host.Zones {
			zones[zone] = p.lostText()
		}
	}
	return zones
}

// to is the path to a host, nil where there is none.
func (t *transitProbe) to(host string) *hostPath {
	for _, p := range t.all {
		if p.host.Host == host {
			return p
		}
	}
	return nil
}

// wait waits until every path was judged, or ctx ends.
func (s *paths) wait(ctx context.Context, progress Progress) {
	for said := false; ; said = true {
		s.mu.Lock()
		t := s.running
		if t == nil || !slices.ContainsFunc(t.all, func(p *hostPath) bool { return !p.settled() }) {
			s.mu.Unlock()
			return
		}
		judged := t.judged
		s.mu.Unlock()
		if !said {
			progress(0, 0, "ask the other hosts")
		}
		select {
		case <-judged:
		case <-ctx.Done():
			return
		}
	}
}

// addTo adds what is known of the paths to hosts.
func (s *paths) addTo(hosts []status.Host) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return
	}
	for i := range hosts {
		if p := s.running.to(hosts[i].Name); p != nil {
			hosts[i].Path, hosts[i].Text, hosts[i].Since = p.verdict(), p.text(s.running.overhead), p.since
		}
	}
}

// PathStats are the counters of the way to another host.
type PathStats struct {
	Host           string
	Answers        bool          // to short questions
	There, Back    bool          // packets that are as long as they get pass in this direction
	Asked, Missing uint64        // questions
	RoundTrip      time.Duration // of the last answer
}

func (s *paths) stats() (all []PathStats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return nil
	}
	for _, p := range s.running.all {
		answers := !p.gone && p.small.state == doesPass
		all = append(all, PathStats{
			Host: p.host.Host, Answers: answers, There: answers && p.there.state == doesPass, Back: answers && p.back.state == doesPass,
			Asked: p.sent, Missing: p.missing, RoundTrip: p.roundTrip,
		})
	}
	return all
}

// leave tells the other hosts that this one is taken down.
func (s *paths) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running == nil {
		return
	}
	for _, p := range s.running.all {
		s.running.send(aDatagram{kind: aGoodbye, number: p.theirs}.append(nil, smallest), p)
	}
}
