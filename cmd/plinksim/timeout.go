package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
)

// errGaveUp is why the context of a command has ended that waited too long.
var errGaveUp = errors.New("gave up")

// waitsFor is what the command waits for just now.
var waitsFor atomic.Value

// waitFor says what the command waits for from now on.
func waitFor(format string, args ...any) {
	waitsFor.Store(strings.TrimPrefix(fmt.Sprintf(format, args...), "wait for "))
}

// timeLimit is the time that a command has.
type timeLimit struct {
	most time.Duration // 0: as long as it takes
	ctx  context.Context
	stop func()
}

// begin ends the context of a command when its time is over.
func (l *timeLimit) begin(cmd *cobra.Command) {
	if l.most <= 0 {
		return
	}
	l.ctx, l.stop = context.WithTimeoutCause(cmd.Context(), l.most, errGaveUp)
	cmd.SetContext(l.ctx)
}

// end makes of what a command says when it is interrupted what it waited for.
func (l *timeLimit) end(err error) error {
	if l.ctx == nil {
		return err
	}
	defer l.stop()
	if err == nil || !gaveUp(l.ctx) || errors.As(err, new(exitCode)) {
		return err
	}
	text := fmt.Sprintf("gave up after %s", l.most)
	if what, ok := waitsFor.Load().(string); ok {
		text += ", while it waited for " + what
	}
	if was, ok := strings.CutPrefix(err.Error(), "interrupted: "); ok {
		text += ": " + was
	}
	return withHint(errors.New(text), "--timeout gives it more time")
}

// gaveUp says whether the time of a command is over.
func gaveUp(ctx context.Context) bool { return errors.Is(context.Cause(ctx), errGaveUp) }
