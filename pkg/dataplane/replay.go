package dataplane

import (
	"context"
	"fmt"
	"time"

	"github.com/plinksim/plinksim/pkg/packet"
)

// Replay moves every packet of the files of p, the engine's driver, as fast as
// the machine can, and returns when the files are at their ends. It is what Run
// does, in virtual time: EngineConfig.Clock has to be p.Now. Nothing waits, and
// nothing depends on how long anything takes, so the same files and the same
// table seed give the same output. ctx is looked at from time to time. The error
// names the files that are wrong, all of whose packets before that were moved.
func (e *Engine) Replay(ctx context.Context, p *Pcap) error {
	e.silenceAlarm()
	var frames [1]packet.Frame
	for count := 0; ; count++ {
		if count%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		at, more := p.next()
		if err := e.passTime(p, at, more); err != nil {
			return err
		}
		if !more {
			return p.Err()
		}
		n, err := p.Read(frames[:])
		if err == nil {
			err = e.work(frames[:n])
		}
		if err != nil {
			return fmt.Errorf("data plane engine: %w", err)
		}
	}
}

// passTime does what is due before the next packet, at until, each at its
// time. When there is none, what waits still leaves.
func (e *Engine) passTime(p *Pcap, until time.Duration, more bool) error {
	for {
		if !p.takeWoken() {
			due, ok := e.nextDue(p.Now(), until, more)
			if !ok {
				return nil
			}
			p.sleep(due)
		}
		if err := e.work(nil); err != nil {
			return fmt.Errorf("data plane engine: %w", err)
		}
	}
}

// nextDue is when something is to be done before the next packet, false where
// nothing is. Sessions are looked for at whole seconds, which is as exact as
// the table's lists are, and are not waited for in the end.
func (e *Engine) nextDue(now, until time.Duration, more bool) (time.Duration, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	due, waits := e.shaper.next()
	if !more {
		return due, waits
	}
	next := now.Truncate(time.Second) + time.Second
	if (!waits || next < due) && next < until && e.table.Stats().Sessions > 0 {
		return next, true
	}
	return due, waits && due < until
}

// silenceAlarm keeps the clock on the wall out of virtual time.
func (e *Engine) silenceAlarm() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.alarm.silent = true
}
