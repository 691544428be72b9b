package console

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// patience is how long the page may take for anything.
const patience = 20 * time.Second

// lab is one without a file, and its console.
type lab struct {
	t       testing.TB
	name    string
	state   string
	address string // of the console, which opens it once
}

// newLab makes a lab as "plinksim up" does with these arguments.
func newLab(t testing.TB, name string, up ...string) *lab {
	t.Helper()
	l := &lab{t: t, name: name, state: t.TempDir()}
	if os.Getenv("PLINKSIM") == "" || os.Geteuid() != 0 {
		t.Fatal("run it by \"make console-browser\": it wants root, and the program's path in PLINKSIM")
	}
	l.plinksim(append([]string{"up"}, up...)...)
	t.Cleanup(func() { l.plinksim("down", name) })

	console := l.command("console", name)
	out, err := console.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, console.Start())
	t.Cleanup(func() {
		console.Process.Signal(syscall.SIGINT)
		require.NoError(t, console.Wait(), "the console ends well at ctrl-C")
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	l.address = strings.TrimSpace(address)
	return l
}

func (l *lab) command(args ...string) *exec.Cmd {
	l.t.Helper()
	program, err := filepath.Abs(os.Getenv("PLINKSIM"))
	require.NoError(l.t, err)
	return exec.Command(program, append([]string{"--state-dir", l.state}, args...)...)
}

func (l *lab) plinksim(args ...string) string {
	l.t.Helper()
	var said bytes.Buffer
	cmd := l.command(args...)
	cmd.Stderr = &said
	out, err := cmd.Output()
	require.NoError(l.t, err, "%v: %s", args, &said)
	return strings.TrimSpace(string(out))
}

// walker is somebody at a browser with a mouse and a keyboard, or a keyboard alone. What
// it looks for it finds in the page as it is drawn; no script acts for it.
type walker struct {
	t        testing.TB
	ctx      context.Context
	keys     bool          // without a mouse
	loads    *atomic.Int64 // pages that were loaded
	pictures *int
	prefix   string // of its pictures
}

// newBrowser starts a Chromium, which ends with the test.
func newBrowser(t testing.TB) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.WindowSize(1280, 900))
	// What Debian has in PATH is a script, without which its child would go on.
	for _, name := range []string{"/usr/lib/chromium/chromium-headless-shell", "chromium-headless-shell"} {
		if path, err := exec.LookPath(name); err == nil {
			options = append(options, chromedp.ExecPath(path))
			break
		}
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Run(ctx)) // it lives as long as this context
	return ctx
}

// visit opens the console at its address. No other address is typed.
func visit(t testing.TB, ctx context.Context, address string) *walker {
	t.Helper()
	w := &walker{t: t, ctx: ctx, loads: new(atomic.Int64), pictures: new(int)}
	chromedp.ListenTarget(ctx, func(event any) {
		if _, ok := event.(*page.EventLoadEventFired); ok {
			w.loads.Add(1)
		}
	})
	w.run("open", chromedp.EmulateViewport(1280, 900), chromedp.Navigate(address))
	w.see("What happened")
	return w
}

func (w *walker) run(what string, actions ...chromedp.Action) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	if err := chromedp.Run(ctx, actions...); err != nil {
		w.picture("failed")
		w.t.Fatalf("%s: %v", what, err)
	}
}

// picture keeps what the page looks like.
func (w *walker) picture(name string) {
	w.t.Helper()
	var png []byte
	if err := chromedp.Run(w.ctx, chromedp.FullScreenshot(&png, 100)); err != nil {
		w.t.Log(name, err)
		return
	}
	*w.pictures++
	words := strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(name), "-"), "-")
	file := fmt.Sprintf("%s%03d-%s.png", w.prefix, *w.pictures, words)
	require.NoError(w.t, os.WriteFile(filepath.Join(w.t.ArtifactDir(), file), png, 0o644))
}

// quoted is a text as XPath writes it.
func quoted(text string) string { return `"` + text + `"` }

// seen are the nodes at an XPath that are drawn.
func (w *walker) seen(path string) (out []*cdp.Node) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, patience)
	defer cancel()
	var nodes []*cdp.Node
	err := chromedp.Run(ctx, chromedp.Nodes(path, &nodes, chromedp.BySearch, chromedp.AtLeast(0)),
		chromedp.ActionFunc(func(ctx context.Context) error {
			for _, n := range nodes {
				if box, err := dom.GetBoxModel().WithNodeID(n.NodeID).Do(ctx); err == nil && box.Width > 0 {
					out = append(out, n)
				}
			}
			return nil
		}))
	if err != nil && ctx.Err() != nil {
		w.t.Fatal(err)
	}
	return out // an error is a page that goes
}

// find waits for a node and returns the first.
func (w *walker) find(what, path string) *cdp.Node {
	w.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if nodes := w.seen(path); len(nodes) > 0 {
			return nodes[0]
		}
	}
	w.picture("failed")
	w.t.Fatalf("there is no %s: %s", what, path)
	return nil
}

// see waits until the page has a text.
func (w *walker) see(text string) {
	w.t.Helper()
	w.find(quoted(text), fmt.Sprintf("//main//*[not(self::option)][contains(normalize-space(.),%s)]", quoted(text)))
}

// click clicks at the link, the button or the heading that has a text, and waits for the
// page where it leads.
func (w *walker) click(text string) {
	w.t.Helper()
	w.press(text, fmt.Sprintf("//*[self::a or self::button or self::summary][%s][normalize-space(.)=%s]", open, quoted(text)))
}

// open is a condition of XPath for what is in no closed part of the page.
const open = "self::summary or not(ancestor::details[not(@open)])"

func (w *walker) press(what, path string) {
	w.t.Helper()
	node, before := w.find(what, path), w.loads.Load()
	if w.keys {
		w.goTo(what, path)
		w.run("press Enter", chromedp.KeyEvent(kb.Enter))
	} else {
		w.point(what, path)
	}
	if node.NodeName == "SUMMARY" {
		return
	}
	for end := time.Now().Add(patience + 20*time.Second); w.loads.Load() == before; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			w.picture("failed")
			w.t.Fatalf("%s leads to no page", what)
		}
	}
}

// point clicks at a node. One that the page has replaced meanwhile is looked for again.
func (w *walker) point(what, path string) {
	w.t.Helper()
	var err error
	for range 10 {
		if err = chromedp.Run(w.ctx, chromedp.MouseClickNode(w.find(what, path))); err == nil {
			return
		}
	}
	w.picture("failed")
	w.t.Fatalf("click %s: %v", what, err)
}

// goTo moves the focus by Tab until it is at a node.
func (w *walker) goTo(what, path string) {
	w.t.Helper()
	for range 500 {
		var at []*cdp.Node
		w.run("look where the focus is", chromedp.KeyEvent(kb.Tab), chromedp.Nodes(":focus", &at, chromedp.ByQuery, chromedp.AtLeast(0)))
		if want := w.find(what, path); len(at) == 1 && at[0].NodeID == want.NodeID {
			return
		}
	}
	w.picture("failed")
	w.t.Fatalf("the keyboard does not come to %s", what)
}

// is is a condition of XPath for what stands at a field.
func is(label string) string {
	return fmt.Sprintf(`normalize-space(.)=%s or normalize-space(.)=%s`, quoted(label), quoted(label+" (required)"))
}

// write gives the field with a label its value: a text is typed, as is what a list has,
// and boxes are ticked.
func (w *walker) write(label, value string) {
	w.t.Helper()
	field := fmt.Sprintf("//main//label[@for][%s]", is(label))
	box := func(value string) string {
		return fmt.Sprintf("//main//fieldset[legend[%s]]//label[normalize-space(.)=%s]/input", is(label), quoted(value))
	}
	values := strings.Split(value, ", ")
	node := w.find("field "+label, field+" | "+box(values[0]))
	id, isField := node.Attribute("for")
	switch {
	case !isField:
		for _, v := range values {
			if w.keys {
				w.goTo(label, box(v))
				w.run("tick", chromedp.KeyEvent(" "))
			} else {
				w.point(label, box(v))
			}
		}
		return
	case w.keys:
		w.goTo(label, fmt.Sprintf("//*[@id=%s]", quoted(id)))
	default:
		w.point(label, field)
	}
	if w.find(label, fmt.Sprintf("//*[@id=%s]", quoted(id))).NodeName != "SELECT" {
		w.run("select what is there", chromedp.KeyEvent("a", chromedp.KeyModifiers(input.ModifierCtrl)))
	}
	w.run("write "+label, chromedp.KeyEvent(value))
}
