package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/status"
)

func newList() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "ls", Aliases: []string{"list", "ps"},
		Short: "List the labs of this machine",
		Args:  takes(cobra.NoArgs, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			labs, err := listLabs(cmd.Context())
			if err != nil && len(labs) == 0 {
				return err
			}
			if output == "json" {
				return errors.Join(printJSON(cmd.OutOrStdout(), labList{status.NewHead(), labs}), err)
			}
			if len(labs) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "no lab is up; \"plinksim up FILE\" starts one")
				return nil
			}
			t := newTable(cmd.OutOrStdout(), "LAB", "STATE", "CLOUD", extra("REGION"), "ENDPOINTS", extra("UP SINCE"), "FILE")
			for _, l := range labs {
				since := ""
				if !l.Started.IsZero() {
					since = l.Started.Local().Format("2006-01-02 15:04:05")
				}
				t.row(l.Lab, l.State, l.Cloud, l.Region, l.Endpoints, since, l.File)
			}
			t.flush()
			return err // labs of another user
		},
	}
	addOutput(cmd, &output)
	return cmd
}

// listedLab is a lab as "ls" shows it.
type listedLab struct {
	Lab string `json:"lab"`
	// State is up; busy while it is built or taken down; not answering, when
	// its daemon hangs; or left behind, when its daemon was killed.
	State     string    `json:"state"`
	Cloud     string    `json:"cloud,omitempty"`
	Region    string    `json:"region,omitempty"`
	Endpoints string    `json:"endpoints,omitempty"` // connected/all
	Started   time.Time `json:"started,omitzero"`
	File      string    `json:"file,omitempty"`
	Dir       string    `json:"dir"`
}

func listLabs(ctx context.Context) ([]listedLab, error) {
	names, err := labdir.Names()
	labs := []listedLab{}
	for _, name := range names {
		dir := labdir.Of(name)
		l := listedLab{Lab: name, State: "left behind", Dir: string(dir)}
		if dir.Running() {
			l.ask(ctx, api.NewClient(dir))
		}
		labs = append(labs, l)
	}
	return labs, err
}

// ask fills in what the lab's daemon says, if it does.
func (l *listedLab) ask(ctx context.Context, daemon *api.Client) {
	l.State = "busy"
	if !daemon.Answers(ctx) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	s, err := daemon.Status(ctx)
	if err != nil {
		l.State = "not answering"
		return
	}
	connected := 0
	for _, ep := range s.Endpoints {
		if isConnected(ep) {
			connected++
		}
	}
	l.State, l.Cloud, l.Region, l.File, l.Started = "up", s.Cloud, s.Region, s.File, s.Started
	l.Endpoints = fmt.Sprintf("%d of %d connected", connected, len(s.Endpoints))
}

func isConnected(ep status.Endpoint) bool {
	return ep.State == "Connected" || ep.State == "available"
}
