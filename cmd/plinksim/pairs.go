package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/topology"
)

// creates and changes are the last words of operations that KEY=VALUE can follow.
var creates, changes = []string{"create"}, []string{"set", "modify"}

// kind is the kind of objects whose keys can follow the arguments of the operation's
// command, nil where none can.
func (op operation) kind() *kind {
	verb := lastWord(op.path)
	if !slices.Contains(creates, verb) && !slices.Contains(changes, verb) {
		return nil
	}
	return kindAt(strings.TrimSuffix(op.path, " "+verb))
}

// takePairs lets the command of an operation take KEY=VALUE behind its arguments, so
// that it says everything that a file can say. What is created so is an edit of the
// topology. Of what is changed, the keys that the operation has are the operation's,
// and the others edits.
func (op operation) takePairs(cmd *cobra.Command, on *target, o *topology.Operation, k kind) {
	least, most := op.arguments()
	var dryRun bool
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "with KEY=VALUE: only print what would change")
	cmd.Use += " [KEY=VALUE...]"
	cmd.Example = strings.TrimPrefix(cmd.Example+"\n  sudo plinksim "+op.path+" "+op.pairExample(k), "\n")
	cmd.Long = strings.TrimSpace(cmd.Long+"\n\n"+op.pairsHelp()) + "\n\n" + k.keysHelp()
	cmd.Args = takes(cobra.MinimumNArgs(least), op.args+" [KEY=VALUE...]")
	without, complete := cmd.RunE, cmd.ValidArgsFunction
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
		if len(args) < most {
			return complete(cmd, args, word)
		}
		return k.completeKey(cmd, word), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > most {
			p := pairs{op: op, kind: k, on: on, names: args[:most], dryRun: dryRun}
			return p.run(cmd, o, args[most:], without)
		}
		if dryRun {
			return &usageError{errors.New("--dry-run is for KEY=VALUE: an operation is done or refused")}
		}
		return without(cmd, args)
	}
}

func (op operation) pairExample(k kind) string {
	if slices.Contains(creates, lastWord(op.path)) {
		return strings.ReplaceAll(k.name, "/", " ") + " " + k.example
	}
	first, _, _ := strings.Cut(k.example, " ")
	return op.args + " " + first
}

func (op operation) pairsHelp() string {
	if slices.Contains(creates, lastWord(op.path)) {
		return "With KEY=VALUE it becomes a part of the lab's topology, as by \"plinksim edit\"."
	}
	return "KEY=VALUE changes the same as a flag where there is one, and the lab's topology\notherwise."
}

// pairs are KEY=VALUE behind the arguments of an operation's command.
type pairs struct {
	op     operation
	kind   kind
	on     *target
	names  []string
	dryRun bool
}

func (p pairs) run(cmd *cobra.Command, o *topology.Operation, words []string,
	operate func(*cobra.Command, []string) error) error {
	flagged := o.As != "" || slices.ContainsFunc(p.op.flags, func(f flag) bool { return cmd.Flags().Changed(f.name) })
	var edits []topology.Edit
	var err error
	switch {
	case slices.Contains(creates, lastWord(p.op.path)) && flagged:
		return &usageError{fmt.Errorf("%q takes either flags or KEY=VALUE", cmd.CommandPath())}
	case slices.Contains(creates, lastWord(p.op.path)):
		edits, err = p.kind.createAt(p.names, words)
	default:
		var others []string
		others, err = p.split(o, words)
		flagged = flagged || len(others) < len(words)
		var at []string
		if err == nil {
			at, err = p.kind.at(p.names)
		}
		if err == nil {
			edits, err = p.kind.setAt(at, others)
		}
	}
	if err != nil {
		return &usageError{err}
	}
	if len(edits) > 0 || p.dryRun {
		if err := makeEdits(cmd, p.on, api.EditCall{Edits: edits, DryRun: p.dryRun}); err != nil {
			return err
		}
	}
	if !flagged {
		return nil
	}
	return operate(cmd, p.names)
}

// split gives the operation what is its, and returns what is the topology's: all of
// it where nothing is to be done.
func (p pairs) split(o *topology.Operation, words []string) (others []string, err error) {
	spec := o.Spec()
	for _, word := range words {
		key, text, ok := strings.Cut(word, "=")
		if !ok || p.dryRun || !spec.Needs.Has(key) && !spec.May.Has(key) {
			others = append(others, word)
			continue
		}
		if err := o.Set(key, text); err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	return others, nil
}
