package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim"
	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

func newInit() *cobra.Command {
	var list bool
	cmd := &cobra.Command{
		Use:   "init [TOPOLOGY [FILE]]",
		Short: "Write a commented topology file to start from",
		Long: `Write a topology file with comments to TOPOLOGY.yaml in this directory, or to
FILE; "-" prints it. Without a name it is "starter", a small service with its
consumer. The others are the topologies of the clouds' documents; --list names
them. They need no file, either: "plinksim up alibaba-clb" works from anywhere,
if no file here has that name. "haproxy" is to be changed into a service of your own
behind PROXY protocol.`,
		Example: "  plinksim init\n" +
			"  plinksim init haproxy shop.yaml\n" +
			"  plinksim init aws-nlb shop.yaml\n" +
			"  plinksim init --list",
		Args: takes(cobra.MaximumNArgs(2), "a name of --list and a file"),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
			}
			return builtInNames(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if list {
				return listBuiltIn(cmd.OutOrStdout(), args)
			}
			name := "starter"
			if len(args) > 0 {
				name = strings.TrimSuffix(args[0], ".yaml")
			}
			t, ok := builtIn(name)
			if !ok {
				return withHint(fmt.Errorf("there is no topology %q to start from", name),
					"%s; --list names them all", spell.Suggest(name, builtInNames()))
			}
			file := name + ".yaml"
			if len(args) == 2 {
				file = args[1]
			}
			if err := writeTopology(cmd, t.Text(), file); err != nil {
				return err
			}
			if missing := missingPrograms(t.Programs); len(missing) > 0 {
				fmt.Fprintf(cmd.ErrOrStderr(), "plinksim: warning: its instances run what this machine does not have: "+
					"install %s first\n", strings.Join(missing, ", "))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&list, "list", false, "print the names of the topologies and what they show")
	return cmd
}

// missingPrograms are those that are not in PATH.
func missingPrograms(programs []string) (missing []string) {
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, program)
		}
	}
	return missing
}

// writeTopology does not write over what somebody has there.
func writeTopology(cmd *cobra.Command, text, file string) error {
	if file == "-" {
		_, err := io.WriteString(cmd.OutOrStdout(), text)
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return withHint(fmt.Errorf("%s is there already", file), "name another file, or remove it")
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(file))
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s is written; \"plinksim up %[1]s\" builds it\n", file)
	return nil
}

func listBuiltIn(w io.Writer, args []string) error {
	if len(args) > 0 {
		return &usageError{errors.New("--list takes no names")}
	}
	for _, t := range plinksim.Topologies() {
		fmt.Fprintf(w, "%-30s %s\n", t.Name, t.Title)
	}
	return nil
}

func builtIn(name string) (plinksim.Topology, bool) {
	all := plinksim.Topologies()
	i := slices.IndexFunc(all, func(t plinksim.Topology) bool { return t.Name == name })
	if i < 0 {
		return plinksim.Topology{}, false
	}
	return all[i], true
}

func builtInNames() (names []string) {
	for _, t := range plinksim.Topologies() {
		names = append(names, t.Name)
	}
	return names
}

// builtInFile is before the name of a topology of the program where a file's
// name would stand.
const builtInFile = "built-in:"

// load reads a topology file; "-" is standard input. Where there is no file of
// that name, it may be that of a topology of the program.
func load(file string) (*topology.Plan, error) {
	if file == "-" {
		return topofile.Read("-", os.Stdin)
	}
	plan, err := topofile.Load(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return plan, err
	}
	if !strings.ContainsRune(file, filepath.Separator) {
		if t, ok := builtIn(file); ok {
			return topofile.Parse(builtInFile+file, []byte(t.Text()))
		}
		if near := spell.Nearest(file, builtInNames()); near != "" {
			return nil, withHint(err, "a topology that plinksim has without a file is %q", near)
		}
	}
	return nil, withHint(err, "\"plinksim init\" writes a file to start from, and \"init --list\" names others")
}

// absolute is the name of a plan's file from anywhere: the daemon is in
// another directory, and other commands show it.
func absolute(file string) string {
	if file == "-" || strings.HasPrefix(file, builtInFile) {
		return file
	}
	if from, err := filepath.Abs(file); err == nil {
		return from
	}
	return file
}
