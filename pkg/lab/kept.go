package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"path"

	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// The files of a lab's store that say what its machine is.
const (
	planFile     = "topology.yaml"     // the file of the topology that it was made or changed for
	newPlanFile  = "topology.new.yaml" // the next planFile, until planEdits are its
	planEdits    = "topology.edits"    // how the file was edited
	changingFile = "changing"          // there while it is between two topologies
)

// keptPlan writes down of which plan a lab's machine is, for a process that takes the lab
// over. While the machine is made another one's, changingFile says what it becomes. As
// planEdits are written at once, whoever is killed leaves a machine that is known to be
// of a plan, or known to be between two. Who uses it has the lab's transition, or the
// lab for itself.
type keptPlan struct {
	store  Store
	keeper topofile.Keeper
	plan   *topology.Plan // that was written down; nil where this process has written none
	file   []byte         // planFile, where that is known
	edits  []byte         // planEdits that were found
}

// halfway is what changingFile says of the plan that the machine becomes.
type halfway struct {
	File  []byte `json:"file,omitempty"` // nil: that of planFile
	Edits []byte `json:"edits"`
}

// leftBehind is the plan of which the machine is, or nil where that is not known: a lab
// that was never finished, or one of another version or name. A machine that was left
// between two plans becomes that of the first again, where mend can do that.
func (k *keptPlan) leftBehind(name string, mend func(plan, half *topology.Plan) bool) *topology.Plan {
	edits, err := k.store.Load(planEdits)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var plan *topology.Plan
	var file []byte
	for _, at := range []string{planFile, newPlanFile} {
		if text, err := k.store.Load(at); err == nil && plan == nil {
			plan, file = k.planOf(name, text, edits), text
		}
	}
	if plan == nil {
		return nil
	}
	k.file, k.edits = file, edits
	text, err := k.store.Load(changingFile)
	if errors.Is(err, fs.ErrNotExist) {
		return plan
	}
	var to halfway
	if err != nil || json.Unmarshal(text, &to) != nil {
		return nil
	}
	if bytes.Equal(to.Edits, edits) {
		return plan // it had become that, and only the mark was left
	}
	if to.File == nil {
		to.File = file
	}
	half := k.planOf(name, to.File, to.Edits)
	if half == nil || mend == nil || !mend(plan, half) {
		return nil
	}
	return plan
}

// planOf is the plan of a lab's files; nil where they are of no lab of that name.
func (k *keptPlan) planOf(name string, file, edits []byte) *topology.Plan {
	plan, err := topofile.PlanOfKept(path.Join(k.store.String(), planFile), file, edits)
	if err != nil || plan.Name != name {
		return nil
	}
	return plan
}

// is says whether a plan is the one that was written down last.
func (k *keptPlan) is(plan *topology.Plan) bool {
	if k.plan != nil || k.file == nil {
		return k.plan == plan
	}
	file, edits, err := k.keeper.Kept(plan)
	return err == nil && bytes.Equal(file, k.file) && bytes.Equal(edits, k.edits)
}

// mark says that the machine becomes that of a plan from now on.
func (k *keptPlan) mark(plan *topology.Plan) error {
	file, edits, err := k.keeper.Kept(plan)
	if err != nil {
		return err
	}
	to := halfway{Edits: edits}
	if !bytes.Equal(file, k.file) {
		to.File = file
	}
	text, err := json.Marshal(to)
	if err != nil {
		return err
	}
	return k.store.Save(changingFile, text)
}

// keep writes down the plan of which the machine is, and takes the mark away.
func (k *keptPlan) keep(plan *topology.Plan) error {
	if k.plan != plan {
		if err := k.write(plan); err != nil {
			return err
		}
	}
	return k.store.Save(changingFile, nil)
}

func (k *keptPlan) write(plan *topology.Plan) error {
	file, edits, err := k.keeper.Kept(plan)
	if err != nil {
		return err
	}
	another := !bytes.Equal(file, k.file)
	if another {
		// It is beside the one before until the edits are its own.
		if err := k.store.Save(newPlanFile, file); err != nil {
			return err
		}
	}
	if err := k.store.Save(planEdits, edits); err != nil {
		return err
	}
	k.plan = plan
	if !another {
		return nil
	}
	if err := k.store.Save(planFile, file); err != nil {
		return err
	}
	k.file = file
	return k.store.Save(newPlanFile, nil)
}
