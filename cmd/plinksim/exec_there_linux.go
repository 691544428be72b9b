package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/api/server"
	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/machine/kernel"
	"github.com/plinksim/plinksim/pkg/topology"
)

// forProgram are the signals that a program on another host gets when this process does.
var forProgram = []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2}

// execThere runs a program on an instance of another host, as if it were this process. No signal may end ctx, since
// the program decides what one means.
func execThere(ctx context.Context, dir labdir.Dir, instance string, program, set []string) error {
	call := api.ExecCall{Instance: instance, Argv: program, Env: host.Environ(os.Environ()), Set: set}
	call.Dir, _ = os.Getwd()
	with := api.ExecIO{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	signals, changes := make(chan os.Signal, 8), make(chan os.Signal, 1)
	signal.Notify(signals, forProgram...)
	defer signal.Stop(signals)
	numbers := make(chan byte)
	with.Signals = numbers
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go forward(ctx, signals, numbers, func(s os.Signal) byte { return byte(s.(syscall.Signal)) })

	if in := int(os.Stdin.Fd()); isTerminal(os.Stdin) && isTerminal(os.Stdout) {
		size := sizeOf(os.Stdout)
		call.Terminal, call.ErrorApart = &size, !isTerminal(os.Stderr)
		before, err := term.MakeRaw(in)
		if err != nil {
			return err
		}
		defer term.Restore(in, before)
		signal.Notify(changes, syscall.SIGWINCH)
		defer signal.Stop(changes)
		sizes := make(chan api.TerminalSize)
		with.Sizes = sizes
		go forward(ctx, changes, sizes, func(os.Signal) api.TerminalSize { return sizeOf(os.Stdout) })
	}
	code, err := api.NewClient(dir).Exec(ctx, call, with)
	if err != nil {
		return err
	}
	return exitCode(code)
}

func sizeOf(terminal *os.File) api.TerminalSize {
	columns, rows, err := term.GetSize(int(terminal.Fd()))
	if err != nil {
		columns, rows = 80, 24
	}
	return api.TerminalSize{Rows: uint16(rows), Columns: uint16(columns)}
}

func forward[T any](ctx context.Context, signals <-chan os.Signal, to chan<- T, of func(os.Signal) T) {
	for {
		select {
		case s := <-signals:
			select {
			case to <- of(s):
			case <-ctx.Done():
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// execFor starts programs on the instances of a lab whose namespaces are here, for users of other hosts.
func execFor(dir labdir.Dir) func(*topology.Plan, *topology.Instance, api.ExecCall) (server.Process, error) {
	return func(plan *topology.Plan, instance *topology.Instance, call api.ExecCall) (server.Process, error) {
		p, err := kernel.StartExec(dir, instance.Namespace, environOn(dir, plan, instance, call.Env, call.Set), call)
		if err != nil {
			return nil, err
		}
		return p, nil
	}
}

// logsFor print the logs of instances whose files are here, for users of other hosts.
func logsFor(dir labdir.Dir) func(context.Context, *topology.Instance, api.LogsCall, io.Writer) error {
	return func(ctx context.Context, instance *topology.Instance, call api.LogsCall, out io.Writer) error {
		return showLogs(ctx, dir, instance, call, out)
	}
}
