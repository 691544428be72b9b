package test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/status"
)

// path is what a host knows of the way to another one.
func (h hostMachine) path(other string) status.Host {
	h.t.Helper()
	var now status.Lab
	require.NoError(h.t, json.Unmarshal([]byte(h.run("status", "-o", "json")), &now))
	for _, host := range now.Hosts {
		if host.Name == other {
			return host
		}
	}
	require.Fail(h.t, "there is no host "+other)
	return status.Host{}
}

// becomes waits until the way to another host is something, and says how long that took.
func (h hostMachine) becomes(other, path string, within time.Duration) time.Duration {
	h.t.Helper()
	began := time.Now()
	for h.path(other).Path != path {
		require.Less(h.t, time.Since(began), within, "host %s to %s is %+v, and should be %q", h.name, other, h.path(other), path)
		time.Sleep(50 * time.Millisecond)
	}
	return time.Since(began)
}

// leads says whether a name leads an instance to an address.
func (h hostMachine) leads(from, name, address string) bool {
	h.t.Helper()
	return strings.Contains(h.run("dns", "query", name, "--from", from), " IN A "+address+"\n")
}

// between runs a program in the network between the hosts.
func (h hostMachine) between(program string, args ...string) {
	h.t.Helper()
	ns := strings.TrimSuffix(h.netns, "-"+h.name) + "-between"
	out, err := exec.Command("nsenter", append([]string{"--net=/run/netns/" + ns, program}, args...)...).CombinedOutput()
	require.NoError(h.t, err, "%s", out)
}

// wire sets the port of the host there.
func (h hostMachine) wire(args ...string) {
	h.t.Helper()
	h.between("ip", append([]string{"link", "set", "to-" + h.name}, args...)...)
}

// meet waits until hosts know of each other.
func meet(hosts ...hostMachine) {
	for _, h := range hosts {
		h.t.Helper()
		for _, other := range hosts {
			if other.name != h.name {
				h.becomes(other.name, status.PathOK, 10*time.Second)
			}
		}
	}
}

// writeOverHosts writes the file of two hosts with other lines.
func writeOverHosts(t *testing.T, edits ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "over.yaml")
	text := strings.NewReplacer(append(edits, "LONG", strings.Repeat("x", 1500-28))...).Replace(overHosts)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// TestAHostThatIsLost kills a host as a whole, then its daemon alone, and takes it down at
// last: what keeps to the other zone notices nothing, and names do not lead to the zone
// until it is back, also those of a service whose load balancer could do without.
func TestAHostThatIsLost(t *testing.T) {
	t.Parallel()
	testenv.NeedRoot(t)
	testenv.NeedNoRace(t) // the program is built without it
	testenv.NeedPrograms(t, "ip", "nsenter", "curl", "nft")
	hosts := hostMachines(t, "over-hosts", 1550, "a", "b")
	a, b := hosts[0], hosts[1]
	file := writeOverHosts(t, "far: {resources: [far], auto_accept: true, zone_affinity: true", "far: {resources: [far], auto_accept: true, zone_affinity: false")
	up := func(h hostMachine) (string, error) { return h.enter(h.bin, "up", file, "--host", h.name) }

	out, err := up(a)
	require.NoError(t, err, out)
	require.Contains(t, out, "host b does not answer (198.18.0.2): until it does, names do not lead to its zones: r1-i")
	far := strings.TrimSpace(a.run("name", "ep-far"))
	toB := func() bool { t.Helper(); return a.leads("web-h", far, "10.0.2.201") }
	require.False(t, toB(), "the zone of a host that is not up")
	out, err = up(b)
	require.NoError(t, err, out)
	require.NotContains(t, out, "does not answer")
	meet(a, b)
	require.True(t, toB())
	require.Regexp(t, `\n5 passed, 0 failed, 2 not run on this host`, a.run("check"))

	// Calls that keep to the zone, all the time.
	near := strings.TrimSpace(a.run("name", "ep-near"))
	stop := filepath.Join(t.TempDir(), "stop")
	loop := fmt.Sprintf("while [ ! -e %s ]; do curl -s -m 2 http://%s/ || echo failed; echo; sleep 0.02; done", stop, near)
	calls := make(chan string, 1)
	go func() {
		out, _ := a.enter(a.bin, "exec", "web-h", "--", "sh", "-c", loop)
		calls <- out
	}()
	defer os.WriteFile(stop, nil, 0o600)

	lost := func(what, text string) {
		t.Helper()
		began := time.Now()
		for toB() {
			require.Less(t, time.Since(began), 6*time.Second, "%s: the zone is still in the answers", what)
		}
		t.Logf("%s: out of the names after %v", what, time.Since(began))
		require.Equal(t, status.PathLost, a.path("b").Path)
		require.Equal(t, text, a.path("b").Text)
		require.Contains(t, a.run("status"), text)
		explained, _ := a.enter(a.bin, "explain", "web-h", "ep-far@r1-i")
		require.Contains(t, explained, text)
		require.Equal(t, map[string]int{"api-h": 20}, a.calls("web-h", "http://"+far+"/", 20), "%s: calls across zones", what)
		require.Contains(t, a.run("events"), text)
	}
	back := func(what string) {
		t.Helper()
		began := time.Now()
		for !toB() {
			require.Less(t, time.Since(began), 10*time.Second, "%s: the zone is not back in the answers", what)
		}
		t.Logf("%s: back in the names after %v", what, time.Since(began))
		require.Equal(t, map[string]int{"api-i": 3}, a.calls("web-h", "http://10.0.2.200/", 3))
		require.Contains(t, a.run("events"), "host b answers again")
	}

	b.wire("down")
	b.kill()
	lost("the host is gone", "host b does not answer")
	b.wire("up")
	out, err = up(b)
	require.NoError(t, err, out)
	back("the host is there again")

	b.kill() // the kernel goes on: packets between instances pass, those of endpoints do not
	lost("the daemon is killed", "host b does not answer")
	out, err = up(b)
	require.NoError(t, err, out)
	back("the daemon is there again")

	b.run("down")
	lost("the host is taken down", "host b was taken down")

	require.NoError(t, os.WriteFile(stop, nil, 0o600))
	answers := map[string]int{}
	for _, word := range strings.Fields(<-calls) {
		answers[word]++
	}
	require.Len(t, answers, 1, "calls that keep to their zone: %v", answers)
	require.Greater(t, answers["api-h"], 50)
	t.Logf("calls that kept to their zone: %v", answers)
}

func TestAnUnderlayThatCarriesLess(t *testing.T) {
	t.Parallel()
	testenv.NeedRoot(t)
	testenv.NeedNoRace(t) // the program is built without it
	testenv.NeedPrograms(t, "ip", "nsenter", "nft")
	hosts := hostMachines(t, "over-hosts", 1550, "a", "b")
	a, b := hosts[0], hosts[1]
	file := writeOverHosts(t, "underlay: {mtu: 1550}", "underlay: {mtu: 1500}")
	require.Contains(t, a.refused("up", file, "--host", "a"),
		`vpc "shop" has packets of 1500 bytes, VXLAN adds 50, and the underlay carries 1500`)

	file = writeOverHosts(t)
	b.wire("mtu", "1400") // what is behind the cards of the hosts
	a.run("up", file, "--host", "a")
	began := time.Now()
	const tooSmall = "packets of 44 bytes pass, those of 1500 do not, in both directions: the underlay carries less than 1550 bytes"
	require.Contains(t, b.run("up", file, "--host", "b"), "host a (198.18.0.1): "+tooSmall)
	require.Less(t, time.Since(began), 20*time.Second)
	a.becomes("b", status.PathTooSmall, 20*time.Second)
	require.Equal(t, tooSmall, a.path("b").Text)
	require.Equal(t, map[string]int{"web-i": 3}, a.calls("web-h", "http://10.0.2.10/", 3), "it is not lost")

	b.wire("mtu", "1550")
	t.Logf("right again after %v", a.becomes("b", status.PathOK, 20*time.Second))
	b.becomes("a", status.PathOK, 20*time.Second)
	if os.Getenv("PLINKSIM_LONG") != "1" {
		return
	}
	// Less while it runs, in one direction.
	a.between("nft", "add table bridge test; add chain bridge test f { type filter hook forward priority 0; };"+
		"add rule bridge test f ip saddr 198.18.0.1 ip length > 1500 drop")
	t.Logf("too small after %v", a.becomes("b", status.PathTooSmall, 20*time.Second))
	require.Contains(t, a.path("b").Text, "those of 1500 do not to there")
	b.becomes("a", status.PathTooSmall, 20*time.Second)
	require.Contains(t, b.path("a").Text, "those of 1500 do not from there")
	a.between("nft", "delete table bridge test")
	a.becomes("b", status.PathOK, 20*time.Second)
	b.becomes("a", status.PathOK, 20*time.Second)
	// And the card of a host itself, whose kernel would cut packets into fragments.
	_, err := a.enter("ip", "link", "set", "eth0", "mtu", "1400")
	require.NoError(t, err)
	a.becomes("b", status.PathTooSmall, 20*time.Second)
}
