package lab

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/internal/memo"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topology"
)

// An event tells of at most so many changes of an edit, each in so many bytes.
const toldChanges, toldBytes = 5, 200

// Editor is who edits, for the event that tells of it, and what the edits were made for.
type Editor struct {
	By      string // in words; "" for nobody
	Account string // "" where it is no account's edit
	Request string // id of the call of a cloud's API that asked for it; "" where none did
	// If has values by their paths, as YAML, "" where nothing is. Where one is another when
	// the edits would be made, they are refused.
	If map[string]string
}

// tellEdit adds an event of an edit, in the words of "edit list".
func tellEdit(plane *control.Plane, editor Editor, made []topology.Change) {
	if len(made) == 0 {
		return
	}
	var texts []string
	for _, c := range made[:min(len(made), toldChanges)] {
		texts = append(texts, told(c.String()))
	}
	if more := len(made) - len(texts); more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	text := strings.Join(texts, "; ")
	if editor.By != "" {
		text = editor.By + ": " + text
	}
	plane.Observe(control.Event{Kind: control.KindEdit, Name: made[0].Path, Account: editor.Account, By: editor.By,
		Request: editor.Request, Verb: "edit", Text: text})
}

// tellStates adds an event for each instance that was switched off or on.
func tellStates(plane *control.Plane, old, now *topology.Plan) {
	gone, fresh := memo.Differing(old.VPCs, now.VPCs, func(v *topology.VPC) string { return v.Name })
	before, after := stopped(gone), stopped(fresh)
	refs := maps.Clone(before)
	maps.Copy(refs, after)
	for _, ref := range slices.Sorted(maps.Keys(refs)) {
		in, err := now.Instance(ref)
		if _, known := old.Instance(ref); known != nil || err != nil || before[ref] == after[ref] {
			continue
		}
		state := in.State()
		plane.Observe(control.Event{Kind: control.KindInstance, Name: ref, Verb: "state", To: state,
			Text: fmt.Sprintf("instance %q is %s", now.ShortName(*in), state)})
	}
}

// stopped are the instances of VPCs that are switched off, by VPC/NAME.
func stopped(vpcs []*topology.VPC) map[string]bool {
	out := map[string]bool{}
	for _, vpc := range vpcs {
		for i := range vpc.Instances {
			if in := &vpc.Instances[i]; in.Stopped {
				out[in.Ref()] = true
			}
		}
	}
	return out
}

// told is as much of a text as a sentence has.
func told(text string) string {
	if len(text) > toldBytes {
		return strings.ToValidUTF8(text[:toldBytes], "") + "..."
	}
	return text
}
