package lab

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// A program that ends again and again is started mostRestarts times in a row, the
// first time after restartPause and then after twice the time before. One that ran for
// calm has no past.
const (
	mostRestarts = 5
	restartPause = time.Second
	calm         = 10 * time.Second
)

// program is a process on an instance, which is started again when it ends, where
// its policy says so.
type program struct {
	*service
	policy topology.RestartPolicy
	run    func(ended func(how, log string)) (stop func(), err error)
	tell   func(verb control.Verb, what string)

	mu       sync.Mutex
	stopping bool
	lives    bool
	planned  bool        // it will be started again
	end      func()      // of the process that was started last
	next     *time.Timer // until the next
	began    time.Time
	tries    int // in a row
}

// startCommand runs a program inside an instance, in the directory of the
// topology file, so that the file can name others beside it. tell hears when it has
// ended by itself, and when it is started again.
func startCommand(space Space, beside string, spec serviceSpec, tell func(control.Verb, string)) (*service, error) {
	runner, ok := space.(Runner)
	if !ok {
		return nil, errors.New("needs a kernel lab: this one runs no programs of their own")
	}
	what := Program{Name: spec.key(), Argv: spec.Argv, Env: spec.instance.Env, Beside: beside}
	p := &program{service: &service{}, policy: spec.Restart, tell: tell}
	p.run = func(ended func(how, log string)) (func(), error) { return runner.Run(what, ended) }
	p.stop = p.stopForever
	p.hasEnded = func() bool { return !p.is(&p.lives) }
	p.hasFuture = func() bool { return p.is(&p.lives) || p.is(&p.planned) }
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.service, p.startLocked()
}

func (p *program) startLocked() error {
	end, err := p.run(p.ended)
	if err != nil {
		return err
	}
	p.end, p.lives, p.planned, p.began = end, true, false, time.Now()
	p.set("running")
	return nil
}

// stopForever ends the program, for good.
func (p *program) stopForever() {
	p.mu.Lock()
	p.stopping = true
	end := p.end
	if p.next != nil {
		p.next.Stop()
	}
	p.mu.Unlock()
	end() // which waits for ended
}

func (p *program) is(state *bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return *state
}

// ended is called when the process has ended.
func (p *program) ended(how, log string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lives = false
	state := fmt.Sprintf("exited: %s, see %s", how, log)
	p.set(state)
	if p.stopping {
		return
	}
	p.tell("end", "ended: "+how)
	if p.policy == topology.RestartAlways || p.policy == topology.RestartOnFailure && how != Succeeded {
		p.planLocked(state)
	}
}

// planLocked plans to start the program again, or gives up.
func (p *program) planLocked(state string) {
	if time.Since(p.began) >= calm {
		p.tries = 0
	}
	if p.planned = p.tries < mostRestarts; !p.planned {
		p.set(fmt.Sprintf("%s; it was started again %d times in a row", state, mostRestarts))
		p.tell("end", fmt.Sprintf("is not started again: it ended %d times in a row", mostRestarts+1))
		return
	}
	pause := restartPause << p.tries
	p.tries++
	p.set(fmt.Sprintf("%s; %s after %s, %d of %d", state, status.StartsAgain, pause, p.tries, mostRestarts))
	p.next = time.AfterFunc(pause, p.again)
}

func (p *program) again() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping {
		return
	}
	if err := p.startLocked(); err != nil {
		p.began = time.Now()
		p.planLocked("exited: it cannot be started: " + err.Error())
		return
	}
	p.tell("start", fmt.Sprintf("was started again, %d of %d", p.tries, mostRestarts))
}
