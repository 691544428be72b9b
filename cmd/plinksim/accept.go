package main

import (
	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/topology"
)

// accept and reject are short for the commands of connection.

func newAccept() *cobra.Command { return short(topology.VerbAccept) }

func newReject() *cobra.Command { return short(topology.VerbReject) }

func short(verb topology.Verb) *cobra.Command {
	op := operationOf(verb)
	op.path = op.also
	return op.command()
}
