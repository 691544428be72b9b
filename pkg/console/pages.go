package console

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/status"
)

// eventsBody are the newest events.
type eventsBody struct {
	Query  string
	Events []control.Event
}

// mostEvents is how many the page of events shows.
const mostEvents = 300

func (c *Console) events(q *request) error {
	if _, err := q.now(); err != nil {
		return err
	}
	b := eventsBody{Query: q.URL.Query().Get("q")}
	b.Events = c.live.newest(mostEvents, func(e control.Event) bool {
		return contains(string(e.Kind)+" "+e.Name+" "+e.Text, b.Query)
	})
	return q.render(http.StatusOK, "events", "Events", b)
}

// faultsBody is what goes wrong on purpose.
type faultsBody struct {
	status.Faults
	Actions []button
	Ups     map[string]string // the form that ends a fault, by what fails
}

func (c *Console) faults(q *request) error {
	now, err := q.now()
	if err != nil {
		return err
	}
	b := faultsBody{Ups: map[string]string{}}
	if b.Faults, err = c.cfg.Lab.Faults(q.Context()); err != nil {
		return err
	}
	for i := range c.cfg.Actions {
		if a := &c.cfg.Actions[i]; strings.HasPrefix(a.Path, "fault ") {
			b.Actions = append(b.Actions, button{
				Label: a.title(now.plan.Cloud), URL: a.URL() + "?back=/faults", Title: a.Short,
			})
		}
	}
	up := func(target string) {
		b.Ups[target] = "/do/fault/up?" + url.Values{"target": {target}, "back": {"/faults"}}.Encode()
	}
	for _, zone := range b.ZonesDown {
		up(zone)
	}
	for _, eni := range b.ENIs {
		up(eni.Name)
	}
	return q.render(http.StatusOK, "faults", "Faults", b)
}

// stepsPage are the steps that were done here, as a script.
func (c *Console) stepsPage(q *request) error {
	return q.render(http.StatusOK, "steps", "Steps", c.steps.all())
}

// another makes an address for one more browser.
func (c *Console) another(q *request) error {
	return q.render(http.StatusOK, "ticket", "Another browser", "http://"+q.Host+c.Ticket())
}
