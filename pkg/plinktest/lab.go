package plinktest

import (
	"strings"
	"time"

	"github.com/plinksim/plinksim/pkg/status"
)

// Fail lets something fail: an interface (ep@zone), all of an endpoint or a load
// balancer, or a zone. repair ends that; so does the end of the test.
func (l *Lab) Fail(ref string) (repair func()) {
	l.t.Helper()
	if err := l.TakeDown(ref, false); err != nil {
		l.t.Fatal(err)
	}
	return func() {
		l.t.Helper()
		if err := l.BringUp(ref); err != nil {
			l.t.Fatal(err)
		}
	}
}

// Impair degrades the connection of an endpoint in both directions, with values
// as a topology file writes them: {"delay": "40ms", "loss": "1%"}. repair goes back
// to what the file says.
func (l *Lab) Impair(endpoint string, impairments map[string]string) (repair func()) {
	l.t.Helper()
	if err := l.SetFault(status.FaultChange{Endpoint: endpoint, Set: impairments}); err != nil {
		l.t.Fatal(err)
	}
	return func() {
		l.t.Helper()
		if err := l.ClearFaults(endpoint); err != nil {
			l.t.Fatal(err)
		}
	}
}

// Eventually tries until there is no error, for as long as within says. In a
// bubble the time is the lab's.
func (l *Lab) Eventually(what string, within time.Duration, try func() error) {
	l.t.Helper()
	const pause = 10 * time.Millisecond
	deadline := time.Now().Add(within)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().Add(pause).After(deadline) {
			l.t.Fatalf("%s: not within %s: %v", what, within, err)
		}
		time.Sleep(pause)
	}
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
		l.t.Fatalf("endpoint %q has %d sessions, want %d:%s", endpoint, len(sessions), n, strings.Join(lines, ""))
	}
	return sessions
}
