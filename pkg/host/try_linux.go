package host

import (
	"context"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Trial is what Try has made of a lab.
type Trial struct{ dir string }

// Try does the steps of a plan one after the other in dir, whatever becomes of
// those before, and tells what became of each. A step that only fails because
// another has failed is not told of. Nothing is left where Try fails, otherwise
// after Remove.
func Try(dir string, plan *topology.Plan, tell func(Step, error)) (*Trial, error) {
	if err := checkDir(dir); err != nil {
		return nil, err
	}
	if err := makeTrees(dir); err != nil {
		_ = abandon(dir, true)
		return nil, explain(err)
	}
	err := onThread(func() error {
		k := newKernel(dir)
		defer k.close()
		for _, step := range Steps(plan) {
			_, err := step.(doer).do(k)
			if err == nil || !isGone(err) {
				tell(step, explain(err))
			}
		}
		return nil
	})
	return &Trial{dir}, err
}

// Remove takes away what Try has made.
func (t *Trial) Remove() error { return Remove(context.Background(), t.dir) }
