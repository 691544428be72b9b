package main

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim"
	"github.com/plinksim/plinksim/internal/golden"
	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/plinktest"
	"github.com/plinksim/plinksim/pkg/status"
)

// What people see of every topology that the program carries, on a narrow and
// on a wide screen. Counters are left out, as they are others each time, and the
// sessions are made up.
func TestOutputFitsTheScreen(t *testing.T) {
	for _, topology := range plinksim.Topologies() {
		t.Run(topology.Name, func(t *testing.T) {
			var pages []func(io.Writer)
			if len(topology.Programs) > 0 { // which no lab in one process runs
				testenv.NeedPrograms(t, topology.Programs...)
				pages = pagesOf(t, topology)
			} else {
				synctest.Test(t, func(t *testing.T) { pages = pagesOf(t, topology, plinktest.InProcess()) })
			}
			for _, columns := range []int{80, 200} {
				var text strings.Builder
				out := &screen{Writer: &text, columns: columns}
				for _, page := range pages {
					page(out)
				}
				for line := range strings.Lines(text.String()) {
					require.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")), columns, line)
				}
				golden.Equal(t, filepath.Join("testdata/screens", fmt.Sprintf("%s-%d.txt", topology.Name, columns)),
					text.String())
			}
		})
	}
}

// pagesOf brings a topology up, runs its checks and says what is to be shown.
func pagesOf(t *testing.T, topology plinksim.Topology, on ...plinktest.Option) (pages []func(io.Writer)) {
	l := plinktest.UpText(t, topology.Text(), on...)
	now := l.Status()
	now.Started = time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	now.File = topology.Name + ".yaml"
	now.Dataplane.FramesRead, now.Dataplane.FramesSent = 0, 0
	now.Dataplane.FlowCache = nil // the kernel's affair
	clear(now.Dataplane.Verdicts)
	for i := range now.Endpoints {
		now.Endpoints[i].Modified = now.Started
	}
	for i := range now.Links {
		clear(now.Links[i].Verdicts)
	}
	for i := range now.ServerGroups {
		for j := range now.ServerGroups[i].Servers {
			now.ServerGroups[i].Servers[j].Sessions = 0 // which the health check of an ALB has, too
		}
	}
	for i := range now.Proxies {
		now.Proxies[i].Requests, now.Proxies[i].Failures, now.Proxies[i].Servers = nil, nil, nil
		now.Proxies[i].Open = 0 // a health check may hold one
	}
	title := func(command string, page func(io.Writer)) {
		pages = append(pages, func(w io.Writer) {
			fmt.Fprintf(w, "$ plinksim %s\n", command)
			page(w)
			fmt.Fprintln(w)
		})
	}
	title("status", func(w io.Writer) { printStatus(w, now) })
	title("connection list", func(w io.Writer) { printConnections(w, now.Endpoints, "") })
	title("endpoint list", func(w io.Writer) { printEndpointList(w, now.Cloud, now.Endpoints) })
	title("service list", func(w io.Writer) { printServiceList(w, now.Cloud, now.Services) })

	checks := l.Check()
	for i := range checks {
		checks[i].Got = checks[i].Expect
	}
	title("check", func(w io.Writer) {
		for i, c := range checks {
			printCheck(screenOf(w), c, i == 0)
		}
	})
	sessions := sessionsOf(now)
	title("sessions", func(w io.Writer) { printSessions(w, sessions) })
	return pages
}

// sessionsOf are sessions as there could be, one for each ENI of an endpoint.
func sessionsOf(l status.Lab) (sessions []status.Session) {
	for _, ep := range l.Endpoints {
		for _, z := range ep.Zones {
			sessions = append(sessions, status.Session{
				Link: ep.Name + "@" + z.Zone + " tcp/80", State: "established",
				Consumer: netip.MustParseAddrPort("192.168.100.101:54321"), Endpoint: netip.AddrPortFrom(z.IP, 80),
				NAT: netip.MustParseAddrPort("100.64.100.101:12345"), Target: netip.MustParseAddrPort("172.16.100.101:8080"),
				BytesToProvider: 1000, BytesToConsumer: 100_000, ExpiresSeconds: 30,
			})
		}
	}
	return sessions
}

func TestTablesFit(t *testing.T) {
	for _, tt := range []struct {
		name    string
		columns int
		want    string
	}{
		{"everything where nobody says how wide it is", 0, "NAME                     ID             SERVICE\na-name-that-is-long      vpce-012345    svc1\nanother-name-of-its-own  vpce-67890abc  svc2\n"},
		{"everything where there is room", 49, "NAME                     ID             SERVICE\na-name-that-is-long      vpce-012345    svc1\nanother-name-of-its-own  vpce-67890abc  svc2\n"},
		{"without what is extra", 40, "NAME                     SERVICE\na-name-that-is-long      svc1\nanother-name-of-its-own  svc2\n"},
		{"long cells are shortened before headers", 31, "NAME                    SERVICE\na-name-that-is-long     svc1\nanother-nam…of-its-own  svc2\n"},
		{"the longest lose their middle", 20, "NAME          SER…CE\na-name…-long  svc1\nanothe…s-own  svc2\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			table := newTable(&screen{Writer: &out, columns: tt.columns}, "NAME", extra("ID"), "SERVICE")
			table.row("a-name-that-is-long", "vpce-012345", "svc1")
			table.row("another-name-of-its-own", "vpce-67890abc", "svc2")
			table.flush()
			require.Contains(t, out.String(), tt.want)
		})
	}
}
