package plinktest

import (
	"strings"
	"time"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/status"
)

// pause is how long to wait before something is looked at again.
const pause = 10 * time.Millisecond

// Eventually tries until there is no error, for as long as within says. In a
// bubble the time is the lab's.
func (l *Lab) Eventually(what string, within time.Duration, try func() error) {
	l.t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().Add(pause).After(deadline) {
			l.t.Fatalf("%s: not within %s: %v\n%s", what, within, err, l.Drops())
		}
		time.Sleep(pause)
	}
}

// until waits for something for as long as it may take, and says whether it came.
func until(within time.Duration, is func() bool) bool {
	deadline := time.Now().Add(within)
	for !is() {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(pause)
	}
	return true
}

// SessionsOf are the sessions that came through an endpoint and are not forgotten
// yet.
func (l *Lab) SessionsOf(endpoint string) []status.Session {
	var out []status.Session
	for _, s := range l.Sessions() {
		if strings.HasPrefix(s.Link, endpoint+"@") {
			out = append(out, s)
		}
	}
	return out
}

// RequireSessions fails the test where another number of sessions than n came
// through an endpoint, and says which they are.
func (l *Lab) RequireSessions(endpoint string, n int) []status.Session {
	l.t.Helper()
	sessions := l.SessionsOf(endpoint)
	if len(sessions) != n {
		var lines []string
		for _, s := range sessions {
			lines = append(lines, "\n  "+s.Protocol+" "+s.Consumer.String()+" > "+s.Endpoint.String()+
				", "+s.NAT.String()+" > "+s.Target.String()+" "+s.State)
		}
		l.t.Fatalf("endpoint %q has %s, want %d:%s\n%s",
			endpoint, spell.Count(len(sessions), "session"), n, strings.Join(lines, ""), l.Drops())
	}
	return sessions
}

// RequireVerdict fails the test where no packet got a verdict, for example
// NotConnected, and says what became of packets.
func (l *Lab) RequireVerdict(verdict string) {
	l.t.Helper()
	if !until(time.Second, func() bool { return l.Status().Dataplane.Verdicts[verdict] > 0 }) {
		l.t.Fatalf("no packet has got the verdict %s\n%s", verdict, l.Drops())
	}
}
