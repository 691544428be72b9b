package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/graph"
)

func newGraph() *cobra.Command {
	var on target
	var file string
	cmd := &cobra.Command{
		Use:   "graph [LAB]",
		Short: "Draw a lab with the states of its connections and servers, or a topology file",
		Long: `Draw VPCs, subnets, instances, endpoints, endpoint services and load balancers,
and the routes between them. For a lab that is up, the arrows show the states of
connections and the health of servers. With --file a topology file is drawn,
which needs no root.

  mermaid   for GitHub, GitLab and other places that draw Mermaid in Markdown
  dot       for Graphviz
  svg       a picture, drawn without any other program
  html      a page with the picture and its routes in words, one file

Dotted arrows lead from instances to the endpoints that their checks use. Many
instances of one subnet with the same routes are drawn as one.`,
		Example: "  sudo plinksim graph -o svg >lab.svg\n" +
			"  plinksim graph --file testdata/topologies/alibaba-clb.yaml",
		Args:              takes(cobra.MaximumNArgs(1), "at most one lab"),
		ValidArgsFunction: completeLabs,
		RunE: func(cmd *cobra.Command, args []string) error {
			write, ok := graphFormats[on.output]
			if !ok {
				return &usageError{fmt.Errorf("output %q: want mermaid, dot, svg or html", on.output)}
			}
			if file != "" && (on.lab != "" || len(args) > 0) {
				return &usageError{fmt.Errorf("draw either a lab or a file")}
			}
			g, err := drawn(cmd, file, first(args), on.lab)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), write(g))
			return err
		},
	}
	addLab(cmd, &on.lab)
	cmd.Flags().StringVarP(&on.output, "output", "o", "mermaid", "mermaid, dot, svg or html")
	cmd.RegisterFlagCompletionFunc("output",
		cobra.FixedCompletions([]string{"mermaid", "dot", "svg", "html"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().StringVarP(&file, "file", "f", "", "a topology file instead of a lab")
	return cmd
}

var graphFormats = map[string]func(*graph.Graph) string{
	"mermaid": (*graph.Graph).Mermaid, "dot": (*graph.Graph).DOT, "svg": (*graph.Graph).SVG,
	"html": (*graph.Graph).HTML,
}

func drawn(cmd *cobra.Command, file, argument, flag string) (*graph.Graph, error) {
	if file != "" {
		plan, err := load(file)
		if err != nil {
			return nil, err
		}
		return graph.Of(plan, graph.Live{}), nil
	}
	on := target{lab: flag, output: "json"}
	client, err := on.client(cmd.Context(), argument)
	if err != nil {
		return nil, err
	}
	now, err := client.Status(cmd.Context())
	if err != nil {
		return nil, err
	}
	_, plan, err := labPlan(cmd.Context(), now.Lab)
	if err != nil {
		return nil, err
	}
	return graph.Of(plan, graph.LiveOf(now)), nil
}
