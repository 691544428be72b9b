package dns

import (
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

func record(t testing.TB, text string) dns.RR {
	rr, err := dns.NewRR(text)
	require.NoError(t, err)
	return rr
}

func TestHowLongAnswersAreKept(t *testing.T) {
	soa := "example.org. 300 IN SOA ns. h. 1 2 3 4 120"
	for _, tt := range []struct {
		name       string
		rcode      int
		answer, ns string // records, ; between them
		want       time.Duration
	}{
		{"as long as its record", dns.RcodeSuccess, "a. 60 IN A 192.0.2.1", "", time.Minute},
		{"as long as the shortest of them", dns.RcodeSuccess, "a. 60 IN CNAME b.; b. 10 IN A 192.0.2.1", "", 10 * time.Second},
		{"at most a day", dns.RcodeSuccess, "a. 999999 IN A 192.0.2.1", "", 24 * time.Hour},
		{"not at all with a TTL of 0", dns.RcodeSuccess, "a. 0 IN A 192.0.2.1", "", 0},
		{"dns 24: nor with a TTL of more than 31 bits", dns.RcodeSuccess, "a. 2147483648 IN A 192.0.2.1", "", 0},
		{"dns 32: a missing name as long as the SOA's minimum", dns.RcodeNameError, "", soa, 2 * time.Minute},
		{"or its TTL, where that is shorter", dns.RcodeNameError, "", "example.org. 60 IN SOA ns. h. 1 2 3 4 120", time.Minute},
		{"dns 33: at most an hour", dns.RcodeNameError, "", "example.org. 99999 IN SOA ns. h. 1 2 3 4 99999", time.Hour},
		{"a missing record as a missing name", dns.RcodeSuccess, "", soa, 2 * time.Minute},
		{"a CNAME that leads to nothing, too", dns.RcodeSuccess, "a. 60 IN CNAME b.", soa, time.Minute},
		{"dns 34: a negative answer without SOA not at all", dns.RcodeNameError, "", "", 0},
		{"dns 35: a failure for a second", dns.RcodeServerFailure, "", "", time.Second},
		{"nothing else", dns.RcodeRefused, "", soa, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := new(dns.Msg)
			m.Rcode = tt.rcode
			for _, text := range strings.Split(tt.answer, ";") {
				if text != "" {
					m.Answer = append(m.Answer, record(t, strings.TrimSpace(text)))
				}
			}
			if tt.ns != "" {
				m.Ns = append(m.Ns, record(t, tt.ns))
			}
			require.Equal(t, tt.want, keepFor(m))
		})
	}
}

func TestTheCacheCountsDown(t *testing.T) { // dns 32
	var c cache
	morning := time.Date(2026, 1, 1, 8, 0, 0, 0, time.UTC)
	key := cacheKey{"a.", dns.TypeA, false}
	m := new(dns.Msg)
	m.Answer = []dns.RR{record(t, "a. 60 IN A 192.0.2.1")}
	require.Nil(t, c.get(key, morning))
	c.put(key, m, morning)
	m.Answer[0].Header().Ttl = 7 // the cache has a copy
	require.EqualValues(t, 60, c.get(key, morning).Answer[0].Header().Ttl)
	require.EqualValues(t, 20, c.get(key, morning.Add(40*time.Second)).Answer[0].Header().Ttl)
	require.EqualValues(t, 60, c.get(key, morning).Answer[0].Header().Ttl, "and gives copies away")
	require.Nil(t, c.get(cacheKey{"a.", dns.TypeA, true}, morning))
	require.Nil(t, c.get(key, morning.Add(time.Minute)))
	require.Empty(t, c.entries, "what is too old is gone")
}

func TestTheCacheIsLimited(t *testing.T) {
	var c cache
	m := new(dns.Msg)
	m.Answer = []dns.RR{record(t, "a. 60 IN A 192.0.2.1")}
	for i := range uint16(2*maxCached - 1) {
		c.put(cacheKey{"a.", i, false}, m, time.Now())
		require.LessOrEqual(t, len(c.entries), maxCached)
	}
}

// FuzzUpstream lets an upstream say anything. What reaches an asker can be
// read and answers the question.
func FuzzUpstream(f *testing.F) {
	m := new(dns.Msg)
	m.SetQuestion("www.example.org.", dns.TypeA)
	m.Response = true
	m.Answer = []dns.RR{record(f, "www.example.org. 60 IN A 192.0.2.1")}
	packet, err := m.Pack()
	require.NoError(f, err)
	f.Add(packet)
	f.Add(packet[:len(packet)-3])
	req := new(dns.Msg)
	req.SetQuestion("WWW.example.org.", dns.TypeA)
	asked, err := req.Pack()
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, packet []byte) {
		answer := new(dns.Msg)
		if answer.Unpack(packet) != nil {
			return
		}
		answer.Id = req.Id // one that nobody can guess
		if !belongs(answer, req) {
			return
		}
		s := &Server{Forwarder: &Forwarder{}}
		s.Forwarder.cache.put(cacheKey{"www.example.org.", dns.TypeA, false}, onlyAnswer(answer), time.Now())
		if keepFor(onlyAnswer(answer)) == 0 {
			return // it would be asked for again
		}
		e := exchange{udp: true}
		reply := new(dns.Msg)
		reply.SetReply(req)
		reply.Rcode = dns.RcodeRefused
		require.True(t, s.forward(t.Context(), reply, req, &e))
		var back dns.Msg
		out := s.finish(asked, reply, req, e)
		require.NoError(t, back.Unpack(out))
		require.LessOrEqual(t, len(out), dns.MinMsgSize)
		require.Equal(t, req.Question, back.Question)
	})
}
