package console

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// What a lab of 1,000 instances may take.
const (
	mostPaint  = time.Second
	mostShown  = 300 * time.Millisecond
	mostOfCore = 5.0 // percent, of the daemon with ten pages open
	rounds     = 10
)

// TestAThousandInstances holds the console to its figures: medians of ten.
func TestAThousandInstances(t *testing.T) {
	l := newLab(t, "thousand", "../../../testdata/large/thousand.yaml")
	browser := newBrowser(t)
	w := visit(t, browser, l.address)
	base, _, _ := strings.Cut(l.address, "/open")
	var now struct{ PID int }
	require.NoError(t, json.Unmarshal([]byte(l.plinksim("status", "-o", "json")), &now))

	var paints []time.Duration
	for range rounds {
		var ms float64
		w.run("paint", chromedp.Navigate(base+"/"), chromedp.Poll(
			`performance.getEntriesByName("first-contentful-paint")[0]?.startTime`, &ms))
		paints = append(paints, time.Duration(ms*float64(time.Millisecond)))
	}

	// Nine more pages of all kinds.
	for _, path := range []string{"/objects", "/objects?q=ecs", "/figures", "/events", "/sessions", "/o/endpoints/ep-1",
		"/o/endpoint_services/shop", "/o/server_groups/web", "/o/vpcs/customer-1/instances/ecs-1"} {
		ctx, cancel := chromedp.NewContext(browser)
		t.Cleanup(cancel)
		require.NoError(t, chromedp.Run(ctx))
		tab := *w
		tab.ctx = ctx
		tab.run("open "+path, chromedp.Navigate(base+path), chromedp.WaitReady("main"))
	}
	time.Sleep(3 * time.Second) // the pages have been made: what follows is what they take from now on
	var cores []float64
	for range rounds {
		before, at := cpu(t, now.PID), time.Now()
		time.Sleep(3 * time.Second)
		cores = append(cores, 100*(cpu(t, now.PID)-before).Seconds()/time.Since(at).Seconds())
	}

	var shown []time.Duration
	for i := range rounds {
		shown = append(shown, w.shown(l, []string{"reject", "accept"}[i%2]))
	}
	paint, core, show := median(paints), median(cores), median(shown)
	load, _ := os.ReadFile("/proc/loadavg")
	t.Logf("first paint %s (%s); the daemon %.1f %% of a core (%.1f); an event shown after %s (%s); load %s", paint, paints, core, cores,
		show, shown, strings.TrimSpace(string(load)))
	require.LessOrEqual(t, paint, mostPaint)
	require.LessOrEqual(t, core, mostOfCore)
	require.LessOrEqual(t, show, mostShown)
}

// shown lets a command do something to a connection and returns how long after its event
// the page had that.
func (w *walker) shown(l *lab, verb string) time.Duration {
	w.t.Helper()
	w.run("watch the events", chromedp.Evaluate(`(() => {
		const events = document.getElementById("events"), newest = () => events.querySelector("li")?.textContent, before = newest()
		window.shown = 0
		new MutationObserver(() => { if (!window.shown && newest() !== before) window.shown = Date.now() })
			.observe(events, {childList: true, subtree: true, characterData: true}) })()`, nil))
	began := time.Now()
	l.plinksim(verb, "shop", "ep-1")
	var at float64
	w.run("see the event", chromedp.Poll("window.shown || null", &at))
	var first time.Time // of those that the command led to
	for line := range strings.Lines(l.plinksim("events", "-o", "json")) {
		var event struct{ Time time.Time }
		require.NoError(w.t, json.Unmarshal([]byte(line), &event))
		if event.Time.After(began) && first.IsZero() {
			first = event.Time
		}
	}
	require.False(w.t, first.IsZero())
	time.Sleep(500 * time.Millisecond) // the page has all of them before the next
	return time.UnixMilli(int64(at)).Sub(first)
}

// cpu is the time that a process took of all cores (proc_pid_stat(5), utime and stime).
func cpu(t testing.TB, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	var ticks int
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		require.NoError(t, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100
}

func median[T interface{ ~int64 | ~float64 }](of []T) T {
	of = slices.Sorted(slices.Values(of))
	return (of[(len(of)-1)/2] + of[len(of)/2]) / 2
}
