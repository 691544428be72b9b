package console

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// wait is how long a step may take until it is in force, in seconds.
const wait = 30

// formBody is a form.
type formBody struct {
	Title, Short, Long string
	Action             string // where the form is sent
	Back               string
	Danger             bool
	Arguments, Options []formField
	Hidden             []formField
	Refused            *refusal
}

// formField is a field with what is in it.
type formField struct {
	Field
	Value   string
	Choices []choice
	Strict  bool // only what is among the choices makes sense
	Boxes   bool // several of the choices can be chosen
	Lines   int  // of a text with several
}

type choice struct {
	Value    string
	Selected bool
}

// form asks for the values of an action.
func (c *Console) form(q *request) error {
	a, now, err := q.asked()
	if err != nil {
		return err
	}
	return q.ask(http.StatusOK, a, now, q.URL.Query(), nil)
}

// asked is the action of a request's path.
func (q *request) asked() (*Action, *snapshot, error) {
	a := q.c.action(strings.ReplaceAll(q.PathValue("action"), "/", " "))
	if a == nil {
		return nil, nil, notFound("there is nothing to do that is called %q", q.PathValue("action"))
	}
	now, err := q.now()
	return a, now, err
}

// ask shows the form of an action with values, and why it was refused.
func (q *request) ask(code int, a *Action, now *snapshot, values url.Values, refused *refusal) error {
	b := formBody{
		Title: a.title(now.plan.Cloud), Short: a.Short, Long: a.Long, Action: a.URL(), Back: backOf(values),
		Danger: a.Does == Deletes, Refused: refused,
	}
	for _, f := range a.Fields {
		field := formField{Field: f, Value: values.Get(f.Name)}
		if !values.Has(f.Name) {
			field.Value = f.Preset
		}
		field.Choices, field.Strict = q.c.choices(now, f, values)
		field.Boxes = f.Kind == Many && len(field.Choices) > 0 && len(field.Choices) <= mostBoxes
		field.Label = words(field.Label)
		if field.Help == field.Label || field.Help == "the "+field.Label {
			field.Help = ""
		}
		if f.Argument || f.Required {
			b.Arguments = append(b.Arguments, field)
		} else {
			b.Options = append(b.Options, field)
		}
		if f.Argument && field.Value != "" {
			for _, path := range q.c.paths(f, values, a) {
				b.Hidden = append(b.Hidden, formField{Field: Field{Name: seenPrefix + f.Name}, Value: field.Value + "\n" + now.print(path)})
			}
		}
	}
	return q.render(code, "form", b.Title, b)
}

// mostBoxes is from how many choices on a field is for writing.
const mostBoxes = 24

// backOf is where the user came from.
func backOf(values url.Values) string {
	if back := values.Get("back"); strings.HasPrefix(back, "/") {
		return back
	}
	return "/objects"
}

// choices are the values that a field can have. They are all of them where it is strict,
// as with an object that must be there.
func (c *Console) choices(now *snapshot, f Field, values url.Values) (out []choice, strict bool) {
	texts := slices.Clone(f.Enum)
	strict = len(texts) > 0
	if f.Choices != nil {
		texts = append(texts, f.Choices(now.Lab, values)...)
	}
	if len(texts) == 0 {
		for _, pattern := range f.Refers {
			texts = append(texts, now.names(pattern, c.above(pattern, values))...)
		}
	}
	if f.Argument && len(f.Refers) > 0 && f.Kind != Many && len(texts) > 0 {
		strict = true
		if value := values.Get(f.Name); value != "" {
			texts = append(texts, value)
		}
	}
	chosen := strings.FieldsFunc(strings.Join(values[f.Name], ","), func(r rune) bool { return r == ',' || r == ' ' })
	slices.Sort(texts)
	for _, text := range slices.Compact(texts) {
		out = append(out, choice{text, slices.Contains(values[f.Name], text) || f.Kind == Many && slices.Contains(chosen, text)})
	}
	return out, strict
}

// above are the names of a path's first parts that were chosen already: of vpcs/*/subnets/*
// the VPC, where there is a field for it.
func (c *Console) above(pattern string, values url.Values) string {
	if !strings.HasPrefix(pattern, "vpcs/*/") {
		return ""
	}
	for _, key := range []string{"of.VPC", "vpc"} {
		if v := values.Get(key); v != "" {
			return v
		}
	}
	return ""
}

// names are those of the objects that a pattern is of, where there is one in the VPC that
// is given.
func (s *snapshot) names(pattern, vpc string) (out []string) {
	parts := topology.SplitPath(pattern)
	for _, path := range s.doc.Paths(pattern) {
		if vpc != "" && path[1] != vpc {
			continue
		}
		for i := len(parts) - 1; i >= 0; i-- {
			if parts[i] == "*" || parts[i] == topology.AtEnd || i == len(parts)-1 {
				out = append(out, strings.TrimPrefix(path[i], "="))
				break
			}
		}
	}
	return out
}

// seenPrefix is that of hidden fields which say what was on the page.
const seenPrefix = "seen."

// paths are those of the objects that a field's value names.
func (c *Console) paths(f Field, values url.Values, a *Action) (out []string) {
	for _, pattern := range f.Refers {
		parts, ok := topology.SplitPath(pattern), true
		if parts[len(parts)-1] == topology.AtEnd {
			continue
		}
		var names []string
		for _, g := range a.Fields { // those of what it is in come first
			if g.Argument && values.Get(g.Name) != "" {
				names = append(names, values.Get(g.Name))
			}
			if g.Name == f.Name {
				break
			}
		}
		for i := len(parts) - 1; i >= 0 && ok; i-- {
			if parts[i] != "*" {
				continue
			}
			if ok = len(names) > 0; ok {
				parts[i], names = names[len(names)-1], names[:len(names)-1]
			}
		}
		if ok {
			out = append(out, topology.JoinPath(parts...))
		}
	}
	return out
}

// print tells one state of an object from another: what it is and how it was decided about,
// without what counts.
func (s *snapshot) print(path string) string {
	h := sha256.New()
	text, _ := s.doc.Value(path)
	h.Write([]byte(text))
	switch o := s.object(topology.SplitPath(path)).(type) {
	case *status.EndpointService:
		one := *o
		one.Connections = 0
		json.NewEncoder(h).Encode(one)
	case *status.ServerGroup:
		for _, server := range o.Servers {
			fmt.Fprintln(h, server.Instance, server.Address, server.Weight)
		}
	case *status.Endpoint, *status.NATGateway, *status.FullNATEntry:
		json.NewEncoder(h).Encode(o)
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// do carries an action out.
func (c *Console) do(q *request) error {
	if err := q.ParseForm(); err != nil {
		return badRequest("the form cannot be read: %v", err)
	}
	a, _, err := q.asked()
	if err != nil {
		return err
	}
	now, err := c.live.now(q.Context(), 0)
	if err != nil {
		return err
	}
	values := q.PostForm
	if stale := c.stale(a, now, values); stale != nil {
		for name := range values {
			if strings.HasPrefix(name, seenPrefix) {
				delete(values, name)
			}
		}
		return q.ask(http.StatusConflict, a, now, values, stale)
	}
	step, err := a.Read(values)
	if err != nil {
		return q.ask(http.StatusUnprocessableEntity, a, now, values, &refusal{Text: err.Error()})
	}
	if len(step.Operations) == 0 {
		step.If = c.seen(a, now, values) // that is not stale now, and may be when the daemon gets it
	}
	text, err := c.carryOut(q.Context(), step)
	if err != nil {
		refused := c.refused(err)
		return q.ask(http.StatusUnprocessableEntity, a, now, values, &refused)
	}
	d := done{Command: step.Command, Text: text}
	if a.Verb != "" {
		d.Call = now.plan.Cloud.Call(a.Verb)
	}
	return q.goTo(c.after(a, values), c.steps.add(d))
}

// after is the page on which somebody goes on: not that of what is gone.
func (c *Console) after(a *Action, values url.Values) string {
	back := backOf(values)
	if a.Does == Deletes {
		if path, ok := strings.CutPrefix(back, "/o/"); ok {
			if parts := strings.Split(path, "/"); len(parts) > 2 {
				return "/o/" + strings.Join(parts[:len(parts)-2], "/")
			}
			return "/objects"
		}
	}
	return back
}

// carryOut does what a step says and returns what came of it.
func (c *Console) carryOut(ctx context.Context, step Step) (string, error) {
	defer c.live.forget()
	var texts []string
	for _, o := range step.Operations {
		event, err := c.cfg.Lab.Do(ctx, api.Call{Operation: o, WaitSeconds: wait})
		if err != nil {
			return "", err
		}
		texts = append(texts, event.Text)
	}
	if len(step.Edits) > 0 {
		changes, err := c.cfg.Lab.Edit(ctx, api.EditCall{Edits: step.Edits, If: step.If, WaitSeconds: wait, By: c.cfg.By})
		if err != nil {
			return "", err
		}
		for _, change := range changes {
			texts = append(texts, change.String())
		}
		if len(changes) == 0 {
			texts = append(texts, "nothing is different")
		}
	}
	if step.Other != nil {
		text, err := step.Other(ctx, c.cfg.Lab)
		if err != nil {
			return "", err
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, "; "), nil
}

// stale says why a form is refused that was made of something else than there is now.
func (c *Console) stale(a *Action, now *snapshot, values url.Values) *refusal {
	for _, f := range a.Fields {
		for _, seen := range values[seenPrefix+f.Name] {
			// A browser writes the end of a line in a form as CR LF (WHATWG HTML, 4.10.21.4).
			value, print, ok := strings.Cut(strings.ReplaceAll(seen, "\r\n", "\n"), "\n")
			if !ok || value != values.Get(f.Name) {
				continue // another object was chosen
			}
			for _, path := range c.paths(f, values, a) {
				if now.print(path) != print {
					return c.changed(path, value)
				}
			}
		}
	}
	return nil
}

// seen are the values of the objects that a form was made of.
func (c *Console) seen(a *Action, now *snapshot, values url.Values) map[string]string {
	out := map[string]string{}
	for _, f := range a.Fields {
		for _, seen := range values[seenPrefix+f.Name] {
			if value, _, ok := strings.Cut(strings.ReplaceAll(seen, "\r\n", "\n"), "\n"); !ok || value != values.Get(f.Name) {
				continue
			}
			for _, path := range c.paths(f, values, a) {
				out[path], _ = now.doc.Value(path)
			}
		}
	}
	return out
}

func (c *Console) changed(path, name string) *refusal {
	r := &refusal{
		Text: fmt.Sprintf("%s is not as it was on your page: nothing was done", name),
		Hint: "look at what has changed, and send the form again if you still want it",
		Code: "stale page",
	}
	if e := c.live.newest(1, func(e control.Event) bool { return tellsOf(e, path, name) }); len(e) > 0 {
		r.Hint = fmt.Sprintf("the last that happened to it, at %s: %s. Send the form again if you still want it",
			e[0].Time.Local().Format("15:04:05"), e[0].Text)
	}
	return r
}

// changeForm asks for a value of the topology.
func (c *Console) changeForm(q *request) error {
	now, err := q.now()
	if err != nil {
		return err
	}
	return q.askValue(http.StatusOK, now, q.PathValue("path"), nil, nil)
}

func (q *request) askValue(code int, now *snapshot, path string, values url.Values, refused *refusal) error {
	was, _ := now.doc.Value(path)
	value := was
	if values != nil {
		value = values.Get("value")
	}
	parts := topology.SplitPath(path)
	above := "/objects"
	if len(parts) > 1 {
		above = objectURL(topology.JoinPath(parts[:len(parts)-1]...))
	}
	b := formBody{
		Title:  "Change " + parts[len(parts)-1],
		Short:  "The value at " + path + " of the topology, as YAML. An empty value takes it away.",
		Action: "/change/" + strings.TrimPrefix(objectURL(path), "/o/"), Back: above, Refused: refused,
		Arguments: []formField{{Field: Field{Name: "value", Label: parts[len(parts)-1]}, Value: value, Lines: strings.Count(value, "\n") + 2}},
		Hidden:    []formField{{Field: Field{Name: "was"}, Value: was}},
	}
	return q.render(code, "form", b.Title, b)
}

// change sets a value of the topology.
func (c *Console) change(q *request) error {
	if err := q.ParseForm(); err != nil {
		return badRequest("the form cannot be read: %v", err)
	}
	now, err := c.live.now(q.Context(), 0)
	if err != nil {
		return err
	}
	path := q.PathValue("path")
	lines := strings.NewReplacer("\r\n", "\n")
	value := strings.TrimSpace(lines.Replace(q.PostForm.Get("value")))
	if was, _ := now.doc.Value(path); strings.TrimSpace(was) != strings.TrimSpace(lines.Replace(q.PostForm.Get("was"))) {
		return q.askValue(http.StatusConflict, now, path, q.PostForm, c.changed(path, path))
	}
	step := Step{
		Edits:   []topology.Edit{{Path: path, Value: value}},
		If:      map[string]string{path: strings.TrimSpace(lines.Replace(q.PostForm.Get("was")))},
		Command: "plinksim edit set " + Quote(path) + " " + Quote(value),
	}
	if value == "" {
		step.Command = "plinksim edit delete " + Quote(path)
	}
	text, err := c.carryOut(q.Context(), step)
	if err != nil {
		refused := c.refused(err)
		return q.askValue(http.StatusUnprocessableEntity, now, path, q.PostForm, &refused)
	}
	parts := topology.SplitPath(path)
	back := objectURL(topology.JoinPath(parts[:max(1, len(parts)-1)]...))
	return q.goTo(cmp.Or(q.PostForm.Get("back"), back), c.steps.add(done{Command: step.Command, Text: text}))
}

// Quote writes a word as shells read it.
func Quote(text string) string {
	if text != "" && !strings.ContainsAny(text, " \n\t'\"\\$&|;<>()*?[]{}#~`!") {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
