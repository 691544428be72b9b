package console

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// soon is how long a page may take to show what somebody else did.
const soon = time.Second

// TestTwoBrowsersAndACommand changes one lab from three places.
func TestTwoBrowsersAndACommand(t *testing.T) {
	l := newLab(t, "alibaba-clb", "../../../testdata/topologies/alibaba-clb.yaml")
	first := newBrowser(t)
	a := visit(t, first, l.address)
	a.prefix = "a"
	b := a.another(t)
	b.prefix = "b"
	state := func(word string) string {
		return fmt.Sprintf("//main//table//*[contains(@class,'badge')][.=%s]", quoted(word))
	}
	for _, w := range []*walker{a, b} {
		w.click("Objects")
		w.click("svc1")
		w.find("the connection", state("Disconnected"))
	}

	// Each sees what the others do.
	see := func(who string, what func()) {
		t.Helper()
		began := time.Now()
		what()
		took := time.Since(began)
		t.Logf("%s: seen after %s", who, took.Round(time.Millisecond))
		require.Less(t, took, soon, who)
	}
	l.plinksim("accept", "svc1", "ep1")
	see("both browsers, of a command", func() {
		a.find("the connection", state("Connected"))
		b.find("the connection", state("Connected"))
	})
	a.click("Deny")
	a.press("Deny", stepForm+button)
	a.see("Done.")
	see("a browser, of the other", func() { b.find("the connection", state("Disconnected")) })
	require.Contains(t, l.plinksim("connection", "list", "svc1"), "Disconnected")

	// A form that was opened before somebody else was there first is refused.
	b.click("Allow")
	b.find("the form", stepForm)
	l.plinksim("accept", "svc1", "ep1")
	b.press("Allow", stepForm+button)
	b.see("ep1 is not as it was on your page: nothing was done")
	b.see("the last that happened to it")
	b.measure("stale")

	// What all do at once is there once.
	const each = 4
	t.Run("at once", func(t *testing.T) {
		for _, w := range []*walker{a, b} {
			t.Run(w.prefix, func(t *testing.T) {
				t.Parallel()
				at := *w
				at.t = t
				for i := range each {
					at.step(step{clicks: []string{"Create …", "vpc create"},
						fields: [][2]string{{"Name", fmt.Sprint(w.prefix, "-", i)}, {"CIDR", "10.0.0.0/16"}}})
				}
			})
		}
		t.Run("c", func(t *testing.T) {
			t.Parallel()
			at := *l
			at.t = t
			for i := range each {
				at.plinksim("vpc", "create", fmt.Sprint("c-", i), "cidr=10.0.0.0/16")
			}
		})
	})
	a.click("Objects")
	b.click("Objects")
	edits := l.plinksim("edit", "list")
	for _, who := range []string{"a", "b", "c"} {
		for i := range each {
			name := fmt.Sprint(who, "-", i)
			for _, w := range []*walker{a, b} {
				w.find(name, fmt.Sprintf("//article//h3/a[.=%s]", quoted(name)))
				require.Len(t, w.seen(fmt.Sprintf("//article//h3/a[.=%s]", quoted(name))), 1, "%s in browser %s", name, w.prefix)
			}
			require.Equal(t, 1, strings.Count(edits, name), "%s in %s", name, edits)
		}
	}
	a.click("Events")
	for _, who := range []string{"a", "b", "c"} {
		for i := range each {
			event := fmt.Sprintf("//ol[@id='events']/li[contains(.,%s)]", quoted(fmt.Sprint("+ vpcs/", who, "-", i, ":")))
			require.Len(t, a.seen(event), 1, "the event of %s-%d", who, i)
		}
	}
}

// another makes an address in the console and opens it in a browser of its own.
func (w *walker) another(t testing.TB) *walker {
	t.Helper()
	w.click("Another browser")
	w.see("This address opens the console once")
	var address string
	w.run("read the address", chromedp.Text("//main//pre", &address, chromedp.BySearch))
	ctx, cancel := chromedp.NewContext(w.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Run(ctx)) // it lives as long as this context
	return visit(t, ctx, strings.TrimSpace(address))
}

// TestAnotherUserOfTheMachine is kept out of the page and of the lab's socket.
func TestAnotherUserOfTheMachine(t *testing.T) {
	l := newLab(t, "alibaba-clb", "../../../testdata/topologies/alibaba-clb.yaml")
	base, _, _ := strings.Cut(l.address, "/open")
	as := func(uid uint32, name string, args ...string) (string, error) {
		cmd := exec.Command(name, args...)
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	const nobody = 65534
	for _, path := range []string{"/", "/objects", "/style.css", "/stream", "/open", "/open?token=AAAA", "/capture.pcapng?count=1&seconds=1"} {
		out, err := as(nobody, "curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", base+path)
		require.NoError(t, err, path)
		require.Equal(t, "403", out, path)
	}
	out, err := as(nobody, "curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Origin: "+base, "-d", "x=y", base+"/ticket")
	require.NoError(t, err)
	require.Equal(t, "403", out, "a form")
	// The token stands in no argument of a process, and the lab's directory opens to its owner.
	for _, what := range []string{"control.sock", "state.json", "topology.yaml"} {
		_, err := as(nobody, "cat", filepath.Join(l.state, l.name, what))
		require.Error(t, err, what)
	}
	_, token, _ := strings.Cut(l.address, "token=")
	out, err = as(nobody, "ps", "-eo", "args")
	require.NoError(t, err)
	require.NotContains(t, out, token)
	_, err = as(nobody, "curl", "-s", "-m", "5", "--unix-socket", filepath.Join(l.state, l.name, "control.sock"), "http://lab/v1/status")
	require.Error(t, err)
	// The address, which works once, has not been used up by that.
	w := visit(t, newBrowser(t), l.address)
	w.see("Topology")
	out, err = as(nobody, "curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", l.address)
	require.NoError(t, err)
	require.Equal(t, "403", out, "an address that was used")
}
