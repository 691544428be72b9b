package main

import (
	"bytes"
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

func TestStatusHasZoneAffinityWhereTheCloudHasIt(t *testing.T) {
	for cloud, has := range map[string]bool{"aws": false, "alibaba": true} {
		var out bytes.Buffer
		printServices(&out, status.Lab{Cloud: cloud, Services: []status.EndpointService{{Name: "svc1"}}})
		require.Contains(t, out.String(), "svc1")
		require.Equal(t, has, bytes.Contains(out.Bytes(), []byte("ZONE AFFINITY")), cloud)
	}
}
