package main

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/spf13/cobra"
)

func newSessions() *cobra.Command {
	var on target
	var watch bool
	cmd := &cobra.Command{
		Use:   "sessions",
		Short: "Show the NAT sessions, both sides of each translation",
		Args:  takes(cobra.NoArgs, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := on.client(cmd.Context(), "")
			if err != nil {
				return err
			}
			client = client.Telling(func(h http.Header) {
				for _, host := range h.Values(api.SilentHeader) {
					fmt.Fprintf(cmd.ErrOrStderr(), "sessions are missing of host %s\n", host)
				}
			})
			return again(cmd, watch, func(w io.Writer) error {
				sessions, err := client.Sessions(cmd.Context())
				if err != nil {
					return err
				}
				if on.output == "json" {
					return printJSON(w, status.Sessions{Head: status.NewHead(), Sessions: sessions})
				}
				if len(sessions) == 0 && !watch {
					fmt.Fprintln(cmd.ErrOrStderr(), "no sessions: nothing has passed, or it was too long ago")
				}
				printSessions(w, sessions)
				return nil
			})
		},
	}
	addWatch(cmd, &watch)
	on.addFlags(cmd)
	return cmd
}

func printSessions(w io.Writer, sessions []status.Session) {
	t := newTable(w, "LINK", "STATE", "AS THE CLIENT SENDS IT", "AS THE BACKEND SEES IT",
		extra("TO PROVIDER"), extra("TO CONSUMER"), extra("EXPIRES"))
	for _, s := range sessions {
		state := s.State
		if s.Cached {
			state += ", cached"
		}
		t.row(s.Link, state,
			fmt.Sprintf("%s > %s", s.Consumer, s.Endpoint), fmt.Sprintf("%s > %s", s.NAT, s.Target),
			fmt.Sprintf("%d B", s.BytesToProvider), fmt.Sprintf("%d B", s.BytesToConsumer),
			"in "+time.Duration(s.ExpiresSeconds*float64(time.Second)).Round(time.Second).String())
	}
	t.flush()
}
