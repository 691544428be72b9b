package main

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/status"
)

// Who reads the status of a lab over hosts knows whether it is that of the whole lab.
func TestStatusSaysWhichHostsHaveNotTold(t *testing.T) {
	for _, tt := range []struct {
		name    string
		daemons []string // of a, which is asked, b and c
		want    string
	}{
		{"nobody is asked", []string{"", "", ""}, "host a of a, b, c: what is on the others, they tell"},
		{"all have answered", []string{"ok", "ok", "ok"}, "host a of a, b, c"},
		{"two have not", []string{"ok", "connection refused", "nothing came for 2s"}, "host a of a, b, c\n" +
			"host b does not answer (connection refused): what only it knows is missing\n" +
			"host c does not answer (nothing came for 2s): what only it knows is missing"},
	} {
		s := status.Lab{Host: "a"}
		for i, daemon := range tt.daemons {
			s.Hosts = append(s.Hosts, status.Host{Name: string(rune('a' + i)), Daemon: daemon})
		}
		require.Equal(t, tt.want, strings.Join(hostLines(s), "\n"), tt.name)
	}
}

// Hosts that agree show by their versions whether one of them is to be upgraded, and by their revisions
// whether one is behind.
func TestStatusShowsWhatHostsThatAgreeRun(t *testing.T) {
	s := status.Lab{Host: "a", Hosts: []status.Host{
		{Name: "a", Address: netip.MustParseAddr("198.18.0.1"), Zones: []string{"h"}, Here: true, Version: "v2.0.0", Applied: 7},
		{Name: "b", Address: netip.MustParseAddr("198.18.0.2"), Zones: []string{"i"}, Path: status.PathLost},
	}}
	var out bytes.Buffer
	printHosts(&out, s)
	require.NotContains(t, out.String(), "VERSION")
	s.Agreed = &status.Agreed{Revision: 7, Newest: 7}
	out.Reset()
	printHosts(&out, s)
	var rows [][]string
	for line := range strings.Lines(out.String()) {
		rows = append(rows, strings.Fields(line))
	}
	require.Equal(t, [][]string{
		{"HOST", "ADDRESS", "ZONES", "VERSION", "REVISION", "PATH"},
		{"a", "198.18.0.1", "h", "v2.0.0", "7", "here"}, {"b", "198.18.0.2", "i", "-", "-", "lost"},
	}, rows)
}

func TestStatusHasZoneAffinityWhereTheCloudHasIt(t *testing.T) {
	for cloud, has := range map[string]bool{"aws": false, "alibaba": true} {
		var out bytes.Buffer
		printServices(&out, status.Lab{Cloud: cloud, Services: []status.EndpointService{{Name: "svc1"}}})
		require.Contains(t, out.String(), "svc1")
		require.Equal(t, has, bytes.Contains(out.Bytes(), []byte("ZONE AFFINITY")), cloud)
	}
}
