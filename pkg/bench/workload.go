package bench

import (
	"context"
	"time"
)

// The ports that a generator serves on.
const (
	sinkPort  = 5001 // takes and forgets
	echoPort  = 5002 // answers every request
	countPort = 5003 // UDP: counts datagrams and looks at their numbers
	// Every request has a connection of its own. There are several ports, as
	// a NAT has a port of its own for every connection that was closed not long
	// ago, for each target.
	closePort  = 5010
	closePorts = 8
)

// tcpPorts are the TCP ports that a generator serves on.
func tcpPorts() []int {
	ports := []int{sinkPort, echoPort}
	for i := range closePorts {
		ports = append(ports, closePort+i)
	}
	return ports
}

const (
	// requestSize is the length of requests and responses in bytes.
	requestSize = 64
	// smallPayload makes a frame of 64 bytes, with its check sequence (RFC 2544, 9.1).
	smallPayload = minFrame - frameCheck - headers
	// pacedRate is what must arrive without loss, in datagrams per second.
	pacedRate = 100_000
	// maxConnections limits one measurement of short connections: each holds a
	// NAT port for a minute or longer after its end.
	maxConnections = 60_000
	// natPorts is how many NAT ports of one target short connections use up at most in
	// a whole run: a load balancer's NAT IP has 55,000 or more.
	natPorts = 50_000
)

// workload is one kind of load, and what is computed from a measurement.
type workload struct {
	name    string
	doc     string // for the report
	order   order
	both    bool // clients do it
	metrics []metric
	point   point
	route   *route                      // of a user's topology; nil in the benchmark's own
	time    func(Options) time.Duration // that it takes, where it is not the options' alone
	// run measures it once; nil gives the order to the clients.
	run func(ctx context.Context, p *path, o Options) (*measurement, error)
}

// point is where a workload stands in a series of workloads that differ in one
// quantity.
type point struct {
	series, axis string
	x            float64
}

// measure measures the workload once.
func (w workload) measure(ctx context.Context, p *path, o Options) (*measurement, error) {
	if w.run != nil {
		return w.run(ctx, p, o)
	}
	return p.measure(ctx, o, w)
}

// pauses are between two measurements, and within one.
const pauses = settle + 50*time.Millisecond

// takes is about how long one measurement takes.
func (w workload) takes(o Options) time.Duration {
	if w.time != nil {
		return w.time(o) + pauses
	}
	return o.window() + o.warmUp() + pauses
}

// metric is one figure of a workload.
type metric struct {
	name, unit string
	lower      bool // is better
	value      func(m *measurement) float64
}

// measurement is what was counted during one window of a workload.
type measurement struct {
	elapsed time.Duration
	cpu     time.Duration // all CPUs of the machine, used by any process
	bytes   float64       // that arrived
	packets float64       // datagrams that arrived
	client  answer
	load    loadResult
	trials  []Trial
	opened  sessionResult
}

func (m *measurement) perSecond(n float64) float64 { return n / m.elapsed.Seconds() }

func cpuPer(m *measurement, n float64) float64 {
	if n == 0 {
		return 0
	}
	return float64(m.cpu.Nanoseconds()) / 1e3 / n
}

func gigabits(m *measurement) float64       { return m.perSecond(m.bytes) * 8 / 1e9 }
func cpuPerGigabyte(m *measurement) float64 { return cpuPer(m, m.bytes/1e9) / 1e6 }

var bulkMetrics = []metric{
	{name: "throughput", unit: "Gbit/s", value: gigabits},
	{name: "CPU time", unit: "s/GB", lower: true, value: cpuPerGigabyte},
}

func workloads() []workload {
	return []workload{
		{
			name: "bulk TCP, 1 stream", doc: "one TCP connection, as fast as it goes",
			order: order{Do: "bulk", Streams: 1}, metrics: bulkMetrics,
		},
		{
			name: "bulk TCP, 4 streams", doc: "four TCP connections at once",
			order: order{Do: "bulk", Streams: 4}, metrics: bulkMetrics,
		},
		{
			name: "UDP, 64-byte frames", doc: "one UDP socket that sends as fast as it can; what arrives counts",
			order: order{Do: "small"},
			metrics: []metric{
				{name: "delivered", unit: "kpps",
					value: func(m *measurement) float64 { return m.perSecond(m.packets) / 1e3 }},
				{name: "CPU time", unit: "us/packet", lower: true,
					value: func(m *measurement) float64 { return cpuPer(m, m.packets) }},
			},
		},
		{
			name: "UDP, 64-byte frames, 2 senders", doc: "a socket on each of two instances, as fast as they can; what arrives counts",
			order: order{Do: "small"}, both: true,
			metrics: []metric{
				{name: "delivered", unit: "kpps",
					value: func(m *measurement) float64 { return m.perSecond(m.packets) / 1e3 }},
				{name: "CPU time", unit: "us/packet", lower: true,
					value: func(m *measurement) float64 { return cpuPer(m, m.packets) }},
			},
		},
		{
			name: "request/response", doc: "64 bytes each way over one TCP connection, one at a time; the time of a round trip",
			order: order{Do: "request"},
			metrics: []metric{
				{name: "p50", unit: "us", lower: true, value: func(m *measurement) float64 { return m.client.P50 }},
				{name: "p99", unit: "us", lower: true, value: func(m *measurement) float64 { return m.client.P99 }},
				{name: "CPU time", unit: "us/request", lower: true,
					value: func(m *measurement) float64 { return cpuPer(m, float64(m.client.Count)) }},
			},
		},
		{
			name: "connect-request-close", doc: "a TCP connection for every request, one at a time",
			order: order{Do: "connect"},
			metrics: []metric{
				{name: "rate", unit: "1/s", value: func(m *measurement) float64 { return m.client.perSecond() }},
				{name: "CPU time", unit: "us/connection", lower: true,
					value: func(m *measurement) float64 { return cpuPer(m, float64(m.client.Count)) }},
			},
		},
		{
			name: "UDP, 100,000/s", doc: "64-byte frames at a steady 100,000 per second, below capacity: all must arrive, in order",
			order: order{Do: "paced", Rate: pacedRate},
			metrics: []metric{
				{name: "lost", unit: "packets", lower: true,
					value: func(m *measurement) float64 { return float64(m.client.Lost) }},
				{name: "out of order", unit: "packets", lower: true,
					value: func(m *measurement) float64 { return float64(m.client.Reordered) }},
				{name: "CPU time", unit: "us/packet", lower: true,
					value: func(m *measurement) float64 { return cpuPer(m, m.packets) }},
			},
		},
	}
}
