package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/lab"
)

// metrics is where the server answers /metrics and /healthz beside its socket.
type metrics struct {
	handler  http.Handler
	problems func() []string

	mu      sync.Mutex
	asked   string
	at      string // what it became
	server  *http.Server
	stopped bool
}

func newMetrics(l *lab.Lab) *metrics {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collector{l.Metrics},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return &metrics{
		handler:  promhttp.HandlerFor(registry, promhttp.HandlerOpts{}),
		problems: l.Problems,
	}
}

func (m *metrics) move(w http.ResponseWriter, r *http.Request) {
	var asked api.MetricsAddress
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	at, err := m.listen(asked.Address)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	answer(w, api.MetricsAddress{Address: at})
}

// listen starts at the new address before it stops at the old one.
func (m *metrics) listen(address string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped {
		return "", errors.New("the lab is just being taken down")
	}
	if m.server != nil && (address == m.asked || address == m.at) {
		return m.at, nil
	}
	ln, err := api.ListenMetrics(address)
	if err != nil {
		return "", err
	}
	m.closeLocked()
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m.handler)
	mux.HandleFunc("GET /healthz", m.health)
	m.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 16 << 10}
	m.asked, m.at = address, ln.Addr().String()
	go m.server.Serve(ln)
	return m.at, nil
}

// health answers 200 and "ok", or 503 and what is wrong with the lab itself. What is
// wrong with servers and connections of the topology is for its metrics.
func (m *metrics) health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	problems := m.problems()
	if len(problems) == 0 {
		fmt.Fprintln(w, "ok")
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	fmt.Fprintln(w, strings.Join(problems, "\n"))
}

// stop ends it for good.
func (m *metrics) stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopped = true
	m.closeLocked()
}

func (m *metrics) closeLocked() {
	if m.server != nil {
		m.server.Close()
		m.server = nil
	}
}

// collector reads the lab's counters when somebody asks.
type collector struct{ read func() lab.Metrics }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("plinksim_"+name, help, labels, nil)
}

// linkDesc is a metric of a link, by what the link carries and by more labels.
func linkDesc(name, help string, more ...string) *prometheus.Desc {
	return desc(name, help, append([]string{"link", "endpoint", "zone", "protocol", "port"}, more...)...)
}

var (
	descProblems = desc("lab_problems", "Problems of the lab itself, as its status has them; 0 is well.")

	descInfo    = desc("lab_info", "The lab that runs; always 1.", "lab", "cloud", "region")
	descStarted = desc("lab_start_time_seconds", "When the lab came up, in seconds since 1970.")

	descENIFrames = desc("eni_frames_total", "Frames that an ENI received or sent; a superframe is one.",
		"eni", "direction")
	descENIBytes = desc("eni_bytes_total", "Bytes of the frames that an ENI received or sent, with Ethernet headers.",
		"eni", "direction")

	descENICrowded = desc("eni_crowded_frames_total",
		"Frames of an ENI that were dropped as too many of it, or of their source, were waiting.", "eni")

	descLinkPackets  = linkDesc("link_packets_total", "Frames that a link forwarded; a superframe is one.", "direction")
	descLinkBytes    = linkDesc("link_bytes_total", "Bytes of the IP packets that a link forwarded.", "direction")
	descLinkSegments = linkDesc("link_segments_total",
		"Packets that a link forwarded, with superframes counted as what they are cut into.")
	descLinkSuperframes = linkDesc("link_superframes_total", "Superframes that a link forwarded.")
	descLinkSessions    = linkDesc("link_sessions", "Sessions of a link; each holds one NAT port.")
	descLinkOpened      = linkDesc("link_sessions_opened_total", "Sessions that a link has opened.")
	descLinkEvicted     = linkDesc("link_sessions_evicted_total",
		"Half-open sessions of a link that gave way to others.")
	descLinkVerdicts = linkDesc("link_verdicts_total",
		"Packets of a link by what became of them; all but Forwarded are drops.", "verdict")

	descVerdicts   = desc("verdicts_total", "Packets by what became of them; all but Forwarded are drops.", "verdict")
	descSessions   = desc("sessions", "Sessions in the table.")
	descHalfOpen   = desc("sessions_half_open", "TCP sessions that the consumer has not confirmed.")
	descTableBytes = desc("session_table_bytes", "Memory that is reserved for sessions.")
	descUnsent     = desc("table_unsent_frames_total",
		"Frames that the session table wanted to send and had no room for.")

	descPortsInUse = desc("nat_ports_in_use",
		"NAT ports of a NAT IP that sessions to a target hold; of the hundred NAT IPs and targets with most of them.", "eni", "nat_ip", "protocol", "target")
	descPortsLimit = desc("nat_ports_limit", "NAT ports that a NAT IP has for a target.",
		"eni", "nat_ip", "protocol", "target")

	descWorkerFrames = desc("worker_frames_total", "Frames that a worker received or sent.", "worker", "direction")
	descWorkerBytes  = desc("worker_bytes_total", "Bytes of the frames that a worker received or sent.",
		"worker", "direction")
	descWorkerSuperframes = desc("worker_superframes_total", "Superframes that a worker received.", "worker")
	descWorkerDropped     = desc("worker_dropped_frames_total",
		"Frames that a worker's driver lost: no slot in the ring, no whole copy, too many of its sender, not sent, from no ENI, or no room where it was handed over to.", "worker", "reason")

	descWorkerSessions = desc("worker_sessions", "Sessions in a worker's table.", "worker")
	descWorkerHanded   = desc("worker_handed_over_frames_total",
		"Frames that a worker received and another one's session was of.", "worker")

	descCacheSessions = desc("flow_cache_sessions", "Sessions that have a place in the flow cache.")
	descCacheRoom     = desc("flow_cache_max_sessions", "Sessions that the flow cache has room for.")
	descCacheAdded    = desc("flow_cache_sessions_added_total", "Sessions that got a place in the flow cache.")
	descCacheRefused  = desc("flow_cache_sessions_refused_total", "Sessions that the flow cache had no room for.")
	descCacheFrames   = desc("flow_cache_frames_total", "Frames that the kernel forwarded; a superframe is one.")
	descCacheBytes    = desc("flow_cache_bytes_total", "Bytes of the IP packets that the kernel forwarded.")

	descShapedDropped = desc("shaping_dropped_frames_total",
		"Frames that shaping and faults dropped.", "endpoint", "direction", "reason")
	descShapedWaiting = desc("shaping_waiting_frames", "Frames that wait for their time.", "endpoint", "direction")
	descFaultDropped  = desc("fault_dropped_frames_total",
		"Frames dropped from and to ENIs that are down or blackholes.", "reason")

	descARP = desc("arp_frames_total", "ARP frames and neighbour solicitations, answered or ignored.", "result")

	descConnected = desc("connection_connected", "Whether the connection of an endpoint is connected.",
		"service", "endpoint")
	descHealthy = desc("server_healthy", "Whether a server passes its health checks.",
		"group", "instance", "address")
	descServerLoad = desc("server_sessions", "Sessions that began through the server group and have not ended.",
		"group", "instance", "address")
	descChecks       = desc("server_checks_total", "Health checks of a server.", "group", "instance", "address")
	descChecksFailed = desc("server_failed_checks_total",
		"Health checks of a server that failed.", "group", "instance", "address")

	descHostAnswers = desc("host_answers", "Whether another host of the lab answers over the VXLAN.", "host")
	descHostPasses  = desc("host_long_packets_pass",
		"Whether packets that are as long as they get pass, to another host and from there.", "host", "direction")
	descHostAsked   = desc("host_questions_total", "Questions to another host whether it is there.", "host")
	descHostMissing = desc("host_missing_answers_total", "Questions to another host that got no answer in time.", "host")
	descHostTime    = desc("host_round_trip_seconds", "How long the last answer of another host took.", "host")

	descDNSMessages  = desc("dns_messages_total", "Messages that a VPC's resolver got.", "vpc", "transport")
	descDNSAnswers   = desc("dns_answers_total", "Answers of a VPC's resolver by their code.", "vpc", "rcode")
	descDNSTruncated = desc("dns_truncated_answers_total", "Answers that did not fit a UDP message.", "vpc")
	descDNSUpstream  = desc("dns_upstream_questions_total",
		"Questions to the upstreams of a VPC's resolver.", "vpc", "result")
	descDNSCached = desc("dns_cached_answers_total",
		"Answers of a VPC's resolver that an upstream had given before.", "vpc")
	descDNSUnanswered = desc("dns_unanswered_messages_total", "Messages to a VPC's resolver that got no answer.", "vpc")
)

// Describe says nothing: what there is depends on the topology.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	m := c.read()
	to := emitter{out}
	to.gauge(descInfo, 1, m.Lab, m.Cloud, m.Region)
	to.gauge(descProblems, float64(len(m.Problems)))
	to.gauge(descStarted, float64(m.Started.UnixMilli())/1000)
	for eni, s := range m.ENIs {
		to.count(descENIFrames, s.FramesReceived, eni, "received")
		to.count(descENIFrames, s.FramesSent, eni, "sent")
		to.count(descENIBytes, s.BytesReceived, eni, "received")
		to.count(descENIBytes, s.BytesSent, eni, "sent")
		to.count(descENICrowded, s.FramesCrowded, eni)
	}
	to.table(m.Engine.Table)
	for _, l := range m.Engine.Table.Links {
		to.link(l, m.Links[l.Name])
	}
	for _, use := range m.NATPorts {
		labels := []string{use.ENI, use.NATIP.String(), use.Protocol, use.Target.String()}
		to.gauge(descPortsInUse, float64(use.InUse), labels...)
		to.gauge(descPortsLimit, float64(use.Limit), labels...)
	}
	to.flowCache(m.FlowCache)
	for i, w := range m.Workers {
		to.worker(strconv.Itoa(i), w)
	}
	to.shaping(m.Engine.Shaped)
	to.count(descARP, m.Engine.ARP.Answered, "answered")
	to.count(descARP, m.Engine.ARP.Ignored, "ignored")
	for _, c := range m.Connections {
		to.gauge(descConnected, one(c.State.Carried()), c.Service, c.Endpoint)
	}
	to.hosts(m.Paths)
	to.servers(m)
	to.resolvers(m)
	to.proxies(m)
}

type emitter struct{ out chan<- prometheus.Metric }

func (e emitter) count(d *prometheus.Desc, n uint64, labels ...string) {
	e.out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
}

func (e emitter) gauge(d *prometheus.Desc, v float64, labels ...string) {
	e.out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func one(v bool) float64 {
	if v {
		return 1
	}
	return 0
}

func (e emitter) table(s fullnat.Stats) {
	for v, n := range s.Verdicts {
		if v := fullnat.Verdict(v); v != fullnat.Held { // how many are held now is no count
			e.count(descVerdicts, n, v.String())
		}
	}
	e.gauge(descSessions, float64(s.Sessions))
	e.gauge(descHalfOpen, float64(s.HalfOpen))
	e.gauge(descTableBytes, float64(s.Bytes))
	e.count(descUnsent, s.Unsent)
}

// flowCache says nothing where there can be none.
func (e emitter) flowCache(s dataplane.FlowCacheStats) {
	if s.Mode == "" {
		return
	}
	e.gauge(descCacheSessions, float64(s.Sessions))
	e.gauge(descCacheRoom, float64(s.Room))
	e.count(descCacheAdded, s.Added)
	e.count(descCacheRefused, s.Refused)
	e.count(descCacheFrames, s.Frames)
	e.count(descCacheBytes, s.Bytes)
}

func (e emitter) link(l fullnat.LinkStats, of compile.LinkLabels) {
	labels := func(more ...string) []string {
		return append([]string{l.Name, of.Endpoint, of.Zone, of.Protocol, of.Port}, more...)
	}
	e.count(descLinkPackets, l.PacketsToProvider, labels("to_provider")...)
	e.count(descLinkPackets, l.PacketsToConsumer, labels("to_consumer")...)
	e.count(descLinkBytes, l.BytesToProvider, labels("to_provider")...)
	e.count(descLinkBytes, l.BytesToConsumer, labels("to_consumer")...)
	e.count(descLinkSegments, l.Segments, labels()...)
	e.count(descLinkSuperframes, l.Superframes, labels()...)
	e.gauge(descLinkSessions, float64(l.Sessions), labels()...)
	e.count(descLinkOpened, l.SessionsOpened, labels()...)
	e.count(descLinkEvicted, l.Evicted, labels()...)
	for v, n := range l.Verdicts {
		if n > 0 || fullnat.Verdict(v) == fullnat.Forwarded {
			e.count(descLinkVerdicts, n, labels(fullnat.Verdict(v).String())...)
		}
	}
}

func (e emitter) worker(worker string, w dataplane.WorkerStats) {
	s := w.Driver
	e.gauge(descWorkerSessions, float64(w.Sessions), worker)
	e.count(descWorkerHanded, w.HandedOver, worker)
	e.count(descWorkerDropped, w.Refused, worker, "handed_over")
	e.count(descWorkerFrames, s.FramesRead, worker, "received")
	e.count(descWorkerFrames, s.FramesWritten, worker, "sent")
	e.count(descWorkerBytes, s.BytesRead, worker, "received")
	e.count(descWorkerBytes, s.BytesWritten, worker, "sent")
	e.count(descWorkerSuperframes, s.SuperframesRead, worker)
	e.count(descWorkerDropped, s.RingDrops, worker, "ring")
	e.count(descWorkerDropped, s.CopyDrops, worker, "copy")
	e.count(descWorkerDropped, s.Crowded, worker, "crowded")
	e.count(descWorkerDropped, s.SendErrors, worker, "send")
	e.count(descWorkerDropped, s.Foreign, worker, "foreign")
}

func (e emitter) shaping(s dataplane.ShapingStats) {
	for _, l := range s.Links {
		e.shaped(l.Name, "to_provider", l.ToProvider)
		e.shaped(l.Name, "to_consumer", l.ToConsumer)
	}
	e.count(descFaultDropped, s.Down, "down")
	e.count(descFaultDropped, s.Blackholed, "blackholed")
}

func (e emitter) shaped(link, direction string, s dataplane.ShapedStats) {
	e.count(descShapedDropped, s.Lost, link, direction, "lost")
	e.count(descShapedDropped, s.QueueFull, link, direction, "queue_full")
	e.count(descShapedDropped, s.NoRoom, link, direction, "no_room")
	e.count(descShapedDropped, s.Cut, link, direction, "cut")
	e.gauge(descShapedWaiting, float64(s.Waiting), link, direction)
}

func (e emitter) hosts(paths []lab.PathStats) {
	for _, p := range paths {
		e.gauge(descHostAnswers, one(p.Answers), p.Host)
		e.gauge(descHostPasses, one(p.There), p.Host, "to_host")
		e.gauge(descHostPasses, one(p.Back), p.Host, "from_host")
		e.count(descHostAsked, p.Asked, p.Host)
		e.count(descHostMissing, p.Missing, p.Host)
		e.gauge(descHostTime, p.RoundTrip.Seconds(), p.Host)
	}
}

func (e emitter) servers(m lab.Metrics) {
	for group, servers := range m.Groups {
		for _, s := range servers {
			labels := []string{group, s.Instance, s.Server.String()}
			e.gauge(descHealthy, one(s.Healthy), labels...)
			e.gauge(descServerLoad, float64(s.Sessions), labels...)
			e.count(descChecks, s.Checks, labels...)
			e.count(descChecksFailed, s.Failures, labels...)
		}
	}
}

func (e emitter) resolvers(m lab.Metrics) {
	for vpc, s := range m.Resolvers {
		e.count(descDNSMessages, s.UDP, vpc, "udp")
		e.count(descDNSMessages, s.TCP, vpc, "tcp")
		for rcode, n := range s.Rcodes {
			e.count(descDNSAnswers, n, vpc, rcode)
		}
		e.count(descDNSTruncated, s.Truncated, vpc)
		e.count(descDNSUnanswered, s.Unanswered, vpc)
		e.count(descDNSUpstream, s.Forwarded-s.ForwardsFailed, vpc, "answered")
		e.count(descDNSUpstream, s.ForwardsFailed, vpc, "failed")
		e.count(descDNSCached, s.Cached, vpc)
	}
}
