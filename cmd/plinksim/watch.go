package main

import (
	"bytes"
	"io"
	"time"

	"github.com/spf13/cobra"
)

// watchPause is how long what is watched stays on the screen.
const watchPause = time.Second

func addWatch(cmd *cobra.Command, watch *bool) {
	cmd.Flags().BoolVarP(watch, "watch", "w", false, "show it again every second, until ctrl-C")
}

// again shows something once or, with watch, every second until the command is
// interrupted. A terminal shows the newest in the place of the one before; elsewhere
// they follow each other.
func again(cmd *cobra.Command, watch bool, show func(io.Writer) error) error {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	if !watch {
		return show(out)
	}
	tick := time.NewTicker(watchPause)
	defer tick.Stop()
	for {
		var text bytes.Buffer
		part := *screenOf(out)
		part.Writer = &text
		err := show(&part)
		switch {
		case ctx.Err() != nil && !gaveUp(ctx):
			return nil
		case err != nil:
			return err
		}
		if screenOf(out).terminal {
			text = *bytes.NewBuffer(onePage(text.Bytes()))
		}
		if _, err := out.Write(text.Bytes()); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// onePage begins at the top of a terminal, and clears what is left of what was there
// before (ECMA-48, 8.3.21, 8.3.41, 8.3.39).
func onePage(text []byte) []byte {
	lines := bytes.ReplaceAll(text, []byte("\n"), []byte("\x1b[K\n"))
	return append(append([]byte("\x1b[H"), lines...), "\x1b[J"...)
}
