package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/topology"
)

func newLogs() *cobra.Command {
	var labName string
	var follow bool
	var lines int
	cmd := &cobra.Command{
		Use:   "logs [INSTANCE]",
		Short: "Show what the programs of an instance print",
		Long: `Show what the programs of an instance ("command:" in its services) have printed
to their standard output and standard error. Where there are several, each line
begins with the name of its program. Without an instance it is the log of the
lab's daemon, in a lab over several hosts that of this host.`,
		Example: "  sudo plinksim logs web --tail 20\n" +
			"  sudo plinksim logs -f web",
		Args: takes(cobra.MaximumNArgs(1), "at most one instance"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return instanceNames(cmd.Context(), labName), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if lines < 0 {
				return &usageError{errors.New("--tail: want a number of lines, 0 or more")}
			}
			dir, plan, err := labPlan(cmd.Context(), labName)
			if err != nil {
				return err
			}
			call := api.LogsCall{Tail: lines, Follow: follow}
			if !cmd.Flags().Changed("tail") {
				call.Tail = -1
			}
			if len(args) == 0 {
				find := func() ([]string, error) { return []string{dir.Path("log", "daemon.log")}, nil }
				return logFiles{find: find, tail: call.Tail, out: cmd.OutOrStdout()}.show(cmd.Context(), follow)
			}
			call.Instance = args[0]
			instance, err := plan.Instance(args[0])
			if err != nil {
				return err
			}
			if otherHost(dir, plan, instance.Zone) != "" {
				return api.NewClient(dir).Logs(cmd.Context(), call, cmd.OutOrStdout())
			}
			return showLogs(cmd.Context(), dir, instance, call, cmd.OutOrStdout())
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what is printed later, until ctrl-C")
	cmd.Flags().IntVarP(&lines, "tail", "n", 0, "begin with so many lines from the end; all where it is missing")
	addLab(cmd, &labName)
	return cmd
}

// showLogs prints the logs of an instance whose files are here.
func showLogs(ctx context.Context, dir labdir.Dir, instance *topology.Instance, call api.LogsCall, out io.Writer) error {
	logs := logFiles{before: instance.Namespace + ".", tail: call.Tail, out: out}
	logs.find = func() ([]string, error) { return logsOf(dir, logs.before) }
	if found, err := logs.find(); err == nil && len(found) == 0 && !call.Follow {
		return withHint(fmt.Errorf("instance %q has no programs that print anything", call.Instance),
			"only a \"command:\" among its services has a log")
	}
	return logs.show(ctx, call.Follow)
}

// logsOf are the logs of the programs of a namespace, whose names begin with
// before.
func logsOf(dir labdir.Dir, before string) (files []string, err error) {
	entries, err := os.ReadDir(dir.Path("log"))
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), before) {
			files = append(files, dir.Path("log", e.Name()))
		}
	}
	return files, err
}

// logFiles are the logs of some programs.
type logFiles struct {
	find   func() ([]string, error)
	before string // of a file's name, before that of the program
	tail   int    // lines; -1 is all
	out    io.Writer
}

// show prints the files and, with follow, what is written to them until ctx
// ends, in files that come later too.
func (l logFiles) show(ctx context.Context, follow bool) error {
	open := map[string]*logFile{}
	defer func() {
		for _, f := range open {
			f.file.Close()
		}
	}()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for first := true; ; first = false {
		names, err := l.find()
		if err != nil {
			return err
		}
		for _, name := range names {
			if open[name] == nil {
				f, err := openLog(name, l.before)
				if errors.Is(err, fs.ErrNotExist) && follow {
					continue // it is not there yet
				}
				if err != nil {
					return err
				}
				open[name] = f
				if first && l.tail >= 0 {
					if err := f.skipTo(l.tail); err != nil {
						return err
					}
				}
			}
			if err := open[name].print(l.out, len(names) > 1, !follow); err != nil {
				return err
			}
		}
		if !follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// logFile is a file of which some lines have been printed.
type logFile struct {
	file    *os.File
	program string
	read    *bufio.Reader
	rest    string // of a line that is not whole yet
}

func openLog(name, before string) (*logFile, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	program := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(name), before), ".log")
	return &logFile{file: f, program: program, read: bufio.NewReader(f)}, nil
}

// skipTo leaves out all but the last lines.
func (f *logFile) skipTo(lines int) error {
	ends := []int64{0} // where the last lines begin, the oldest first
	at := int64(0)
	for {
		line, err := f.read.ReadSlice('\n')
		at += int64(len(line))
		if err == nil || errors.Is(err, io.EOF) && at > ends[len(ends)-1] {
			if ends = append(ends, at); len(ends) > lines+1 {
				ends = slices.Delete(ends, 0, 1)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
	_, err := f.file.Seek(ends[0], io.SeekStart)
	f.read.Reset(f.file)
	return err
}

// print prints what has been written since the last time: whole lines, and
// where no more will come the rest too.
func (f *logFile) print(w io.Writer, named, last bool) error {
	for {
		text, err := f.read.ReadString('\n')
		f.rest += text
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if f.rest != "" && (err == nil || last || len(f.rest) > longestLine) {
			line := strings.TrimSuffix(f.rest, "\n") + "\n"
			if named {
				line = f.program + ": " + line
			}
			if _, err := io.WriteString(w, line); err != nil {
				return err
			}
			f.rest = ""
		}
		if err != nil {
			return nil
		}
	}
}

// longestLine is how many bytes of a line wait for its end.
const longestLine = 1 << 20
