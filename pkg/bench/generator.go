package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"
)

// GeneratorCommand is the first argument of a process that generates load.
const GeneratorCommand = "__bench"

// order is what a generator is asked to do, a line of JSON on its input.
type order struct {
	Do      string        `json:"do"`             // see generator.obey
	To      netip.Addr    `json:"to,omitzero"`    // the address to load
	Port    int           `json:"port,omitempty"` // 0: the workload's own
	Streams int           `json:"streams,omitempty"`
	Rate    int           `json:"rate,omitempty"` // datagrams per second
	WarmUp  time.Duration `json:"warm_up,omitempty"`
	For     time.Duration `json:"for,omitempty"` // after the warm-up

	// TCP and UDP are the ports to serve on, whatever comes there.
	TCP []int `json:"tcp,omitempty"`
	UDP []int `json:"udp,omitempty"`
	// Limit is how many connections there may be; 0 is maxConnections.
	Limit int `json:"limit,omitempty"`

	// Of loads that are made of whole frames.
	From    netip.Addr `json:"from,omitzero"`
	Run     uint16     `json:"run,omitempty"`     // the number of the measurement
	Sender  int        `json:"sender,omitempty"`  // which one this is
	Senders int        `json:"senders,omitempty"` // how many there are
	Flows   int        `json:"flows,omitempty"`   // of each sender
	Sizes   []int      `json:"sizes,omitempty"`   // of the frames
	// Outstanding is how many sessions wait for an answer at a time.
	Outstanding int `json:"outstanding,omitempty"`
}

// answer is a line of JSON on a generator's output, one for every order.
type answer struct {
	Error   string        `json:"error,omitempty"`
	Count   uint64        `json:"count,omitempty"`   // requests, connections or datagrams after the warm-up
	Elapsed time.Duration `json:"elapsed,omitempty"` // the time that they took
	P50     float64       `json:"p50,omitempty"`     // microseconds
	P99     float64       `json:"p99,omitempty"`

	// What a server has counted since it began, or a client received or lost.
	Bytes     uint64 `json:"bytes,omitempty"`
	Packets   uint64 `json:"packets,omitempty"`
	Lost      uint64 `json:"lost,omitempty"`
	Reordered uint64 `json:"reordered,omitempty"`

	// Of loads that are made of whole frames.
	Flows   int           `json:"flows,omitempty"`   // of which a frame has come
	Late    time.Duration `json:"late,omitempty"`    // how late the last frame went
	Missed  uint64        `json:"missed,omitempty"`  // frames that the receiver had no room for
	Latency []byte        `json:"latency,omitempty"` // an HdrHistogram

	Sessions *sessionAnswer `json:"sessions,omitempty"`
}

func (a answer) perSecond() float64 {
	if a.Elapsed <= 0 {
		return 0
	}
	return float64(a.Count) / a.Elapsed.Seconds()
}

// Generate obeys orders until its input ends. It returns the exit code of the
// process.
func Generate(orders io.Reader, answers io.Writer) int {
	g := generator{}
	in, out := json.NewDecoder(orders), json.NewEncoder(answers)
	for {
		var o order
		if err := in.Decode(&o); err != nil {
			return 0 // the process that gave orders is gone
		}
		a, err := g.obey(o)
		if err != nil {
			a.Error = err.Error()
		}
		if err := out.Encode(a); err != nil {
			return 1
		}
	}
}

// generator is both ends of the load: one process serves, another asks.
type generator struct {
	server   *server
	receiver *receiver // of frames

	sessions    bool  // sessions of frames are answered
	sessionWire *wire // of a client of sessions
}

func (g *generator) obey(o order) (a answer, err error) {
	switch o.Do {
	case "serve":
		g.server, err = serve()
		return a, err
	case "serve ports":
		g.server, err = servePorts(o.TCP, o.UDP)
		return a, err
	case "count":
		if g.server == nil {
			return a, errors.New("count what? serve comes first")
		}
		return g.server.counters(), nil
	case "bulk":
		return bulk(o)
	case "download":
		return download(o)
	case "small":
		return small(o)
	case "paced":
		return paced(o)
	case "request":
		return request(o)
	case "connect":
		return connectRequestClose(o)
	case "listen":
		return a, g.listen(o)
	case "open", "send":
		return g.send(o)
	case "reply":
		return g.reply(o)
	case "received":
		return g.received()
	case "serve sessions":
		return a, g.serveSessions(o)
	case "sessions":
		return g.useSessions(o)
	}
	return a, fmt.Errorf("unknown order %q", o.Do)
}

// window tells when a workload begins to count and when it ends.
type window struct{ begin, end time.Time }

func (o order) window() window {
	begin := time.Now().Add(o.WarmUp)
	return window{begin, begin.Add(o.For)}
}

// maxSamples limits the memory for the times of one measurement.
const maxSamples = 1 << 21

// percentiles sorts samples and sets P50 and P99 in microseconds.
func (a *answer) percentiles(samples []time.Duration) {
	if len(samples) == 0 {
		return
	}
	slices.Sort(samples)
	at := func(q int) float64 { return float64(samples[(len(samples)-1)*q/100].Nanoseconds()) / 1e3 }
	a.P50, a.P99 = at(50), at(99)
}
