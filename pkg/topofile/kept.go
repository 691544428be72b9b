package topofile

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/plinksim/plinksim/internal/memo"
	"github.com/plinksim/plinksim/pkg/topology"
)

// keptEdits is how a file was edited, as it is written down beside the file.
type keptEdits struct {
	Of    string          `json:"of"` // the hash of the file
	Edits []topology.Edit `json:"edits,omitempty"`
}

// Keeper writes plans down. It remembers what it has written of a file and its edits, so
// that the next plan of the same file costs what is different. The zero value remembers
// nothing. One goroutine uses it at a time.
type Keeper struct {
	base  *Document // the file that is remembered, nil where none is
	file  []byte
	of    string // its hash
	edits memo.Texts[topology.Edit]
}

// Kept is a plan as text: the file that it was made of, and how that was edited.
func (k *Keeper) Kept(p *topology.Plan) (file, edits []byte, err error) {
	d, edited := p.Origin.(*Document)
	if !edited {
		edits, err = json.Marshal(keptEdits{Of: hashOf(p.Source)})
		return p.Source, edits, err
	}
	if k.base != d.base {
		if file, err = TextOf(d.base.plan); err != nil {
			return nil, nil, err
		}
		*k = Keeper{base: d.base, file: file, of: hashOf(file)}
	}
	texts, err := k.edits.Of(topology.Edits(d.Since(d.base)))
	if err != nil {
		return nil, nil, err
	}
	edits = memo.AppendList(fmt.Appendf(nil, "{\"of\": %q, \"edits\": ", k.of), texts)
	return k.file, append(edits, "}\n"...), nil
}

// ErrEditsOfAnotherFile says that a file and the edits beside it were not written
// down together.
var ErrEditsOfAnotherFile = errors.New("the edits are those of another file")

// PlanOfKept is the plan that Kept has written down. Edits of nil are none.
func PlanOfKept(name string, file, edits []byte) (*topology.Plan, error) {
	var kept keptEdits
	if edits != nil {
		if err := json.Unmarshal(edits, &kept); err != nil {
			return nil, err
		}
		if kept.Of != hashOf(file) {
			return nil, ErrEditsOfAnotherFile
		}
	}
	plan, err := Parse(name, file)
	if err != nil || edits == nil {
		return plan, err
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
