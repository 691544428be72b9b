package lab

import (
	"fmt"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topofile"
)

// Export is the lab as it is now, as a file: with its edits and with what
// operations changed. The notes say what no file can.
func (l *Lab) Export() (text []byte, notes []string, err error) {
	l.file.mu.Lock()
	defer l.file.mu.Unlock()
	state := l.plane.State()
	doc, notes, err := l.file.doc.Exported(l.file.plan, state.Plan)
	if err != nil {
		return nil, nil, err
	}
	if text, err = doc.Text(); err != nil {
		return nil, nil, err
	}
	plan, err := topofile.Parse(l.file.plan.File, text)
	if err != nil {
		return nil, nil, fmt.Errorf("no file can say what the lab is now: %w", err)
	}
	for _, c := range state.Connections {
		service, err := plan.Service(c.Service)
		wants := err == nil && service.AutoAccept
		rejected := c.State == control.Disconnecting || c.State == control.Disconnected
		if c.State.Open() && !wants || rejected && wants {
			notes = append(notes, fmt.Sprintf(
				"the connection of endpoint %q to endpoint service %q is %s, which its owner decided",
				c.Endpoint, c.Service, c.Status))
		}
	}
	return text, notes, nil
}
