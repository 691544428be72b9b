package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// fileState is the topology file of a lab with the edits that were made while
// it runs. So whatever is edited is held to the rules of a file, and gets what
// every object of a file gets. What changes it also changes the lab, which each
// method is given as replace: it makes the lab that of a plan.
type fileState struct {
	save func([]topology.Change)
	log  *slog.Logger
	// allows refuses a plan that does not fit what operations did, nil where none does.
	allows func(*topology.Plan) error

	waiting requests

	mu    sync.Mutex
	base  *topofile.Document // the file
	doc   *topofile.Document // with the edits
	plan  *topology.Plan     // of doc
	file  *topology.Plan     // of base
	aside bool               // the lab is what the file says, and the edits come back
}

// replace makes the lab that of a plan. What belongs to the change is done in then, once
// the control plane has the plan, so that both are put in force together; nil: nothing does.
type replace func(ctx context.Context, plan *topology.Plan, then func()) (changed bool, err error)

// newFileState edits a file as it was edited before, as far as that fits.
func newFileState(file *topology.Plan, made []topology.Change, save func([]topology.Change),
	log *slog.Logger) (*fileState, error) {
	f := &fileState{save: save, log: log}
	return f, f.readLocked(file, made)
}

// readLocked takes another file and what of earlier edits fits it. Where the
// file says something new about the same thing, the file is right.
func (f *fileState) readLocked(file *topology.Plan, made []topology.Change) error {
	base, err := topofile.DocumentOf(file)
	if err != nil {
		return err
	}
	kept := slices.DeleteFunc(slices.Clone(made), func(c topology.Change) bool {
		now, there := base.Value(c.Path)
		other := now != c.Was
		if other && !(there && now == c.Value) {
			f.log.Warn("the file says something new where the lab was edited", "path", c.Path)
		}
		return other
	})
	doc, plan, err := base.Edited(base, topology.Edits(kept)...)
	switch {
	case err != nil:
		doc, plan = f.fitting(base, file, kept)
	case len(kept) == 0:
		plan = file
	}
	f.base, f.file, f.doc, f.plan = base, file, doc, plan
	return nil
}

// fitting makes one edit after the other and leaves out what does not fit.
func (f *fileState) fitting(base *topofile.Document, file *topology.Plan, made []topology.Change) (
	*topofile.Document, *topology.Plan) {
	doc, plan := base, file
	for _, c := range made {
		next, edited, err := doc.Edited(base, c.Edit)
		if err != nil {
			f.log.Warn("an edit does not fit the file any more", "path", c.Path, "error", err)
			continue
		}
		doc, plan = next, edited
	}
	return doc, plan
}

// now is the plan of which the lab is. The caller holds mu, or nobody else has f.
func (f *fileState) now() *topology.Plan {
	if f.aside {
		return f.file
	}
	return f.plan
}

// apply makes the lab what another file says, with the edits that fit it.
func (f *fileState) apply(ctx context.Context, file *topology.Plan, replace replace) (changed bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := &fileState{log: f.log, aside: f.aside}
	if err := next.readLocked(file, f.doc.Since(f.base)); err != nil {
		return false, err
	}
	if same, err := sameText(next.now(), f.now()); same || err != nil {
		return false, err
	}
	if err := f.refuses(next.now()); err != nil {
		return false, err
	}
	if changed, err = replace(ctx, next.now(), nil); err != nil && !changed {
		return false, err
	}
	f.base, f.file, f.doc, f.plan = next.base, next.file, next.doc, next.plan
	f.save(f.doc.Since(f.base))
	return changed, err
}

func sameText(a, b *topology.Plan) (bool, error) {
	one, err := topofile.TextOf(a)
	if err != nil {
		return false, err
	}
	other, err := topofile.TextOf(b)
	return bytes.Equal(one, other), err
}

// edits are the changes since the file.
func (f *fileState) edits() []topology.Change {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.doc.Since(f.base)
}

// look is what edits would change, without a change.
func (f *fileState) look(were map[string]string, edits []topology.Edit) ([]topology.Change, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := stale(f.doc, were); err != nil {
		return nil, err
	}
	after, _, err := f.after(f.doc, edits)
	if err != nil {
		return nil, err
	}
	return after.Since(f.doc), nil
}

// lookAtFile is what apply would change, without a change.
func (f *fileState) lookAtFile(file *topology.Plan) ([]topology.Change, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := &fileState{log: slog.New(slog.DiscardHandler)}
	if err := next.readLocked(file, f.doc.Since(f.base)); err != nil {
		return nil, err
	}
	return next.doc.Since(f.doc), nil
}

// after is a document of the lab after edits, and its plan.
func (f *fileState) after(doc *topofile.Document, edits []topology.Edit) (*topofile.Document, *topology.Plan, error) {
	doc, plan, err := doc.Edited(f.base, edits...)
	if err != nil {
		return nil, nil, refusal(err)
	}
	if len(doc.Since(f.base)) == 0 {
		doc, plan = f.base, f.file
	}
	if err := f.refuses(plan); err != nil {
		return nil, nil, err
	}
	return doc, plan, nil
}

func (f *fileState) refuses(plan *topology.Plan) error {
	if f.allows == nil {
		return nil
	}
	return f.allows(plan)
}

// request is edits that wait to be made, and what belongs to them.
type request struct {
	ctx   context.Context
	edits []topology.Edit
	were  map[string]string // see Editor.If
	then  func() error
	// still says, when the request is looked at, whether the edits are still to be made;
	// nil: they are.
	still func() bool

	// What became of them; guarded by fileState.mu.
	answered bool
	made     []topology.Change
	err      error
}

// requests are those that nobody has begun with, in the order of their arrival.
type requests struct {
	mu  sync.Mutex
	all []*request
}

func (q *requests) add(r *request) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.all = append(q.all, r)
}

func (q *requests) take() []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := q.all
	q.all = nil
	return all
}

// edit makes edits, all or none, and then what belongs to them. When that
// fails, the lab is what it was before. Requests that arrive while the lab
// changes are made together: the first of them that gets mu makes them all.
func (f *fileState) edit(ctx context.Context, edits []topology.Edit, replace replace,
	then func() error) ([]topology.Change, error) {
	return f.make(&request{ctx: ctx, edits: edits, then: then}, replace)
}

func (f *fileState) make(r *request, replace replace) ([]topology.Change, error) {
	f.waiting.add(r)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !r.answered {
		f.makeLocked(f.waiting.take(), replace)
	}
	return r.made, r.err
}

// makeLocked checks one request after the other, as if each were alone, and
// applies those that fit as one difference. Where that fails, each is tried
// alone, so that none fails for another's sake.
func (f *fileState) makeLocked(all []*request, replace replace) {
	doc, plan, fit := f.checkLocked(all)
	if len(fit) == 0 {
		return
	}
	ctx := fit[0].ctx
	if len(fit) > 1 {
		ctx = context.WithoutCancel(ctx) // nobody ends what others asked for
	}
	then := sync.OnceFunc(func() {
		for _, r := range fit {
			r.err = r.then()
		}
	})
	changed, late := replace(ctx, plan, then)
	if late != nil && !changed {
		if len(fit) == 1 {
			fit[0].err = late
			return
		}
		for i := range fit {
			f.makeLocked(fit[i:i+1], replace)
		}
		return
	}
	then() // where nothing was to be changed
	failed := failures(fit)
	if len(failed) > 0 {
		doc, plan, fit = f.checkLocked(slices.DeleteFunc(fit, func(r *request) bool { return r.err != nil }))
		if _, err := replace(context.WithoutCancel(ctx), plan, nil); err != nil {
			for _, r := range failed {
				r.err = errors.Join(r.err, err)
			}
		}
	}
	for _, r := range fit {
		r.err = late // what was asked for is made
	}
	if doc != f.doc {
		f.doc, f.plan = doc, plan
		f.save(f.doc.Since(f.base))
	}
}

func failures(all []*request) []*request {
	return slices.DeleteFunc(slices.Clone(all), func(r *request) bool { return r.err == nil })
}

// checkLocked is the document after requests, one after the other, its plan,
// and which of them fit. It answers all.
func (f *fileState) checkLocked(all []*request) (doc *topofile.Document, plan *topology.Plan, fit []*request) {
	doc, plan = f.doc, f.plan
	for _, r := range all {
		r.answered = true
		next, edited, err := f.editedLocked(doc, r)
		if r.made, r.err = nil, err; err != nil {
			continue
		}
		r.made = next.Since(doc)
		doc, plan, fit = next, edited, append(fit, r)
	}
	return doc, plan, fit
}

func (f *fileState) editedLocked(doc *topofile.Document, r *request) (*topofile.Document, *topology.Plan, error) {
	if f.aside {
		return nil, nil, &control.Error{Code: topology.WrongState, Kind: "lab", Name: f.file.Name,
			Text: "the lab cannot be edited while its checks run", Hint: "wait until they have ended"}
	}
	if r.ctx.Err() != nil {
		return nil, nil, context.Cause(r.ctx) // nobody waits for it any more
	}
	if r.still != nil && !r.still() {
		return nil, nil, errNotAnyMore
	}
	if err := stale(doc, r.were); err != nil {
		return nil, nil, err
	}
	return f.after(doc, r.edits)
}

// stale refuses edits that were made for other values than a document has.
func stale(doc *topofile.Document, were map[string]string) error {
	for _, path := range slices.Sorted(maps.Keys(were)) {
		if doc.Has(path, were[path]) {
			continue
		}
		now, there := doc.Value(path)
		hint := "it is gone by now: look at the lab, and make the edit again if you still want it"
		if there {
			hint = fmt.Sprintf("it is %s now: make the edit again if you still want it", told(now))
		}
		return &control.Error{Code: topology.WrongState, Kind: "value", Name: path, Hint: hint,
			Text: path + " is not what it was when the edit was made for it: nothing was changed"}
	}
	return nil
}

func nothingMore() error { return nil }

var errNotAnyMore = errors.New("this is not to be done any more")

// settled does something while nobody changes the topology: the state of the
// control plane is that of the edits then.
func (f *fileState) settled(do func() error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return do()
}

// forget takes an object that is gone, and that the file does not have, out of
// the lab. Where another one needs it, it stays and does not exist. Where gone says that
// the object is there again, as others have made it meanwhile, it stays.
func (f *fileState) forget(ctx context.Context, path string, gone func() bool, replace replace) error {
	if !f.edited(path) {
		return nil
	}
	_, err := f.make(&request{ctx: ctx, edits: []topology.Edit{{Path: path}}, then: nothingMore, still: gone}, replace)
	var refused *control.Error
	if errors.As(err, &refused) || errors.Is(err, errNotAnyMore) {
		return nil
	}
	return err
}

// edited says whether something is there by an edit alone.
func (f *fileState) edited(path string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, now := f.doc.Value(path)
	_, before := f.base.Value(path)
	return now && !before
}

// has says whether the lab's topology has something.
func (f *fileState) has(path string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, there := f.doc.Value(path)
	return there
}

// checksOf are the checks of another file as the lab's topology would have them.
func (f *fileState) checksOf(text []byte) ([]topology.Check, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	plan, err := f.doc.WithChecks(text)
	if err != nil {
		return nil, refusal(err)
	}
	return plan.Checks, nil
}

// putAside makes the lab what the file says until back is called.
func (f *fileState) putAside(ctx context.Context, replace replace) (back func() error, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.plan == f.file {
		return nothingMore, nil
	}
	if changed, err := replace(ctx, f.file, nil); err != nil {
		if changed {
			_, back := replace(context.WithoutCancel(ctx), f.plan, nil)
			err = errors.Join(err, back)
		}
		return nil, err
	}
	f.aside = true
	return func() error {
		f.mu.Lock()
		defer f.mu.Unlock()
		_, err := replace(context.WithoutCancel(ctx), f.plan, nil)
		f.aside = err != nil
		return err
	}, nil
}

// refusal is why edits cannot be made, as the control plane says it.
func refusal(err error) error {
	var unfit *topofile.EditError
	if !errors.As(err, &unfit) {
		return err
	}
	return &control.Error{Code: unfit.Code, Kind: unfit.Kind, Name: unfit.Name, Text: unfit.Text, Hint: unfit.Hint}
}
