package main

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/labdir"
)

func newMetrics() *cobra.Command {
	on := target{output: "table"}
	cmd := &cobra.Command{
		Use:   "metrics",
		Short: "Print the lab's counters in Prometheus' text format",
		Long: `Print the lab's counters in Prometheus' text format. "up --metrics :9100" also
answers http://127.0.0.1:9100/metrics for a Prometheus server to scrape, and
/healthz there: 200 and "ok", or 503 and what is wrong with the lab itself.`,
		Args: takes(cobra.NoArgs, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := on.client(cmd.Context(), "")
			if err != nil {
				return err
			}
			return client.Metrics(cmd.Context(), cmd.OutOrStdout())
		},
	}
	addLab(cmd, &on.lab)
	return cmd
}

// checkMetrics says before a lab is built that its metrics cannot be served.
func checkMetrics(dir labdir.Dir, address string) error {
	if address == "" {
		return nil
	}
	return mayListen(dir, api.ListenMetrics, address)
}

// mayListen says before a lab is built that nobody can listen at an address. A lab
// that runs may listen there already.
func mayListen(dir labdir.Dir, listen func(string) (net.Listener, error), address string) error {
	ln, err := listen(address)
	if errors.Is(err, syscall.EADDRINUSE) && dir.Running() {
		return nil
	}
	if err != nil {
		return withHint(err, "nothing was built")
	}
	return ln.Close()
}

// serveMetrics asks a running lab to answer at a TCP address, where one is
// wanted.
func serveMetrics(cmd *cobra.Command, lab labdir.Dir, address string) error {
	if address == "" {
		return nil
	}
	at, err := api.NewClient(lab).ServeMetrics(cmd.Context(), address)
	if err != nil {
		return withHint(err, "the lab is up; \"up\" again with another --metrics address")
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "plinksim: metrics at http://%s/metrics\n", at)
	return nil
}
