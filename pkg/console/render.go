package console

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/graph"
	"github.com/plinksim/plinksim/pkg/topology"
)

//go:embed assets
var assets embed.FS

func asset(name string) []byte {
	text, err := assets.ReadFile("assets/" + name)
	if err != nil {
		panic("it is embedded: " + err.Error())
	}
	return text
}

var script = asset("console.js")

// styleSheet has that of drawings within them alone (W3C, CSS Nesting).
func styleSheet() []byte {
	return append(asset("style.css"), "\n.picture svg{\n"+graph.Style()+"}\n"...)
}

func serveAsset(contentType string, text []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Write(text)
	}
}

// page is a template of a page's middle in the frame of all.
type page = template.Template

func parsePages() map[string]*page {
	frame := template.Must(template.New("frame.html").Funcs(functions).
		ParseFS(assets, "assets/frame.html", "assets/parts.html"))
	entries, err := assets.ReadDir("assets")
	if err != nil {
		panic("they are embedded: " + err.Error())
	}
	pages := map[string]*page{}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".html")
		if !ok || name == "frame" || name == "parts" {
			continue
		}
		pages[name] = template.Must(template.Must(frame.Clone()).ParseFS(assets, path.Join("assets", e.Name())))
	}
	return pages
}

// link is a page in the menu.
type link struct{ Label, URL string }

var menu = []link{
	{"Overview", "/"}, {"Objects", "/objects"}, {"Try it", "/try"}, {"Why not?", "/explain"}, {"Names", "/names"}, {"Sessions", "/sessions"},
	{"Capture", "/capture"}, {"Checks", "/checks"}, {"Faults", "/faults"}, {"Figures", "/figures"}, {"Events", "/events"},
	{"Steps", "/steps"},
}

var functions = template.FuncMap{
	"upper": upper,
	"menu":  func() []link { return menu },
	"clock": func(t time.Time) string { return t.Local().Format("15:04:05") },
	"stamp": func(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") },
	"micro": func(t time.Time) string { return t.Local().Format("15:04:05.000000") },
	"iso":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"state": stateClass,
	"href":  objectURL,
	"join":  func(words []string) string { return strings.Join(words, ", ") },
	"yesno": func(b bool) string {
		if b {
			return "yes"
		}
		return "no"
	},
	"dash": func(text string) string { return cmp.Or(text, "–") },
}

// stateClass is the class of a state's badge, by what it means and not by whose word it is.
func stateClass(state string) string {
	switch {
	case state == "":
		return "unknown"
	case isOpen(state), slices.Contains([]string{"Active", "Available", "healthy", "running", "Normal", "normal"}, state):
		return "good"
	case slices.ContainsFunc([]string{"ing", "Wait", "wait", "pending", "initial", "unused", "draining"},
		func(part string) bool { return strings.HasSuffix(state, part) || strings.HasPrefix(state, part) }):
		return "waits"
	}
	return "bad"
}

func isOpen(state string) bool { return state == "Connected" || state == "available" }

// objectURL is the page of the object at a path of the topology.
func objectURL(path string) string { return "/o/" + (&url.URL{Path: path}).EscapedPath() }

// frame is what all pages have.
type frame struct {
	Title, Lab, Cloud, Region string
	At                        string // the path of the page
	Wide                      bool
	Gone                      string // why the lab does not answer
	Problems                  []string
	Done                      *done // what was just done
	Body                      any
}

// request is one that is being answered.
type request struct {
	c *Console
	w http.ResponseWriter
	*http.Request
}

// now is the lab as it is.
func (q *request) now() (*snapshot, error) { return q.c.live.now(q.Context(), fresh) }

// render answers with a page.
func (q *request) render(code int, name, title string, body any) error {
	f := frame{Title: title, Lab: q.c.cfg.Name, At: q.URL.Path, Body: body}
	q.c.live.mu.Lock()
	if q.c.live.gone != nil {
		f.Gone = q.c.live.gone.Error()
	}
	if s := q.c.live.copied; s != nil {
		f.Cloud, f.Region, f.Problems = s.Cloud, s.Region, s.Problems
	}
	q.c.live.mu.Unlock()
	if n, err := strconv.Atoi(q.URL.Query().Get("done")); err == nil {
		f.Done = q.c.steps.get(n)
	}
	var out bytes.Buffer
	if err := q.c.pages[name].ExecuteTemplate(&out, "frame.html", f); err != nil {
		q.c.cfg.Log.Error("render a page", "page", name, "error", err)
		http.Error(q.w, "the page cannot be made: "+err.Error(), http.StatusInternalServerError)
		return nil
	}
	// A page that asks again whether it is still true hears only that it is (RFC 9110, 13.1.2).
	tag := fmt.Sprintf(`"%x"`, sha256.Sum256(out.Bytes()))
	q.w.Header().Set("ETag", tag)
	if code == http.StatusOK && q.Header.Get("If-None-Match") == tag {
		q.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	q.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	q.w.WriteHeader(code)
	q.w.Write(out.Bytes())
	return nil
}

// goTo sends the browser on after something was done.
func (q *request) goTo(to string, step int) error {
	target, err := url.Parse(to)
	if err != nil || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.Contains(to, `\`) {
		target = &url.URL{Path: "/"}
	}
	query := target.Query()
	query.Set("done", strconv.Itoa(step))
	target.RawQuery = query.Encode()
	http.Redirect(q.w, q.Request, target.String(), http.StatusSeeOther)
	return nil
}

// refusal is why something was not done, as pages show it.
type refusal struct {
	Text, Hint, Code, Word string
	Remedies               []remedy
}

// remedy is a button.
type remedy struct{ Label, URL string }

func refusalOf(err error) refusal {
	var known *api.Error
	if !errors.As(err, &known) {
		r := refusal{Text: err.Error()}
		if hinted, ok := err.(interface{ Hint() string }); ok {
			r.Hint = hinted.Hint()
		}
		return r
	}
	return refusal{Text: known.Text, Hint: known.Hint, Code: known.Code, Word: known.Word}
}

// refused is a refusal with its remedies as forms.
func (c *Console) refused(err error) refusal {
	r := refusalOf(err)
	var known *api.Error
	if errors.As(err, &known) {
		for _, remedy := range known.Remedies {
			r.Remedies = append(r.Remedies, c.remedy(remedy))
		}
	}
	return r
}

func (c *Console) remedy(r topology.Remedy) remedy {
	values := url.Values{}
	if f := r.Fault; f != nil {
		a := c.action("fault " + string(f.Verb))
		if a == nil {
			return remedy{r.String(), ""}
		}
		values.Set(a.Fields[0].Name, f.Target)
		if f.Bandwidth != nil {
			values.Set("bandwidth", topology.FormatRate(int64(*f.Bandwidth)*1e6))
		}
		return remedy{r.String(), a.URL() + "?" + values.Encode()}
	}
	a := c.actionOf(r.Do.Verb)
	if a == nil {
		return remedy{r.String(), ""}
	}
	for _, f := range a.Fields {
		if text := r.Do.Text(f.Name); text != "" {
			values.Set(f.Name, text)
		}
	}
	return remedy{r.String(), a.URL() + "?" + values.Encode()}
}
