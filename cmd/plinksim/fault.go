package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/status"
)

func newFault() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fault",
		Short: "Degrade connections and let interfaces and zones fail",
		Long: `Degrade the connection of an endpoint, or let an interface or a zone fail, while
the lab runs. A fault lasts until "fault clear", "fault up" or the end of the
lab, also when the daemon is started again. The topology file says how a lab
starts: "impairments:" of an endpoint, "bandwidth:" of an endpoint service.`,
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, args []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newFaultSet(), newFaultShow(), newFaultClear(), newFaultDown(), newFaultUp())
	return cmd
}

// impairmentFlags are the keys of status.FaultChange.Set.
var impairmentFlags = []struct{ name, usage string }{
	{"bandwidth", "how much passes, for example 100Mbit, or none"},
	{"delay", "how much later packets leave, for example 10ms"},
	{"jitter", "how much more or less than the delay, for example 2ms; packets stay in order"},
	{"loss", "the share that is lost, for example 1%"},
	{"reorder", "the share that later packets overtake, for example 1%"},
	{"duplicate", "the share that comes twice, for example 1%"},
	{"corrupt", "the share that comes with one bit changed, for example 1%"},
}

func newFaultSet() *cobra.Command {
	var on target
	var to string
	var seed uint64
	cmd := &cobra.Command{
		Use:   "set ENDPOINT",
		Short: "Change the bandwidth, delay, jitter, loss, ... of an endpoint's connection",
		Long: `Change how the packets of an endpoint's connection are treated, in both
directions or in one. Values that are not given stay as they are; 0 or none
switches one off.

Random choices follow a seed: with the same seed the same packets are lost.
Giving a seed, also the same one, starts the sequence again.`,
		Example: "  sudo plinksim fault set ep1 --delay 10ms --jitter 2ms\n" +
			"  sudo plinksim fault set ep1 --to consumer --loss 1% --seed 7\n" +
			"  sudo plinksim fault set ep1 --bandwidth 100Mbit\n" +
			"  sudo plinksim fault set ep1 --loss 0",
		Args: takes(cobra.ExactArgs(1), "one endpoint"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return endpointNames(cmd.Context(), on.lab, args), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			change := status.FaultChange{Endpoint: args[0], To: to, Set: map[string]string{}}
			for _, f := range impairmentFlags {
				if flag := cmd.Flags().Lookup(f.name); flag.Changed {
					change.Set[f.name] = flag.Value.String()
				}
			}
			if cmd.Flags().Changed("seed") {
				change.Seed = &seed
			}
			if err := compile.CheckFault(change); err != nil {
				return &usageError{fmt.Errorf("fault set: %w", err)}
			}
			return on.fault(cmd, args[0],
				func(c *api.Client) (status.Faults, error) { return c.SetFault(cmd.Context(), change) })
		},
	}
	for _, f := range impairmentFlags {
		cmd.Flags().String(f.name, "", f.usage)
	}
	cmd.Flags().StringVar(&to, "to", "", "the direction: provider or consumer; both where it is missing")
	cmd.RegisterFlagCompletionFunc("to",
		cobra.FixedCompletions([]string{status.ToProvider, status.ToConsumer}, cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().Uint64Var(&seed, "seed", 0, "start the random choices again, from this number")
	on.addFlags(cmd)
	return cmd
}

func newFaultShow() *cobra.Command {
	var on target
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show the faults that are in force, and what they did",
		Args:  takes(cobra.NoArgs, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return on.fault(cmd, "", func(c *api.Client) (status.Faults, error) { return c.Faults(cmd.Context()) })
		},
	}
	on.addFlags(cmd)
	return cmd
}

func newFaultClear() *cobra.Command {
	var on target
	cmd := &cobra.Command{
		Use:   "clear [ENDPOINT]",
		Short: "Go back to what the topology file says, for an endpoint or the whole lab",
		Args:  takes(cobra.MaximumNArgs(1), "at most one endpoint"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return endpointNames(cmd.Context(), on.lab, args), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			endpoint := first(args)
			return on.fault(cmd, endpoint,
				func(c *api.Client) (status.Faults, error) { return c.ClearFaults(cmd.Context(), endpoint) })
		},
	}
	on.addFlags(cmd)
	return cmd
}

func newFaultDown() *cobra.Command {
	var blackhole bool
	cmd := newFailure("down", "Let an interface, an endpoint, a load balancer or a zone fail",
		`Let one interface fail (ep1@zone, clb1@zone), all interfaces of an endpoint or a
load balancer, or a zone with all of them. An interface that is down sends and
receives nothing; with --blackhole its neighbours still see it, and only its
packets are lost. A zone that is down is also taken out of the names of
endpoints, so that clients get the addresses of other zones.`,
		func(cmd *cobra.Command, c *api.Client, ref string) (status.Faults, error) {
			return c.TakeDown(cmd.Context(), api.Failure{Ref: ref, Blackhole: blackhole})
		})
	cmd.Flags().BoolVar(&blackhole, "blackhole", false, "lose its packets, but let its neighbours see it")
	return cmd
}

func newFaultUp() *cobra.Command {
	return newFailure("up", "Let it work again", `End what "fault down" began.`,
		func(cmd *cobra.Command, c *api.Client, ref string) (status.Faults, error) {
			return c.BringUp(cmd.Context(), api.Failure{Ref: ref})
		})
}

func newFailure(verb, short, long string,
	act func(*cobra.Command, *api.Client, string) (status.Faults, error)) *cobra.Command {
	var on target
	cmd := &cobra.Command{
		Use: verb + " INTERFACE|ENDPOINT|LOAD_BALANCER|ZONE", Short: short, Long: long,
		Example: "  sudo plinksim fault " + verb + " ep1@eu-central-1b\n" +
			"  sudo plinksim fault " + verb + " eu-central-1b",
		Args: takes(cobra.ExactArgs(1), "one interface, endpoint, load balancer or zone"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return on.fault(cmd, "", func(c *api.Client) (status.Faults, error) { return act(cmd, c, args[0]) })
		},
	}
	on.addFlags(cmd)
	return cmd
}

// fault does what a subcommand does and prints what goes wrong then: of one
// endpoint, or of the lab where it is empty.
func (t *target) fault(cmd *cobra.Command, endpoint string, act func(*api.Client) (status.Faults, error)) error {
	client, err := t.client(cmd.Context(), "")
	if err != nil {
		return err
	}
	now, err := act(client)
	if err != nil {
		return err
	}
	if t.output == "json" {
		return printJSON(cmd.OutOrStdout(), now)
	}
	printFaults(cmd.OutOrStdout(), now, endpoint)
	return nil
}

func printFaults(w io.Writer, s status.Faults, endpoint string) {
	printShaped(w, s.Links, endpoint)
	for _, zone := range s.ZonesDown {
		fmt.Fprintf(w, "zone %s is down\n", zone)
	}
	for _, eni := range s.ENIs {
		fmt.Fprintf(w, "%s: %s\n", eni.Name, eni.Fault)
	}
	if n := s.DroppedDown + s.DroppedBlackholed; n > 0 {
		fmt.Fprintf(w, "dropped: %d down, %d blackholed\n", s.DroppedDown, s.DroppedBlackholed)
	}
}

// printShaped prints what is done to the packets of connections, of one
// endpoint or of all where it is empty.
func printShaped(w io.Writer, links []status.Shaped, endpoint string) {
	t := newTable(w, "ENDPOINT", "TO", "IMPAIRMENT", "PASSED", "WHAT IT DID")
	for _, l := range links {
		owner, _, _ := strings.Cut(l.Name, "@")
		if endpoint != "" && owner != endpoint {
			continue
		}
		t.row(l.Name, "provider", l.ToProvider.Text, l.ToProvider.Frames.Passed, framesText(l.ToProvider.Frames))
		t.row("", "consumer", l.ToConsumer.Text, l.ToConsumer.Frames.Passed, framesText(l.ToConsumer.Frames))
	}
	t.flush()
}

// framesText leaves out what never happened.
func framesText(f status.ShapedFrames) string {
	var parts []string
	for _, c := range []struct {
		what string
		n    uint64
	}{
		{"delayed", f.Delayed}, {"reordered", f.Reordered}, {"duplicated", f.Duplicated}, {"corrupted", f.Corrupted},
		{"lost", f.Lost}, {"dropped: queue full", f.QueueFull}, {"dropped: no room", f.NoRoom}, {"dropped: cut", f.Cut},
	} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", c.what, c.n))
		}
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// endpointNames completes one endpoint.
func endpointNames(ctx context.Context, labName string, args []string) []string {
	if len(args) > 0 {
		return nil
	}
	_, plan, err := labPlan(ctx, labName)
	if err != nil {
		return nil
	}
	var names []string
	for _, ep := range plan.Endpoints {
		names = append(names, ep.Name)
	}
	return names
}
