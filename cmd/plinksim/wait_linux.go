package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/status"
)

// healthyTime is how long "up --wait=healthy" waits without --timeout.
const healthyTime = time.Minute

// waitHealthy waits until a lab has nothing that is not healthy. The lab stays as it
// is where that takes too long.
func waitHealthy(ctx context.Context, client *api.Client, lab string) error {
	limited := ctx
	if _, given := ctx.Deadline(); !given {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, healthyTime)
		defer cancel()
	}
	waitFor("everything in lab %q to be healthy", lab)
	ill := []string{"nothing is known of it"}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for limited.Err() == nil {
		now, err := client.Status(limited)
		if err == nil {
			if ill = unhealthy(now); len(ill) == 0 {
				return nil
			}
			if ended := endedForGood(now); ended != "" { // and nothing to wait for
				return withHint(fmt.Errorf("lab %q is up and not healthy: %s", lab, strings.Join(ill, "; ")),
					"\"plinksim logs %s\" shows what it printed, and \"plinksim restart %[1]s\" starts it again", ended)
			}
		} else if limited.Err() == nil {
			return err
		}
		select {
		case <-tick.C:
		case <-limited.Done():
		}
	}
	what := fmt.Sprintf("lab %q is up and not healthy: %s", lab, strings.Join(ill, "; "))
	if ctx.Err() != nil { // --timeout, or ctrl-C
		return errors.New("interrupted: " + what)
	}
	return withHint(fmt.Errorf("%s, after %s", what, healthyTime),
		"--timeout says how long to wait; \"plinksim logs INSTANCE\" shows what programs print")
}

// endedForGood is an instance of which a program has ended that is not started again by
// itself, or "".
func endedForGood(now status.Lab) string {
	for _, vpc := range now.VPCs {
		for _, instance := range vpc.Instances {
			for _, s := range instance.Services {
				if strings.HasPrefix(s.State, "exited") && !strings.Contains(s.State, status.StartsAgain) {
					return instance.Name
				}
			}
		}
	}
	return ""
}

// unhealthy is what is not healthy in a lab: servers, and programs that have ended.
func unhealthy(now status.Lab) (ill []string) {
	for _, vpc := range now.VPCs {
		for _, instance := range vpc.Instances {
			for _, s := range instance.Services {
				if strings.HasPrefix(s.State, "exited") {
					ill = append(ill, fmt.Sprintf("instance %s: its %s has %s", instance.Name, s.Kind, s.State))
				}
			}
		}
	}
	for _, group := range now.ServerGroups {
		for _, s := range group.Servers {
			if s.Healthy {
				continue
			}
			what := fmt.Sprintf("server %s (%s) of %s is %s", s.Instance, s.Address, group.Name, s.State)
			if s.Reason != "" {
				what += ": " + s.Reason
			}
			ill = append(ill, what)
		}
	}
	return ill
}
