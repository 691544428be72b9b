package console

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// walker is a lab without a file, its console, and a browser in which the console was
// opened by its address. No other address is typed.
type walker struct {
	t        *testing.T
	plinksim func(args ...string) string
	ctx      context.Context
	base     string
	pictures int
}

func newWalker(t *testing.T, cloud, region, name string) *walker {
	t.Helper()
	program, err := filepath.Abs(os.Getenv("PLINKSIM"))
	require.NoError(t, err)
	if os.Getenv("PLINKSIM") == "" || os.Geteuid() != 0 {
		t.Fatal("run it by \"make console-browser\": it wants root, and the program's path in PLINKSIM")
	}
	state := t.TempDir()
	w := &walker{t: t}
	w.plinksim = func(args ...string) string {
		t.Helper()
		out, err := exec.Command(program, append([]string{"--state-dir", state}, args...)...).Output()
		require.NoError(t, err, "%v: %s", args, out)
		return strings.TrimSpace(string(out))
	}
	w.plinksim("up", "--cloud", cloud, "--region", region, "--name", name)
	t.Cleanup(func() { w.plinksim("down", name) })

	console := exec.Command(program, "--state-dir", state, "console", name)
	out, err := console.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, console.Start())
	t.Cleanup(func() {
		console.Process.Signal(syscall.SIGINT)
		require.NoError(t, console.Wait(), "the console ends well at ctrl-C")
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	w.base, _, _ = strings.Cut(address, "/open")

	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.WindowSize(1280, 900))
	if path, err := exec.LookPath("chromium-headless-shell"); err == nil {
		options = append(options, chromedp.ExecPath(path))
	}
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	w.ctx, cancel = context.WithTimeout(ctx, 4*time.Minute)
	t.Cleanup(cancel)
	if err := chromedp.Run(w.ctx); err != nil { // the browser lives as long as this context
		t.Fatal(err)
	}
	w.run("open", chromedp.EmulateViewport(1280, 900), chromedp.Navigate(strings.TrimSpace(address)),
		chromedp.WaitVisible("//h1[.='Overview']", chromedp.BySearch))
	return w
}

func (w *walker) run(what string, actions ...chromedp.Action) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, 20*time.Second)
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
	w.pictures++
	file := fmt.Sprintf("%02d-%s.png", w.pictures, strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(name), "-"), "-"))
	require.NoError(w.t, os.WriteFile(filepath.Join(w.t.ArtifactDir(), file), png, 0o644))
}

// quoted is a text as XPath writes it.
func quoted(text string) string { return `"` + text + `"` }

// click clicks at the link, the button or the heading that has a text.
func (w *walker) click(text string) {
	w.t.Helper()
	path := fmt.Sprintf("//*[self::a or self::button or self::summary][normalize-space(.)=%s]", quoted(text))
	w.run("click "+text, chromedp.WaitVisible(path, chromedp.BySearch), chromedp.Click(path, chromedp.BySearch))
}

// see waits until the page has a text.
func (w *walker) see(text string) {
	w.t.Helper()
	w.run("see "+text, chromedp.WaitVisible(fmt.Sprintf("//main//*[contains(normalize-space(.),%s)]", quoted(text)), chromedp.BySearch))
}

// write gives the field with a label its value, by the keyboard.
func (w *walker) write(label, value string) {
	w.t.Helper()
	field := fmt.Sprintf("//*[@id=//label[starts-with(normalize-space(.),%s)]/@for]", quoted(label))
	box := fmt.Sprintf("//fieldset[legend[starts-with(normalize-space(.),%s)]]//label[normalize-space(.)=%s]", quoted(label), quoted(value))
	var kind string
	named := fmt.Sprintf("//*[self::label or self::legend][starts-with(normalize-space(.),%s)]", quoted(label))
	w.run("find "+label, chromedp.WaitVisible(named, chromedp.BySearch), chromedp.Evaluate(fmt.Sprintf(`(() => {
		const label = [...document.querySelectorAll("label")].find((l) => l.textContent.trim().startsWith(%q) && l.htmlFor)
		return label ? document.getElementById(label.htmlFor).tagName : "BOXES" })()`, label), &kind))
	switch kind {
	case "BOXES":
		w.run("check "+label, chromedp.Click(box, chromedp.BySearch))
	case "SELECT":
		w.run("choose "+label, chromedp.SendKeys(field, value, chromedp.BySearch))
	default:
		w.run("write "+label, chromedp.Click(field, chromedp.BySearch),
			chromedp.KeyEvent("a", chromedp.KeyModifiers(input.ModifierCtrl)), chromedp.SendKeys(field, value, chromedp.BySearch))
	}
}

// create goes to a form by the page of objects, fills it in and sends it.
func (w *walker) create(form, button string, fields ...string) {
	w.t.Helper()
	var at string
	w.run("look where it is", chromedp.Location(&at))
	if !strings.Contains(at, "/objects") { // a step goes on there
		w.click("Objects")
		w.run("go to the objects", chromedp.WaitVisible("//h1[.='Objects']", chromedp.BySearch))
	}
	w.click("Create …")
	w.click(form)
	w.send(form, button, fields...)
}

func (w *walker) send(what, button string, fields ...string) {
	w.t.Helper()
	w.see("Cancel")
	for _, f := range fields {
		label, value, _ := strings.Cut(f, "=")
		w.write(label, value)
	}
	w.picture(what + " form")
	w.click(button)
	w.see("Done.")
	w.picture(what)
}

// byKeyboard moves the focus until it is at what has a text, and presses Enter.
func (w *walker) byKeyboard(text string) {
	w.t.Helper()
	for range 200 {
		var at string
		w.run("press Tab", chromedp.KeyEvent(kb.Tab), chromedp.Evaluate(`document.activeElement.textContent.trim()`, &at))
		if at == text {
			w.run("press Enter", chromedp.KeyEvent(kb.Enter))
			return
		}
	}
	w.t.Fatalf("the keyboard does not come to %q", text)
}

func TestAlibabaCLBByHand(t *testing.T) {
	w := newWalker(t, "alibaba", "eu-central-1", "walk-clb")
	w.picture("empty")
	w.create("account create", "Create an account", "Name=a")
	w.create("vpc create", "Create a VPC", "Name=vpc1", "CIDR=10.0.0.0/16", "Account=a")
	w.create("vpc create", "Create a VPC", "Name=vpc2", "CIDR=192.168.0.0/16", "Account=a")
	w.create("subnet create", "Create a subnet", "VPC=vpc1", "Name=vsw1", "Zone=eu-central-1b", "CIDR=10.0.0.0/24")
	w.create("subnet create", "Create a subnet", "VPC=vpc2", "Name=vsw2", "Zone=eu-central-1b", "CIDR=192.168.24.0/24")
	w.create("security-group create", "Create a security group", "VPC=vpc1", "Name=sg1")
	w.create("security-group ingress add", "Add a rule for what comes", "VPC=vpc1", "Group=sg1", "Protocol=tcp", "Ports=80",
		"Source=0.0.0.0/0")
	w.create("instance create", "Create an instance", "VPC=vpc1", "Name=ecs1", "Subnet=vsw1")
	for _, name := range []string{"ecs2", "ecs3"} {
		w.create("instance create", "Create an instance", "VPC=vpc2", "Name="+name, "Subnet=vsw2")
		w.create("instance service add", "Add a program of an instance", "VPC=vpc2", "Instance="+name, "Http=80", "Body="+name)
	}
	w.create("server-group create", "Create a server group", "Name=rs1", "VPC=vpc2", "Protocol=tcp")
	w.create("target add", "Add a server of a group", "Group=rs1", "Instance=ecs2", "Port=80")
	w.create("target add", "Add a server of a group", "Group=rs1", "Instance=ecs3", "Port=80")
	w.create("load-balancer create", "Create a load balancer", "Name=clb1", "Type=clb", "VPC=vpc2", "Subnets=vsw2")
	w.create("listener add", "Add a listener", "Load balancer=clb1", "Protocol=tcp", "Port=80", "Server group=rs1")
	w.create("service create", "Create endpoint service", "Service=svc1", "Load balancers=clb1")
	w.create("endpoint create", "Create endpoint", "Endpoint=ep1", "Service=svc1", "VPC=vpc1", "Subnets=vsw1", "Security groups=sg1")
	w.finish("ecs1", "svc1", "Allow", "plinksim accept svc1 ep1", "ecs[23]")
}

func TestAWSNLBByHand(t *testing.T) {
	w := newWalker(t, "aws", "us-east-1", "walk-nlb")
	w.create("account create", "Create an account", "Name=provider")
	w.create("account create", "Create an account", "Name=consumer")
	w.create("vpc create", "Create a VPC", "Name=provider", "CIDR=10.0.0.0/16", "Account=provider")
	w.create("vpc create", "Create a VPC", "Name=consumer", "CIDR=10.1.0.0/16", "Account=consumer")
	for _, zone := range []string{"a", "b"} {
		for i, vpc := range []string{"provider", "consumer"} {
			w.create("subnet create", "Create a subnet", "VPC="+vpc, "Name=private-"+zone, "Zone=us-east-1"+zone,
				fmt.Sprintf("CIDR=10.%d.%d.0/24", i, map[string]int{"a": 1, "b": 2}[zone]))
		}
	}
	w.create("security-group create", "Create a security group", "VPC=provider", "Name=web")
	w.create("security-group ingress add", "Add a rule for what comes", "VPC=provider", "Group=web", "Protocol=tcp", "Ports=80",
		"Source=10.0.0.0/16")
	w.create("security-group create", "Create a security group", "VPC=consumer", "Name=endpoint")
	w.create("security-group ingress add", "Add a rule for what comes", "VPC=consumer", "Group=endpoint", "Protocol=tcp", "Ports=80",
		"Source=10.1.0.0/16")
	w.create("instance create", "Create an instance", "VPC=provider", "Name=web", "Subnet=private-a", "Security groups=web")
	w.create("instance service add", "Add a program of an instance", "VPC=provider", "Instance=web", "Http=80", "Body=Hello World")
	w.create("instance create", "Create an instance", "VPC=consumer", "Name=client", "Subnet=private-a")
	w.create("server-group create", "Create a server group", "Name=tg1", "VPC=provider", "Protocol=tcp")
	w.create("target add", "Add a server of a group", "Group=tg1", "Instance=web", "Port=80")
	w.create("load-balancer create", "Create a load balancer", "Name=nlb1", "Type=nlb", "VPC=provider", "Subnets=private-a",
		"Subnets=private-b")
	w.create("listener add", "Add a listener", "Load balancer=nlb1", "Protocol=tcp", "Port=80", "Server group=tg1")
	w.create("service create", "Create endpoint service", "Service=svc1", "Load balancers=nlb1")
	w.create("service whitelist add", "Allow principal", "Service=svc1", "Account=consumer")
	w.create("endpoint create", "Create endpoint", "Endpoint=ep1", "Service=svc1", "VPC=consumer", "Subnets=private-a",
		"Subnets=private-b", "Security groups=endpoint")
	w.finish("client", "svc1", "Accept endpoint connection request", "plinksim accept svc1 ep1", "Hello World")
}

// finish finds that nothing passes, accepts by the keyboard alone, sees the packet pass,
// and gets the page.
func (w *walker) finish(instance, service, accept, command, body string) {
	w.t.Helper()
	w.click("Why not?")
	w.ask(instance)
	w.see("It does not pass.")
	w.picture("it does not pass")

	w.byKeyboard("Objects")
	w.see("endpoint services")
	w.byKeyboard(service)
	w.see("Endpoint connections")
	w.picture("connections")
	w.byKeyboard(accept)
	w.see("Options")
	w.byKeyboard(accept)
	w.see("Done.")
	w.see(command)
	w.picture("accepted")

	w.click("Why not?")
	w.ask(instance)
	w.see("It passes.")
	w.picture("it passes")
	address := w.plinksim("name", "ep1")
	page := w.plinksim("exec", instance, "--", "curl", "-s", "-m", "10", "--retry", "10", "--retry-connrefused", "http://"+address+"/")
	require.Regexp(w.t, "^"+body+"$", page)

	// What somebody else does is on the page at once.
	w.click("Objects")
	w.click("ep1")
	w.see("What its packets cross")
	w.plinksim("reject", service, "ep1")
	began := time.Now()
	w.run("see what a command did", chromedp.WaitVisible("//h1//*[contains(@class,'bad') or contains(@class,'waits')]", chromedp.BySearch))
	w.t.Logf("the page knew of it after %s at most", time.Since(began).Round(time.Millisecond))
	require.Less(w.t, time.Since(began), 3*time.Second)
	w.plinksim("accept", service, "ep1")

	for _, page := range []string{"Overview", "Objects", "Why not?", "Names", "Sessions", "Capture", "Checks", "Faults", "Figures",
		"Events", "Steps"} {
		w.click(page)
		w.run("see the page", chromedp.WaitVisible("//nav//a[@aria-current]", chromedp.BySearch))
		w.measure(page)
	}
	w.click("Objects")
	w.click(service)
	w.see("Endpoint connections")
	w.measure("a service")
}

// ask asks what becomes of a packet from an instance to ep1.
func (w *walker) ask(instance string) {
	w.t.Helper()
	w.write("From the instance", instance)
	w.write("To", "ep1")
	w.click("Follow the packet")
}

// outside are the texts that leave the window, which is what a reader of a narrow one
// would have to scroll for. Drawings and tables scroll by themselves.
const outside = `(() => [...document.querySelectorAll("main *, header *")]
	.filter((e) => e.children.length === 0 && e.textContent.trim() && !e.closest(".scroll, .picture, .hidden, details:not([open]) > :not(summary), option"))
	.map((e) => [e.textContent.trim().slice(0, 60), e.getBoundingClientRect()])
	.filter(([, r]) => r.width > 0 && (r.right > innerWidth + 1 || r.left < -1))
	.map(([text]) => text))()`

// covered are pairs of texts that lie over each other.
const covered = `(() => {
	const texts = [...document.querySelectorAll("main *, header *")].filter((e) => e.children.length === 0 && e.textContent.trim() &&
		!e.closest("svg, .hidden, select, datalist, .skip, details:not([open]) > :not(summary)")).map((e) => [e, e.getBoundingClientRect()])
		.filter(([, r]) => r.width > 1 && r.height > 1).slice(0, 400)
	const bad = []
	for (const [i, [a, x]] of texts.entries()) for (const [b, y] of texts.slice(i + 1))
		if (x.left + 2 < y.right && y.left + 2 < x.right && x.top + 3 < y.bottom && y.top + 3 < x.bottom &&
			!a.closest(".scroll") && !b.closest(".scroll") && getComputedStyle(a).display !== "inline" && getComputedStyle(b).display !== "inline")
			bad.push(a.textContent.trim().slice(0, 40) + " / " + b.textContent.trim().slice(0, 40))
	return bad })()`

// measure holds the layout of a page to what can be measured, and the page to axe-core, at
// the usual width, at 390 pixels, and at 400 % of 1280 pixels (WCAG 2.2, 1.4.10).
func (w *walker) measure(page string) {
	w.t.Helper()
	axe, err := os.ReadFile(os.Getenv("AXE"))
	require.NoError(w.t, err, "AXE is the path of axe.min.js")
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{1280, 390, 320} {
			var out, over []string
			var wide int64
			w.run("measure "+page,
				chromedp.ActionFunc(func(ctx context.Context) error {
					return emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{
						{Name: "prefers-color-scheme", Value: scheme}}).Do(ctx)
				}),
				chromedp.EmulateViewport(width, 900),
				chromedp.Evaluate(`document.documentElement.scrollWidth`, &wide),
				chromedp.Evaluate(outside, &out), chromedp.Evaluate(covered, &over))
			require.LessOrEqual(w.t, wide, width, "%s scrolls sideways at %d pixels", page, width)
			require.Empty(w.t, out, "%s: texts outside at %d pixels", page, width)
			require.Empty(w.t, over, "%s: texts over each other at %d pixels", page, width)
			if width != 390 {
				w.picture(fmt.Sprintf("%s %s %d", page, scheme, width))
			}
		}
		var text string
		w.run("axe "+page, chromedp.EmulateViewport(1280, 900), chromedp.Evaluate(string(axe)+";0", nil),
			chromedp.Evaluate(`axe.run().then((r) => JSON.stringify((r.passes.length > 10 ? [] : ["it tested nothing"]).concat(r.violations.filter((v) => ["serious", "critical"].includes(v.impact))
				.map((v) => v.id + ": " + v.help + ": " + v.nodes.map((n) => n.html.slice(0, 120)).slice(0, 3).join(" | ")))))`, &text,
				func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
		var faults []string
		require.NoError(w.t, json.Unmarshal([]byte(text), &faults))
		require.Empty(w.t, faults, "%s, %s: axe-core", page, scheme)
	}
}
