package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

func addLab(cmd *cobra.Command, name *string) {
	cmd.Flags().StringVarP(name, "lab", "l", "", "the name of the lab; needed where several are up, and "+labVariable+" names none")
	cmd.RegisterFlagCompletionFunc("lab", completeLabs)
}

// target is what the commands that show a running lab have in common.
type target struct{ lab, output string }

func (t *target) addFlags(cmd *cobra.Command) {
	addLab(cmd, &t.lab)
	addOutput(cmd, &t.output)
}

// client speaks to the lab that is meant; name is the command's argument for
// it, or "".
func (t *target) client(ctx context.Context, name string) (*api.Client, error) {
	if err := checkOutput(t.output); err != nil {
		return nil, err
	}
	if name == "" {
		name = t.lab
	}
	dir, err := findLab(ctx, name)
	if err != nil {
		return nil, err
	}
	return api.NewClient(dir), nil
}

// findLab is the lab that a command means: the one named, that of PLINKSIM_LAB, or the
// only one.
func findLab(ctx context.Context, name string) (labdir.Dir, error) {
	if name == "" {
		name = os.Getenv(labVariable)
	}
	names, err := labdir.Names()
	var foreign *labdir.ForeignError
	if err != nil && !errors.As(err, &foreign) {
		return "", err
	}
	switch {
	case foreign != nil && (len(names) == 0 || foreign.Labs == nil || slices.Contains(foreign.Labs, name)):
		return "", foreign
	case name != "" && !slices.Contains(names, name):
		return "", withHint(fmt.Errorf("lab %q is not up", name), "%s", whichLabs(names))
	case name == "" && len(names) == 0:
		return "", withHint(errors.New("no lab is up"), "\"plinksim up FILE\" starts one")
	case name == "" && len(names) > 1:
		return "", withHint(errors.New("several labs are up, and the command names none"), "%s", whichLabs(names))
	case name == "":
		name = names[0]
	}
	dir := labdir.Of(name)
	waitFor("an answer of the daemon of lab %q", name)
	if dir.Running() && !api.NewClient(dir).Answers(ctx) && os.Geteuid() == 0 {
		return "", withHint(fmt.Errorf("lab %q is just being built or taken down", name),
			"\"plinksim ls\" says when it is up")
	}
	if !dir.Running() {
		return "", withHint(fmt.Errorf("lab %q has no daemon any more: it was killed", name),
			"\"plinksim up FILE\" takes the lab over, \"plinksim down %s\" removes it", name)
	}
	return dir, nil
}

func whichLabs(names []string) string {
	if len(names) == 0 {
		return "no lab is up; \"plinksim up FILE\" starts one"
	}
	return "write --lab with one of: " + strings.Join(names, ", ")
}

// labPlan is what a lab runs, read from its directory.
func labPlan(ctx context.Context, name string) (labdir.Dir, *topology.Plan, error) {
	dir, err := findLab(ctx, name)
	if err != nil {
		return "", nil, err
	}
	var plan *topology.Plan
	for range 100 { // both files are never written at once
		file, fileErr := dir.Load("topology.yaml")
		edits, editsErr := dir.Load("topology.edits")
		if err = errors.Join(fileErr, editsErr); err != nil {
			return dir, nil, err
		}
		plan, err = topofile.PlanOfKept(dir.Path("topology.yaml"), file, edits)
		if !errors.Is(err, topofile.ErrEditsOfAnotherFile) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return dir, plan, err
}

// otherHost is the host that has a zone of a lab, where that is another one, else "".
func otherHost(dir labdir.Dir, plan *topology.Plan, zone string) string {
	if of := plan.HostOf(zone); of != nil {
		if here, err := dir.Load("host"); err == nil && string(here) != of.Name {
			return of.Name
		}
	}
	return ""
}

// named says whether a word is an object's name, or one of its identifiers.
func named(word string, names ...string) bool { return word != "" && slices.Contains(names, word) }

func completeLabs(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names, err := labdir.Names()
	var foreign *labdir.ForeignError
	if errors.As(err, &foreign) {
		names = append(names, foreign.Labs...)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// tellForeign lets the completion of a command's arguments say why there is
// none: behind sudo it is still the user's own shell that asks.
func tellForeign(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		tellForeign(c)
	}
	complete := cmd.ValidArgsFunction
	if complete == nil {
		return
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		names, directive := complete(cmd, args, word)
		var foreign *labdir.ForeignError
		if _, err := labdir.Names(); len(names) == 0 && errors.As(err, &foreign) {
			names = cobra.AppendActiveHelp(names, foreign.Error()+": only there are its names known")
		}
		return names, directive
	}
}

func instanceNames(ctx context.Context, labName string) []string {
	_, plan, err := labPlan(ctx, labName)
	if err != nil {
		return nil
	}
	var names []string
	for _, vpc := range plan.VPCs {
		for _, i := range vpc.Instances {
			name := i.Name
			if _, err := plan.Instance(name); err != nil { // several VPCs have one
				name = vpc.Name + "/" + name
			}
			names = append(names, name)
		}
	}
	return names
}
