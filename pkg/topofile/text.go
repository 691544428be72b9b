package topofile

import (
	"errors"
	"strings"

	"github.com/plinksim/plinksim/pkg/topology"
)

// expanded replaces the references in a text and notes those that lead
// nowhere. The text is only good for use if the whole topology is.
func (b *draft) expanded(who string, v value[string]) string {
	if !v.given() {
		return ""
	}
	text, errs := b.plan.ExpandAll(v.V)
	for _, err := range errs {
		if b.excused(err.Text) {
			continue
		}
		var missing *topology.NotFoundError
		if errors.As(err, &missing) {
			b.missing(b.within(v.Node, err.Text), who, err.Text+": ", missing)
		} else {
			b.problem(b.within(v.Node, err.Text), "", "%s: %s", who, err)
		}
	}
	return text
}

// excused says whether a reference may lead nowhere because something was said
// already about what it names.
func (b *draft) excused(ref string) bool {
	name, _, _ := strings.Cut(strings.Trim(ref, "${}"), "@")
	name = strings.TrimSuffix(strings.TrimSuffix(name, ".id"), ".ip")
	return b.bad["endpoint "+name] || b.bad["load balancer "+name] || b.bad["NAT gateway "+name]
}

// resolved is a value with its references replaced, false where there is
// nothing to judge: a reference has no value where something else is wrong.
func (b *draft) resolved(who string, v value[string]) (string, bool) {
	text := b.expanded(who, v)
	return text, v.given() && (len(b.problems) == 0 || !strings.Contains(v.V, "${"))
}
