package status

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// seenOn is what a host tells of a lab over a and b, each with an instance and a server.
func seenOn(host string, change func(*Lab)) Lab {
	at := netip.MustParseAddrPort("10.0.0.1:80")
	s := Lab{Host: host, Hosts: []Host{{Name: "a"}, {Name: "b"}}}
	vpc := VPC{Name: "v"}
	group := ServerGroup{Name: "g"}
	for _, of := range []string{"a", "b"} {
		in := Instance{Name: "on-" + of, Services: []InstanceService{{Kind: "http", State: "listening"}}}
		if of != host {
			in.Host, in.Services[0].State = of, "on host "+of
		}
		vpc.Instances = append(vpc.Instances, in)
		group.Servers = append(group.Servers, Server{Instance: "v/on-" + of, Address: at, Healthy: true, State: "Normal", Sessions: 2})
	}
	s.VPCs, s.ServerGroups = []VPC{vpc}, []ServerGroup{group}
	s.Links = []Link{{Name: "ep@" + host + " tcp/80", Sessions: 1}}
	s.Endpoints = []Endpoint{{Name: "ep", Zones: []Zone{{Zone: "a"}, {Zone: "b"}}}}
	s.Shaping = []Shaped{{Name: "ep", ToProvider: Impairment{Frames: ShapedFrames{Passed: 3, Lost: 1}}}}
	s.Dataplane = Dataplane{Sessions: 1, MaxSessions: 10, Verdicts: map[string]uint64{"forwarded": 5}}
	if change != nil {
		change(&s)
	}
	return s
}

func TestAMergedStatusIsOfAllHosts(t *testing.T) {
	for _, asked := range []string{"a", "b"} {
		other := map[string]string{"a": "b", "b": "a"}[asked]
		own, before := seenOn(asked, nil), seenOn(asked, nil)
		got := Merge(own, map[string]Lab{other: seenOn(other, func(s *Lab) { s.Problems = []string{"it is late"} })}, nil)
		require.Equal(t, before, own, "what was given stays as it is")
		require.Equal(t, []Host{{Name: "a", Daemon: DaemonOK}, {Name: "b", Daemon: DaemonOK}}, got.Hosts)
		for i, of := range []string{"a", "b"} {
			in := got.VPCs[0].Instances[i]
			require.Equal(t, "listening", in.Services[0].State)
			require.Equal(t, map[bool]string{true: "", false: of}[of == asked], in.Host)
			require.Equal(t, 4, got.ServerGroups[0].Servers[i].Sessions)
			require.Equal(t, "ep@"+of+" tcp/80", got.Links[i].Name, "asked on %s", asked)
		}
		require.Equal(t, ShapedFrames{Passed: 6, Lost: 2}, got.Shaping[0].ToProvider.Frames)
		require.Equal(t, Dataplane{Sessions: 2, MaxSessions: 20, Verdicts: map[string]uint64{"forwarded": 10}}, got.Dataplane)
		require.Equal(t, []string{"host " + other + ": it is late"}, got.Problems)
	}
}

func TestAHostThatIsSilentIsNamed(t *testing.T) {
	got := Merge(seenOn("a", nil), nil, map[string]string{"b": "connection refused"})
	require.Equal(t, []Host{{Name: "a", Daemon: DaemonOK}, {Name: "b", Daemon: "connection refused"}}, got.Hosts)
	require.Equal(t, "listening", got.VPCs[0].Instances[0].Services[0].State)
	require.Equal(t, "unknown", got.VPCs[0].Instances[1].Services[0].State)
	require.Len(t, got.Links, 1)
}

// A server is what its own host finds, and who finds it unhealthy is named.
func TestAServerIsAsItsHostFindsIt(t *testing.T) {
	sick := func(server int) func(*Lab) {
		return func(s *Lab) {
			s.ServerGroups[0].Servers[server].Healthy = false
			s.ServerGroups[0].Servers[server].State = "Abnormal"
			s.ServerGroups[0].Servers[server].Reason = "no answer"
		}
	}
	for _, tt := range []struct {
		name        string
		here, there func(*Lab) // what a and b find
		asked       string
		healthy     []bool
		reasons     []string
	}{
		{"all are well", nil, nil, "a", []bool{true, true}, []string{"", ""}},
		{"its host finds it sick", nil, sick(1), "a", []bool{true, false}, []string{"", "no answer"}},
		{"the same, asked there", nil, sick(1), "b", []bool{true, false}, []string{"", "no answer"}},
		{"only the other host does", nil, sick(0), "a", []bool{true, true}, []string{"not for host b (Abnormal: no answer)", ""}},
		{"the same, asked there", nil, sick(0), "b", []bool{true, true}, []string{"not for host b (Abnormal: no answer)", ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			seen := map[string]Lab{"a": seenOn("a", tt.here), "b": seenOn("b", tt.there)}
			own := seen[tt.asked]
			delete(seen, tt.asked)
			got := Merge(own, seen, nil).ServerGroups[0].Servers
			require.Equal(t, tt.healthy, []bool{got[0].Healthy, got[1].Healthy})
			require.Equal(t, tt.reasons, []string{got[0].Reason, got[1].Reason})
		})
	}
}
