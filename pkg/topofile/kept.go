package topofile

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"

	"github.com/plinksim/plinksim/pkg/topology"
)

// keptEdits is how a file was edited, as it is written down beside the file.
type keptEdits struct {
	Of    string          `json:"of"` // the hash of the file
	Edits []topology.Edit `json:"edits,omitempty"`
}

// Kept is a plan as text: the file that it was made of, and how that was edited.
func Kept(p *topology.Plan) (file, edits []byte, err error) {
	file = p.Source
	var made []topology.Edit
	if d, ok := p.Origin.(*Document); ok {
		made = topology.Edits(d.Since(d.base))
		if file, err = TextOf(d.base.plan); err != nil {
			return nil, nil, err
		}
	}
	edits, err = json.Marshal(keptEdits{hashOf(file), made})
	return file, edits, err
}

// ErrEditsOfAnotherFile says that a file and the edits beside it were not written
// down together.
var ErrEditsOfAnotherFile = errors.New("the edits are those of another file")

// PlanOfKept is the plan that Kept has written down. Edits of nil are none.
func PlanOfKept(name string, file, edits []byte) (*topology.Plan, error) {
	plan, err := Parse(name, file)
	if err != nil || edits == nil {
		return plan, err
	}
	var kept keptEdits
	if err := json.Unmarshal(edits, &kept); err != nil {
		return nil, err
	}
	if kept.Of != hashOf(file) {
		return nil, ErrEditsOfAnotherFile
	}
	base, err := DocumentOf(plan)
	if err != nil {
		return nil, err
	}
	_, plan, err = base.Edited(base, kept.Edits...)
	return plan, err
}

func hashOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}
