package main

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"strings"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/console"
	"github.com/plinksim/plinksim/pkg/status"
)

// faultActions are the forms of the commands below "fault".
func faultActions() []console.Action {
	endpoint := console.Field{
		Name: "endpoint", Label: "endpoint", Required: true, Argument: true, Refers: keyRefers["endpoint"],
	}
	set := console.Action{
		Path: "fault set", Short: "Change the bandwidth, delay, loss, ... of a connection", Long: newFaultSet().Long,
		Fields: []console.Field{endpoint}, Read: readFaultForm,
	}
	for _, f := range impairmentFlags {
		set.Fields = append(set.Fields, console.Field{Name: f.name, Label: f.name, Help: f.usage})
	}
	set.Fields = append(set.Fields,
		console.Field{Name: "to", Label: "to", Help: "the direction; both where it is missing",
			Enum: []string{status.ToProvider, status.ToConsumer}},
		console.Field{Name: "seed", Label: "seed", Help: "start the random choices again, from this number"})

	some := endpoint
	some.Required, some.Help = false, "the whole lab where it is missing"
	clear := console.Action{
		Path: "fault clear", Short: "Clear the faults of a connection, or of the lab", Fields: []console.Field{some},
		Read: func(values url.Values) (console.Step, error) {
			name := values.Get("endpoint")
			return console.Step{
				Command: strings.TrimSpace("plinksim fault clear " + name),
				Other: func(ctx context.Context, lab console.Lab) (string, error) {
					_, err := lab.ClearFaults(ctx, name)
					return "it is as the topology file says", err
				},
			}, nil
		},
	}
	return []console.Action{set, failureAction("down", newFaultDown().Long), failureAction("up", newFaultUp().Long), clear}
}

func readFaultForm(values url.Values) (step console.Step, err error) {
	change := status.FaultChange{Endpoint: values.Get("endpoint"), To: values.Get("to"), Set: map[string]string{}}
	if change.Endpoint == "" {
		return step, errors.New("endpoint is missing")
	}
	words := []string{"plinksim fault set", console.Quote(change.Endpoint)}
	for _, f := range impairmentFlags {
		if text := strings.TrimSpace(values.Get(f.name)); text != "" {
			change.Set[f.name] = text
			words = append(words, "--"+f.name, console.Quote(text))
		}
	}
	if change.To != "" {
		words = append(words, "--to", change.To)
	}
	if text := strings.TrimSpace(values.Get("seed")); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return step, errors.New("seed: it is not a whole number")
		}
		change.Seed = &seed
		words = append(words, "--seed", text)
	}
	if err := compile.CheckFault(change); err != nil {
		return step, err
	}
	step.Command = strings.Join(words, " ")
	step.Other = func(ctx context.Context, lab console.Lab) (string, error) {
		_, err := lab.SetFault(ctx, change)
		return "it is in force", err
	}
	return step, nil
}

// failureAction is the form of "fault down" or "fault up".
func failureAction(verb, long string) console.Action {
	short := map[string]string{"down": "Let an interface, an endpoint or a zone fail", "up": "Let it work again"}[verb]
	a := console.Action{Path: "fault " + verb, Short: short, Long: long, Fields: []console.Field{{
		Name: "target", Label: "what", Required: true, Help: "an interface (ep1@zone), an endpoint, a load balancer or a zone",
		Choices: failingNames,
	}}}
	if verb == "down" {
		a.Fields = append(a.Fields, console.Field{Name: "blackhole", Label: "blackhole", Kind: console.YesNo,
			Help: "lose its packets, but let its neighbours see it"})
	}
	a.Read = func(values url.Values) (step console.Step, err error) {
		failure := api.Failure{Ref: strings.TrimSpace(values.Get("target")), Blackhole: values.Get("blackhole") == "true"}
		if failure.Ref == "" {
			return step, errors.New("say what is meant")
		}
		step.Command = "plinksim fault " + verb + " " + console.Quote(failure.Ref)
		if failure.Blackhole {
			step.Command += " --blackhole"
		}
		step.Other = func(ctx context.Context, lab console.Lab) (string, error) {
			if verb == "down" {
				_, err := lab.TakeDown(ctx, failure)
				return failure.Ref + " fails", err
			}
			_, err := lab.BringUp(ctx, failure)
			return failure.Ref + " works again", err
		}
		return step, nil
	}
	return a
}

// failingNames are what can fail: interfaces, endpoints, load balancers and zones.
func failingNames(now status.Lab, _ url.Values) (names []string) {
	for _, ep := range now.Endpoints {
		names = append(names, ep.Name)
		for _, z := range ep.Zones {
			names = append(names, ep.Name+"@"+z.Zone, z.Zone)
		}
	}
	for _, lb := range now.LoadBalancers {
		names = append(names, lb.Name)
		for _, n := range lb.Nodes {
			names = append(names, lb.Name+"@"+n.Zone, n.Zone)
		}
	}
	return names
}

// restartAction is the form of "restart".
func restartAction() console.Action {
	k := *kindAt("instance")
	return console.Action{
		Path: "restart", Short: "Restart its programs", Long: newRestart().Long, Pattern: k.file, Fields: k.nameFields(false),
		Read: func(values url.Values) (console.Step, error) {
			name := k.named(values)
			return console.Step{
				Command: "plinksim restart " + console.Quote(name),
				Other: func(ctx context.Context, lab console.Lab) (string, error) {
					services, err := lab.Restart(ctx, name)
					return "started again: " + strings.Join(services, ", "), err
				},
			}, nil
		},
	}
}
