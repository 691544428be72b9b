package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// shownOf is what a progress shows of steps that take a time each, and of a stage after them.
func shownOf(terminal bool, steps int, each time.Duration) []string {
	var out strings.Builder
	at := time.Unix(1000, 0)
	p := &progress{w: &out, terminal: terminal, now: func() time.Time { return at }}
	for i := range steps {
		at = at.Add(each)
		p.show(i+1, steps, fmt.Sprintf("instance i%d", i+1))
	}
	p.show(0, 0, "start the resolvers")
	p.end()
	lines := strings.FieldsFunc(out.String(), func(r rune) bool { return r == '\r' || r == '\n' })
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "\x1b[K")
	}
	return lines
}

func TestALargeLabSaysHowLongItStillTakes(t *testing.T) {
	require.Equal(t, []string{
		"plinksim: make namespaces, interfaces and addresses (1000 steps)",
		"plinksim: 251 of 1000 steps, about 15 s left",
		"plinksim: 501 of 1000 steps, about 10 s left",
		"plinksim: 751 of 1000 steps, about 5 s left",
		"plinksim: start the resolvers",
	}, shownOf(false, 1000, 20*time.Millisecond))
	require.Equal(t, []string{
		"plinksim: make namespaces, interfaces and addresses (40 steps)", "plinksim: start the resolvers",
	}, shownOf(false, 40, 20*time.Millisecond), "nothing more of a small lab")

	lines := shownOf(true, 1000, 20*time.Millisecond)
	require.Equal(t, []string{"[1/1000] instance i1", "[6/1000] instance i6"}, lines[:2], "no estimate before there is one")
	require.Contains(t, lines, "[501/1000, about 10 s left] instance i501")
	require.Equal(t, []string{"[1000/1000, about 0 s left] instance i1000", "start the resolvers", ""}, lines[len(lines)-3:])
	require.Less(t, len(lines), 210, "as many as people can see")
	slow := shownOf(true, 1000, time.Second)
	require.Equal(t, "[101/1000, about 14 min 50 s left] instance i101", slow[100])
}

func TestWhatIsWaitedForLongIsSaid(t *testing.T) {
	for terminal, want := range map[bool]string{
		true:  "\r\x1b[Kwait (1 s)\r\x1b[Kwait (2 s)\r\x1b[Kwait (3 s)\r\x1b[Kwait (4 s)\r\x1b[Kwait (5 s)\r\x1b[Kwait (6 s)\r\x1b[K",
		false: "plinksim: wait (5 s)\n",
	} {
		var out strings.Builder
		at := time.Unix(1000, 0)
		p := &progress{w: &out, terminal: terminal, now: func() time.Time { return at }}
		since := at
		for range 65 {
			p.waited("wait", since)
			at = at.Add(100 * time.Millisecond)
		}
		p.end()
		require.Equal(t, want, out.String())
	}
}

// What a command says that gave up while a lab was made.
func TestWhatIsWaitedForWhileALabIsMadeIsAWhole(t *testing.T) {
	p := &progress{w: &strings.Builder{}, now: time.Now}
	for _, tt := range []struct {
		done, total int
		what, want  string
	}{
		{7, 40, "instance ecs1 of VPC vpc1", "the lab to be made: 7 of 40 steps are done, the last for instance ecs1 of VPC vpc1"},
		{0, 0, "open the data plane", "the daemon to open the data plane"},
		{0, 0, "wait for the connections", "the connections"},
	} {
		p.show(tt.done, tt.total, tt.what)
		require.Equal(t, tt.want, waitsFor.Load())
	}
}
