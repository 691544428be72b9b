package test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/golden"
	"github.com/plinksim/plinksim/pkg/plinktest"
	"github.com/plinksim/plinksim/pkg/topology"
)

// situations are what happens to the endpoint in zones h and i, in this order.
var situations = []struct {
	name string
	open bool           // a server answers; where none does, waiting is useless
	only topology.Cloud // the cloud that has it
	make func(*testing.T, *plinktest.Lab)
}{
	{"nobody has accepted", false, "", func(*testing.T, *plinktest.Lab) {}},
	{"accepted", true, "", func(t *testing.T, l *plinktest.Lab) {
		l.Accept("svc1", "ep1")
		for _, server := range []string{"web/vpc2/web-h", "web/vpc2/web-i"} {
			awaitEvent(t, l, 0, "server", server, "healthy")
		}
	}},
	{"zone h is down", true, "", func(t *testing.T, l *plinktest.Lab) {
		require.NoError(t, l.Running().TakeDown("cn-hangzhou-h", false))
	}},
	{"zone h is up, its server is down", true, "", func(t *testing.T, l *plinktest.Lab) {
		require.NoError(t, l.Running().BringUp("cn-hangzhou-h"))
		plug(t, l, "h", true)
	}},
	{"both servers are down", false, "", func(t *testing.T, l *plinktest.Lab) { plug(t, l, "i", true) }},
	{"the server of zone i is back", true, "", func(t *testing.T, l *plinktest.Lab) { plug(t, l, "i", false) }},
	{"both servers are back", true, "", func(t *testing.T, l *plinktest.Lab) { plug(t, l, "h", false) }},
	{"the provider disables zone h", true, "alibaba", func(_ *testing.T, l *plinktest.Lab) { l.Do(zoneOperation("zone-disable")) }},
	{"the provider enables zone h", true, "alibaba", func(_ *testing.T, l *plinktest.Lab) { l.Do(zoneOperation("zone-enable")) }},
	{"rejected", false, "", func(t *testing.T, l *plinktest.Lab) { l.Reject("svc1", "ep1") }},
}

func zoneOperation(verb topology.Verb) topology.Operation {
	return topology.Operation{Verb: verb, Service: "svc1", Endpoint: "ep1", Zone: "cn-hangzhou-h"}
}

// plug takes the server of a zone off the network or puts it back, and waits
// until the names know.
func plug(t *testing.T, l *plinktest.Lab, zone string, out bool) {
	t.Helper()
	before, to := lastSeq(l), "in"
	if out {
		to = "left"
	}
	unplug(t, l, "web-"+zone, out)
	awaitEvent(t, l, before, "name", "ep1@cn-hangzhou-"+zone, to)
}

// What an endpoint's name leads to in each situation, for an instance of each
// zone, asked by programs that read names in different ways. The table is
// there for people, too.
func TestWhatNamesLeadTo(t *testing.T) {
	setups := []struct {
		name, cloud string
		affinity    bool
		alb         bool
	}{
		{"Alibaba Cloud, zone affinity on", "alibaba", true, false},
		{"Alibaba Cloud, zone affinity off", "alibaba", false, false},
		{"Alibaba Cloud, zone affinity on, an ALB that keeps to its zones", "alibaba", true, true},
		{"AWS", "aws", false, false},
	}
	tables := make([]string, len(setups))
	t.Run("setups", func(t *testing.T) {
		for i, setup := range setups {
			t.Run(setup.name, func(t *testing.T) {
				t.Parallel()
				text := strings.Replace(zonesOf(setup.cloud, setup.affinity), "auto_accept: true", "auto_accept: false", 1)
				if setup.alb {
					text = strings.NewReplacer("type: nlb", "type: alb, cross_zone: false", "protocol: tcp", "protocol: http", "    vpc: vpc2\n    health_check", "    vpc: vpc2\n    protocol: http\n    health_check").Replace(text)
				}
				tables[i] = "\n== " + setup.name + "\n\n" + table(t, plinktest.UpText(t, text))
			})
		}
	})
	if t.Failed() || t.Skipped() {
		return
	}
	got := "What the name of an endpoint in zones h (10.0.1.200) and i (10.0.2.200) leads to.\n" +
		"curl, which calls twice, says which server answered, and at which address it was reached.\n" + strings.Join(tables, "")
	golden.Equal(t, "testdata/names.txt", got)
}

func table(t *testing.T, l *plinktest.Lab) string {
	t.Helper()
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 4, 3, ' ', 0)
	fmt.Fprintln(w, "SITUATION\tFROM ZONE\tDIG\tGETENT HOSTS\tGO\tCURL")
	for _, s := range situations {
		if s.only != "" && s.only != l.Plan().Cloud {
			continue
		}
		s.make(t, l)
		name := s.name
		for _, zone := range []string{"h", "i"} {
			fmt.Fprintf(w, "%s\t%s\t%s\n", name, zone, strings.Join(look(t, l, "ecs-"+zone, s.open), "\t"))
			name = ""
		}
	}
	w.Flush()
	return b.String()
}

// look asks from an instance with dig, getent, Go's resolver and, twice, curl.
func look(t *testing.T, l *plinktest.Lab, from string, open bool) []string {
	name, patience := l.Name("ep1"), "0.2"
	if open {
		patience = "10"
	}
	fetch := "; echo @; curl -s --max-time " + patience + " -w '%{remote_ip}' http://" + name + "/"
	script := "dig +short " + name + "; echo @; getent hosts " + name + " | cut -d' ' -f1" + fetch + fetch
	out, _ := l.Instance(from).Command(t.Context(), "sh", "-c", script).Output() // how curl ends is in the table
	said := strings.Split(string(out), "@")
	require.Len(t, said, 4)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	byGo, err := l.Instance(from).Resolver().LookupHost(ctx, name)
	if err != nil {
		byGo = []string{err.Error()}
	}
	return []string{set(strings.Fields(said[0])), set(strings.Fields(said[1])), set(byGo), set([]string{visit(said[2]), visit(said[3])})}
}

// visit is what curl got: the body, which is the server's name, and where from.
func visit(said string) string {
	words := strings.Fields(said)
	if len(words) != 2 {
		return "no answer"
	}
	return words[0] + " at " + words[1]
}

// set names each once.
func set(words []string) string {
	slices.Sort(words)
	return strings.Join(slices.Compact(words), ", ")
}
