package console

import (
	"net/http"

	"github.com/plinksim/plinksim/pkg/control"
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

// stepsPage are the steps that were done here, as a script.
func (c *Console) stepsPage(q *request) error {
	return q.render(http.StatusOK, "steps", "Steps", c.steps.all())
}

// another makes an address for one more browser.
func (c *Console) another(q *request) error {
	return q.render(http.StatusOK, "ticket", "Another browser", "http://"+q.Host+c.Ticket())
}
