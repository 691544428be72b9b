package console

import (
	"fmt"
	"strings"
	"time"
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
			words = append(words, plural(t.sessions, "session"))
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

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
