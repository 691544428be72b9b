package fullnat

import "slices"

// Add makes s the counters of two tables together that are shards of one
// Config.
func (s *Stats) Add(other *Stats) {
	s.Verdicts.add(&other.Verdicts)
	s.Sessions += other.Sessions
	s.MaxSessions += other.MaxSessions
	s.HalfOpen += other.HalfOpen
	s.Fragments.Datagrams += other.Fragments.Datagrams
	s.Fragments.Held += other.Fragments.Held
	s.Fragments.HeldBytes += other.Fragments.HeldBytes
	s.Unexpected += other.Unexpected
	s.Unsent += other.Unsent
	s.Answers.Resets += other.Answers.Resets
	s.Answers.ICMP += other.Answers.ICMP
	s.Answers.Limited += other.Answers.Limited
	s.Rekeys += other.Rekeys
	s.Bytes += other.Bytes
	s.Cache.Sessions += other.Cache.Sessions
	s.Cache.Frames += other.Cache.Frames
	s.Cache.Bytes += other.Cache.Bytes
	for i := range other.Links {
		l := &other.Links[i]
		at := i // nearly always: the Config is the same
		if at >= len(s.Links) || s.Links[at].Name != l.Name {
			at = slices.IndexFunc(s.Links, func(known LinkStats) bool { return known.Name == l.Name })
		}
		if at < 0 {
			s.Links = append(s.Links, *l)
			continue
		}
		s.Links[at].merge(l)
	}
}

func (c *Counters) add(other *Counters) {
	for v := range c {
		c[v] += other[v]
	}
}

func (s *LinkStats) merge(other *LinkStats) {
	s.Verdicts.add(&other.Verdicts)
	s.Sessions += other.Sessions
	s.HalfOpen += other.HalfOpen
	s.Evicted += other.Evicted
	s.SessionsOpened += other.SessionsOpened
	s.PacketsToProvider += other.PacketsToProvider
	s.BytesToProvider += other.BytesToProvider
	s.PacketsToConsumer += other.PacketsToConsumer
	s.BytesToConsumer += other.BytesToConsumer
	s.Superframes += other.Superframes
	s.Segments += other.Segments
	s.WithoutTOA += other.WithoutTOA
}
