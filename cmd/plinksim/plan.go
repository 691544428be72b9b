package main

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/host"
)

func newPlan() *cobra.Command {
	var onHost string
	cmd := &cobra.Command{
		Use:   "plan FILE",
		Short: "Print the ip and nft commands that a topology file stands for",
		Long: `Print everything that "up" would do to the kernel as ip, sysctl and nft
commands. Nothing is done. Plinksim itself does not run these programs; the text
is for people. The same file gives the same text on every machine.`,
		Args: takes(cobra.ExactArgs(1), "one topology file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			plan, err := load(args[0])
			if err == nil {
				plan, err = sliceOn(cmd, plan, onHost)
			}
			if err != nil {
				return err
			}
			_, err = io.WriteString(cmd.OutOrStdout(), host.Script(plan))
			return err
		},
	}
	addHost(cmd, &onHost)
	return cmd
}
