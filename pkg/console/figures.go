package console

import (
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/plinksim/plinksim/internal/spell"
)

// keptSamples are those of an hour.
const keptSamples = int(time.Hour / sampleEvery)

// sample is what a lab did at a time. Counters are as the lab counts them.
type sample struct {
	at                time.Time
	sessions, opened  uint64
	packets, bytes    uint64
	open, connections int // connections that packets pass, and all
	healthy, servers  int
	drops             map[string]uint64
	traffic           map[string]traffic // by ENI of the endpoint
}

// traffic is what passed at one ENI.
type traffic struct {
	sessions int
	bytes    uint64
}

// figures are the samples of the last hour.
type figures struct{ samples []sample }

func (f *figures) add(now *snapshot) {
	s := sample{at: now.at, drops: map[string]uint64{}, traffic: map[string]traffic{}}
	s.sessions = uint64(now.Dataplane.Sessions)
	for _, link := range now.Links {
		s.opened += link.SessionsOpened
		s.packets += link.PacketsToProvider + link.PacketsToConsumer
		s.bytes += link.BytesToProvider + link.BytesToConsumer
		eni, _, _ := strings.Cut(link.Name, " ")
		t := s.traffic[eni]
		t.sessions += link.Sessions
		t.bytes += link.BytesToProvider + link.BytesToConsumer
		s.traffic[eni] = t
	}
	for verdict, n := range now.Dataplane.Verdicts {
		if verdict != "Forwarded" && n > 0 {
			s.drops[verdict] = n
		}
	}
	for _, ep := range now.Endpoints {
		for _, z := range ep.Zones {
			s.connections++
			if isOpen(z.State) {
				s.open++
			}
		}
	}
	for _, g := range now.ServerGroups {
		for _, server := range g.Servers {
			s.servers++
			if server.Healthy {
				s.healthy++
			}
		}
	}
	if len(f.samples) >= keptSamples {
		f.samples = append([]sample(nil), f.samples[len(f.samples)-keptSamples+1:]...)
	}
	f.samples = append(f.samples, s)
}

// passing is what passed each ENI between the two newest samples, in words; nothing of
// those at which nothing did.
func (f *figures) passing() map[string]string {
	out := map[string]string{}
	if len(f.samples) < 2 {
		return out
	}
	before, now := f.samples[len(f.samples)-2], f.samples[len(f.samples)-1]
	seconds := now.at.Sub(before.at).Seconds()
	for eni, t := range now.traffic {
		var words []string
		if t.sessions > 0 {
			words = append(words, spell.Count(t.sessions, "session"))
		}
		if was := before.traffic[eni].bytes; t.bytes > was && seconds > 0 {
			words = append(words, rateText(float64(t.bytes-was)*8/seconds))
		}
		if len(words) > 0 {
			out[eni] = strings.Join(words, ", ")
		}
	}
	return out
}

// rateText is a rate of bits a second, with three digits.
func rateText(bits float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "Gbit/s"}, {1e6, "Mbit/s"}, {1e3, "kbit/s"}} {
		if bits >= unit.size {
			return fmt.Sprintf("%.3g %s", bits/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%.0f bit/s", bits)
}

// figuresBody are the charts of the last hour.
type figuresBody struct {
	Charts []chart
	Since  time.Time
}

// chart is how one figure went.
type chart struct {
	Title            string
	Now, Least, Most string
	Line             string // of a polyline: x,y x,y
	First, Last      time.Time
	Enough           bool // there is something to draw
}

// The measures of a chart, in the units of its drawing.
const (
	chartWidth  = 600
	chartHeight = 90
)

// series are the figures that are drawn: how much there is, or how much more there is each
// second.
var series = []struct {
	title string
	value func(s *sample) float64
	rate  bool
	text  func(float64) string
}{
	{"sessions", func(s *sample) float64 { return float64(s.sessions) }, false, countText},
	{"new sessions a second", func(s *sample) float64 { return float64(s.opened) }, true, countText},
	{"packets a second", func(s *sample) float64 { return float64(s.packets) }, true, countText},
	{"throughput", func(s *sample) float64 { return float64(s.bytes) * 8 }, true, rateText},
	{"zones of connections that packets pass", func(s *sample) float64 { return float64(s.open) }, false, countText},
	{"healthy servers", func(s *sample) float64 { return float64(s.healthy) }, false, countText},
}

func countText(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func (f *figures) charts() (out []chart) {
	for _, s := range series {
		out = append(out, f.chart(s.title, s.value, s.rate, s.text))
	}
	reasons := map[string]bool{}
	for i := range f.samples {
		for reason := range f.samples[i].drops {
			reasons[reason] = true
		}
	}
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		out = append(out, f.chart("dropped a second: "+reason,
			func(s *sample) float64 { return float64(s.drops[reason]) }, true, countText))
	}
	return out
}

func (f *figures) chart(title string, value func(*sample) float64, rate bool, text func(float64) string) chart {
	var values []float64
	var times []time.Time
	for i := range f.samples {
		v := value(&f.samples[i])
		if rate {
			if i == 0 {
				continue
			}
			seconds := f.samples[i].at.Sub(f.samples[i-1].at).Seconds()
			v = max(0, v-value(&f.samples[i-1])) / max(seconds, 0.001) // a daemon that was started again begins at 0
			v = math.Round(v*10) / 10
		}
		values, times = append(values, v), append(times, f.samples[i].at)
	}
	c := chart{Title: title}
	if len(values) == 0 {
		return c
	}
	least, most := slices.Min(values), slices.Max(values)
	c.Now, c.Least, c.Most = text(values[len(values)-1]), text(least), text(most)
	c.First, c.Last = times[0], times[len(times)-1]
	if c.Enough = len(values) > 1; !c.Enough {
		return c
	}
	span, top := c.Last.Sub(c.First).Seconds(), max(most, 1)
	var points []string
	for i, v := range values {
		x := times[i].Sub(c.First).Seconds() / span * chartWidth
		points = append(points, fmt.Sprintf("%.1f,%.1f", x, chartHeight-v/top*(chartHeight-4)-2))
	}
	c.Line = strings.Join(points, " ")
	return c
}

func (c *Console) figuresPage(q *request) error {
	if _, err := q.now(); err != nil {
		return err
	}
	c.live.mu.Lock()
	b := figuresBody{Charts: c.live.figures.charts()}
	if len(c.live.figures.samples) > 0 {
		b.Since = c.live.figures.samples[0].at
	}
	c.live.mu.Unlock()
	return q.render(http.StatusOK, "figures", "Figures", b)
}
