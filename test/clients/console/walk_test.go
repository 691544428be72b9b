package console

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// documents are the pages whose scenarios are walked in the browser.
var documents = []string{"alibaba-clb", "alibaba-clb-same-account", "alibaba-alb", "alibaba-reverse", "aws-nlb"}

// byKeyboard are the labs that are made without a mouse.
var byKeyboard = map[string]bool{"kuaisu-rumen": true}

// everyPage are the labs with which each page of the menu is measured.
var everyPage = map[string]bool{"by-hand": true, "nlb-by-hand": true}

// walk is a scenario as a document has it, from an empty lab.
type walk struct {
	name  string
	up    []string // the words of "plinksim up"
	steps []step
}

// step is a row of a table in a document, or a picture below it.
type step struct {
	clicks []string
	fields [][2]string // labels and values
	then   string      // what the page has then; "" is that it was done
	shows  string      // the picture's file
}

var (
	upLine  = regexp.MustCompile(`^\$ sudo plinksim up (--cloud .* --name (\S+))$`)
	row     = regexp.MustCompile(`^\| ([^|]+) \|([^|]*)\|([^|]*)\|$`)
	shown   = regexp.MustCompile(`^!\[[^]]+\]\((console/[a-z0-9-]+\.png)\)$`)
	between = " › "
)

// walksOf are the scenarios of a document.
func walksOf(t testing.TB, document string) (walks []walk) {
	t.Helper()
	text, err := os.ReadFile("../../../docs/" + document + ".md")
	require.NoError(t, err)
	_, text2, found := strings.Cut(string(text), "\n## In the browser\n")
	require.True(t, found, document)
	for line := range strings.Lines(text2) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "## ") {
			break
		}
		if m := upLine.FindStringSubmatch(line); m != nil {
			walks = append(walks, walk{name: m[2], up: strings.Fields(m[1])})
			continue
		}
		var s step
		if m := shown.FindStringSubmatch(line); m != nil {
			s.shows = m[1]
		} else if m := row.FindStringSubmatch(line); m != nil && m[1] != "in the console" && m[1] != "---" {
			s.clicks, s.then = strings.Split(m[1], between), strings.TrimSpace(m[3])
			for field := range strings.SplitSeq(strings.TrimSpace(m[2]), "; ") {
				if label, value, ok := strings.Cut(field, ": "); ok {
					s.fields = append(s.fields, [2]string{label, value})
				}
			}
		} else {
			continue
		}
		require.NotEmpty(t, walks, "%s: %s", document, line)
		last := &walks[len(walks)-1]
		last.steps = append(last.steps, s)
	}
	return walks
}

// TestTheDocumentsByHand makes the scenarios of the documents from empty labs, by the mouse
// and the keyboard alone, to the pages that the instances get.
func TestTheDocumentsByHand(t *testing.T) {
	for _, document := range documents {
		for _, walk := range walksOf(t, document) {
			t.Run(walk.name, func(t *testing.T) {
				t.Parallel()
				l := newLab(t, walk.name, walk.up...)
				w := visit(t, newBrowser(t), l.address)
				w.keys = byKeyboard[walk.name]
				began := time.Now()
				for _, s := range walk.steps {
					w.step(s)
				}
				t.Logf("%d steps in %s", len(walk.steps), time.Since(began).Round(time.Second))
				if w.keys = false; everyPage[walk.name] {
					w.everyPage()
				}
			})
		}
	}
}

// The forms that are sent, those that ask for something, and the button of either.
const (
	stepForm = `//main//form[@class="step"]`
	askForm  = `//main//form[@class="ask"]`
	button   = `//p[@class="buttons"]/button[1]`
)

// step does what a row says.
func (w *walker) step(s step) {
	w.t.Helper()
	if s.shows != "" {
		w.show(s.shows)
		return
	}
	if s.clicks[0] == "Create …" && len(w.seen(`//summary[.="Create …"]`)) == 0 {
		w.click("Objects")
	}
	for _, text := range s.clicks {
		w.click(text)
	}
	name := s.clicks[len(s.clicks)-1]
	form := askForm
	switch {
	case len(w.seen(stepForm)) > 0:
		form = stepForm
		w.measureForm(name)
	case len(s.fields) == 0:
		w.see(s.then)
		w.measure(name)
		return
	}
	for _, f := range s.fields {
		w.write(f[0], f[1])
	}
	w.picture(name + " form")
	w.press("the button of "+name, form+button)
	if s.then == "" {
		s.then = "Done."
	}
	w.see(s.then)
	w.measure(name)
}

// measuredForms are those that a walk has measured already.
var measuredForms sync.Map

func (w *walker) measureForm(name string) {
	w.t.Helper()
	if _, done := measuredForms.LoadOrStore(name, true); !done {
		w.measureAll(name + " form")
	}
}

// show keeps a picture for the document: in the document's folder where PICTURES says so.
func (w *walker) show(file string) {
	w.t.Helper()
	png := w.small()
	require.NoError(w.t, os.WriteFile(filepath.Join(w.t.ArtifactDir(), filepath.Base(file)), png, 0o644))
	if to := os.Getenv("PICTURES"); to != "" {
		require.NoError(w.t, os.WriteFile(filepath.Join(to, filepath.Base(file)), png, 0o644))
	}
}

// everyPage measures each page of the menu, and that of a service.
func (w *walker) everyPage() {
	w.t.Helper()
	for _, page := range []string{"Overview", "Objects", "Try it", "Why not?", "Names", "Sessions", "Capture", "Checks", "Faults", "Figures",
		"Events", "Steps"} {
		w.click(page)
		w.run("see the page", chromedp.WaitVisible("//nav//a[@aria-current]", chromedp.BySearch))
		w.measureAll(page)
	}
	w.click("Objects")
	w.click("svc1")
	w.measureAll("a service")
	w.click("Another browser")
	w.measureAll("another browser")
}
