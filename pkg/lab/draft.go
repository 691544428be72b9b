package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// toldEvents are those that led from the record of one revision to the next one.
type toldEvents struct {
	After  int64           `json:"after"`
	Events []control.Event `json:"events"`
}

// draft is what a record says, on its way to the next record: a lab without a machine.
type draft struct {
	after int64 // the revision of the record
	file  *fileState
	plane *control.Plane
	log   *slog.Logger

	seq uint64 // of the last event of the record

	// What the record has, to see what is changed.
	control   []byte
	doc, base *topofile.Document
	aside     bool
}

// readRecord is the topology file that a record has with its edits, and what else it has.
// What the lab's own file has of it is not read again.
func readRecord(record Record, own *fileState) (*fileState, savedState, error) {
	var in savedState
	if err := json.Unmarshal(record.State, &in); err != nil {
		return nil, in, fmt.Errorf("read revision %d of the lab: %w", record.Revision, err)
	}
	if in.Version > savedVersion {
		return nil, in, fmt.Errorf("revision %d of the lab is of version %d, and this plinksim knows %d",
			record.Revision, in.Version, savedVersion)
	}
	file := own.file
	source, err := topofile.TextOf(file)
	if err != nil {
		return nil, in, err
	}
	same := bytes.Equal(source, record.Source)
	if !same {
		if file, err = topofile.Parse(record.File, record.Source); err != nil {
			return nil, in, fmt.Errorf("read the file of revision %d of the lab: %w", record.Revision, err)
		}
	}
	out := &fileState{save: func([]topology.Change) {}, log: own.log, aside: in.Aside}
	if same && slices.Equal(own.doc.Since(own.base), in.Edits) {
		out.base, out.file, out.doc, out.plan = own.base, own.file, own.doc, own.plan
		return out, in, nil
	}
	return out, in, out.readLocked(file, in.Edits)
}

// draftOf is a draft that is what a record says.
func draftOf(record Record, own *fileState) (*draft, error) {
	file, in, err := readRecord(record, own)
	if err != nil {
		return nil, err
	}
	plane, err := control.NewPlane(file.now(), time.Now)
	if err == nil {
		err = plane.Restore(in.Control)
	}
	if err != nil {
		return nil, fmt.Errorf("read revision %d of the lab: %w", record.Revision, err)
	}
	return newDraft(record.Revision, file, plane)
}

func newDraft(after int64, file *fileState, plane *control.Plane) (*draft, error) {
	d := &draft{after: after, file: file, plane: plane, log: slog.New(slog.DiscardHandler)}
	if events := plane.Events(0); len(events) > 0 {
		d.seq = events[len(events)-1].Seq
	}
	d.file.allows = plane.Allows
	d.doc, d.base, d.aside = file.doc, file.base, file.aside
	var err error
	d.control, err = plane.Save()
	return d, err
}

// replace is how the file's methods change the draft.
func (d *draft) replace(_ context.Context, plan *topology.Plan, then func()) (changed bool, err error) {
	if err := d.plane.Apply(plan); err != nil {
		return false, err
	}
	if then != nil {
		then()
	}
	return true, nil
}

// operate does an operation.
func (d *draft) operate(ctx context.Context, o topology.Operation) (control.Event, error) {
	event, _, err := decide(ctx, o, d.plane, d.file, d.replace)
	return event, err
}

// edit makes edits, all or none.
func (d *draft) edit(editor Editor, asked request) ([]topology.Change, error) {
	made, err := d.file.make(&asked, d.replace)
	if err == nil {
		tellEdit(d.plane, editor, made)
	}
	return made, err
}

// settle moves to where it rests what was on its way, and takes out of the topology what
// operations have deleted.
func (d *draft) settle(ctx context.Context) {
	d.plane.Report(d.plane.Revision())
	if d.file.aside {
		return // the edits come back first
	}
	gone := deletions{d.plane, d.file, d.replace, d.log}
	gone.forget(ctx)
	gateways, entries := d.plane.DeletedOfGateways()
	for _, name := range gateways {
		gone.forgetOne(ctx, topology.JoinPath("nat_gateways", name), nil)
	}
	for _, e := range entries {
		gone.forgetOne(ctx, topology.JoinPath("nat_gateways", e[0], "full_nat", e[1]), nil)
	}
}

// putAside puts the edits aside, or takes them back.
func (d *draft) putAside(ctx context.Context, aside bool) error {
	if d.file.aside == aside || d.file.plan == d.file.file {
		return nil
	}
	d.file.aside = aside
	_, err := d.replace(ctx, d.file.now(), nil)
	return err
}

// changed says whether the draft is anything else than its record. A state that moves
// without another word for it makes no event and no revision of the plane.
func (d *draft) changed() (bool, error) {
	now, err := d.plane.Save()
	return d.file.doc != d.doc || d.file.base != d.base || d.file.aside != d.aside ||
		!bytes.Equal(withoutSeq(now), withoutSeq(d.control)), err
}

// withoutSeq is what a plane has saved behind the number of its last event.
func withoutSeq(text []byte) []byte {
	_, behind, _ := bytes.Cut(text, []byte("\"seq\":"))
	_, behind, _ = bytes.Cut(behind, []byte("\n"))
	return behind
}

// record is the draft as the next record.
func (d *draft) record() (Record, error) {
	source, err := topofile.TextOf(d.file.file)
	if err != nil {
		return Record{}, err
	}
	state := savedState{Version: savedVersion, Edits: d.file.doc.Since(d.file.base), Aside: d.file.aside}
	if state.Control, err = d.plane.Save(); err != nil {
		return Record{}, err
	}
	if events := d.plane.Events(d.seq); len(events) > 0 {
		state.Told = &toldEvents{After: d.after, Events: events}
	}
	text, err := json.Marshal(state)
	return Record{File: d.file.file.File, Source: source, State: text}, err
}
