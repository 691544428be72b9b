//go:build browser

// A browser is large, so only "make browser", which installs one, has these tests.

package test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/websocket"

	"github.com/plinksim/plinksim"
	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/graph"
	"github.com/plinksim/plinksim/pkg/topofile"
)

// The page of examples/browser shows the checks of a topology as they pass, in a real
// browser. Its screenshots are among the test's artifacts.
func TestTheChecksPassInABrowser(t *testing.T) {
	testenv.NeedPrograms(t, "chromium-headless-shell")
	dir := t.TempDir()
	out, err := exec.CommandContext(t.Context(), "../scripts/browser", dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
	site := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer site.Close()
	page := browse(t)

	for topology, checks := range map[string]int{"alibaba-clb": 10, "alibaba-alb": 0, "aws-nlb": 0} {
		page.call("Page.navigate", map[string]any{"url": site.URL + "/?" + topology + "#" + topology}, nil)
		page.await("all checks passed", `/^all \d+ passed$/.test(document.getElementById("verdict").textContent)`)
		var passed int
		page.evaluate(`document.querySelectorAll("#checks .passed").length`, &passed)
		if checks > 0 {
			require.Equal(t, checks, passed)
		}
		require.NotZero(t, passed)
		page.screenshot(topology)
	}

	// What a visitor does: the provider rejects, and the page says why nothing comes.
	page.call("Page.navigate", map[string]any{"url": site.URL + "/#alibaba-clb"}, nil)
	page.await("all checks passed", `document.getElementById("verdict").textContent === "all 10 passed"`)
	page.evaluate(`document.querySelector("#connections button").click()`, nil)
	page.await("it is rejected", `document.querySelector("#connections button").textContent === "Accept"`)
	page.evaluate(`document.querySelector("#try button").click()`, nil)
	page.await("the page says why", `document.querySelector("#answer .remedy")?.textContent === "to let it pass: accept svc1 ep1"`)
	page.await("and shows the packet", `document.querySelector("#packets .dropped")?.textContent.includes("NotConnected")`)
	page.screenshot("rejected")
	page.evaluate(`document.querySelector("#connections button").click()`, nil)
	page.await("it is accepted", `document.querySelector("#connections button").textContent === "Reject"`)
	page.evaluate(`document.querySelector("#try button").click()`, nil)
	page.await("a server answers", `/^200 OK, .*\n.*ecs[23]/.test(document.getElementById("answer").textContent)`)
}

// measure is what a browser says of the drawing in the page: texts that leave their
// node or the page, and texts that cover each other.
const measure = `(() => {
	const bad = [], svg = document.querySelector("svg"), page = svg.viewBox.baseVal
	const texts = [...svg.querySelectorAll("text")].map(t => ({t, box: t.getBBox(), text: t.textContent}))
	for (const {t, box, text} of texts) {
		const around = t.parentNode.tagName === "g" ? t.parentNode.querySelector("rect:last-of-type").getBBox() : page
		if (box.x < around.x || box.x + box.width > around.x + around.width ||
			box.y < around.y || box.y + box.height > around.y + around.height) bad.push(text + " is clipped")
	}
	for (const [i, a] of texts.entries()) for (const b of texts.slice(i + 1)) {
		const x = Math.min(a.box.x + a.box.width, b.box.x + b.box.width) - Math.max(a.box.x, b.box.x)
		const y = Math.min(a.box.y + a.box.height, b.box.y + b.box.height) - Math.max(a.box.y, b.box.y)
		if (x > 0 && y > 2) bad.push(a.text + " covers " + b.text) // 2: descenders of lines below each other
	}
	return bad
})()`

// Every topology's picture, as a browser draws it with its fonts, light and dark: no
// text is clipped or covers another. The screenshots are among the test's artifacts.
func TestTheTextsOfPicturesFitInABrowser(t *testing.T) {
	testenv.NeedPrograms(t, "chromium-headless-shell")
	page := browse(t)
	dir := t.TempDir()
	for _, topology := range plinksim.Topologies() {
		plan, err := topofile.Parse(topology.Name, []byte(topology.Text()))
		require.NoError(t, err)
		file := filepath.Join(dir, topology.Name+".html")
		require.NoError(t, os.WriteFile(file, []byte(graph.Of(plan, graph.Live{}).HTML()), 0o644))
		for _, scheme := range []string{"light", "dark"} {
			page.call("Emulation.setEmulatedMedia", map[string]any{
				"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
			page.call("Page.navigate", map[string]any{"url": "file://" + file}, nil)
			page.await("the picture is there", `document.querySelector("svg") !== null && document.readyState === "complete"`)
			var bad []string
			page.evaluate(measure, &bad)
			require.Empty(t, bad, "%s, %s", topology.Name, scheme)
			page.screenshot("picture-" + topology.Name + "-" + scheme)
		}
	}
}

// browser is a page of a headless Chromium, driven by its DevTools protocol
// (chromedevtools.github.io/devtools-protocol).
type browser struct {
	t    *testing.T
	conn *websocket.Conn
	last int
}

var listening = regexp.MustCompile(`DevTools listening on (ws://\S+)`)

func browse(t *testing.T) *browser {
	t.Helper()
	cmd := exec.Command("chromium-headless-shell", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--remote-debugging-port=0", "--remote-allow-origins=*", "--user-data-dir="+t.TempDir(), "--window-size=1440,1320", "about:blank")
	// What is started is a script, and the browser, with others, its child.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL))
		cmd.Wait()
	})
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if m := listening.FindStringSubmatch(lines.Text()); m != nil {
			go func() {
				for lines.Scan() {
				}
			}()
			return &browser{t: t, conn: firstPage(t, m[1])}
		}
	}
	t.Fatal("the browser does not start")
	return nil
}

func firstPage(t *testing.T, browser string) *websocket.Conn {
	t.Helper()
	at, err := url.Parse(browser)
	require.NoError(t, err)
	resp, err := http.Get("http://" + at.Host + "/json/list")
	require.NoError(t, err)
	defer resp.Body.Close()
	var pages []struct {
		Type string
		URL  string `json:"webSocketDebuggerUrl"`
	}
	require.NoError(t, json.NewDecoder(resp.Body).Decode(&pages))
	for _, page := range pages {
		if page.Type == "page" {
			conn, err := websocket.Dial(page.URL, "", "http://"+at.Host)
			require.NoError(t, err)
			conn.MaxPayloadBytes = 64 << 20
			t.Cleanup(func() { conn.Close() })
			return conn
		}
	}
	t.Fatal("the browser has no page")
	return nil
}

// call sends a command and waits for its result.
func (b *browser) call(method string, params map[string]any, result any) {
	b.t.Helper()
	b.last++
	require.NoError(b.t, b.conn.SetDeadline(time.Now().Add(time.Minute)))
	require.NoError(b.t, websocket.JSON.Send(b.conn, map[string]any{"id": b.last, "method": method, "params": params}))
	for {
		var answer struct {
			ID     int
			Result json.RawMessage
			Error  any
		}
		require.NoError(b.t, websocket.JSON.Receive(b.conn, &answer))
		if answer.ID != b.last {
			continue // an event
		}
		require.Nil(b.t, answer.Error, "%s: %v", method, answer.Error)
		if result != nil {
			require.NoError(b.t, json.Unmarshal(answer.Result, result))
		}
		return
	}
}

func (b *browser) evaluate(expression string, into any) {
	b.t.Helper()
	var answer struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails any
	}
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &answer)
	require.Nil(b.t, answer.ExceptionDetails, "%s: %v", expression, answer.ExceptionDetails)
	if into != nil {
		require.NoError(b.t, json.Unmarshal(answer.Result.Value, into))
	}
}

func (b *browser) await(what, condition string) {
	b.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		var is bool
		// Where the page is not loaded yet, something is missing.
		b.evaluate(fmt.Sprintf("(() => { try { return Boolean(%s) } catch { return false } })()", condition), &is)
		if is {
			return
		}
		if time.Now().After(deadline) {
			b.screenshot("failed")
			b.t.Fatalf("%s: it does not come; see failed.png in %s", what, b.t.ArtifactDir())
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (b *browser) screenshot(name string) {
	b.t.Helper()
	var answer struct{ Data string }
	b.call("Page.captureScreenshot", map[string]any{"format": "png"}, &answer)
	image, err := base64.StdEncoding.DecodeString(answer.Data)
	require.NoError(b.t, err)
	require.NoError(b.t, os.WriteFile(filepath.Join(b.t.ArtifactDir(), name+".png"), image, 0o644))
}
