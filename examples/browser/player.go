//go:build js && wasm

package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"syscall/js"
	"time"

	"github.com/plinksim/plinksim/pkg/graph"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/packet"
	"github.com/plinksim/plinksim/pkg/pcap"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// player is what a page does with a lab.
type player struct {
	lab  *lab.Lab
	hear js.Value
}

func (p *player) tell(kind string, what any) { p.hear.Call(kind, encoded(what)) }

// listen tells the page of events and packets until ctx ends.
func (p *player) listen(ctx context.Context) error {
	stream, err := p.lab.Capture(status.CaptureOptions{})
	if err != nil {
		return err
	}
	go func() {
		defer stream.Close()
		for {
			seen, err := stream.Next(ctx)
			if err != nil {
				return
			}
			p.tell("packet", packetOf(&seen))
		}
	}()
	go func() {
		for e := range p.lab.Plane().Subscribe(ctx, 0) {
			p.tell("event", e)
		}
	}()
	return nil
}

func packetOf(seen *pcap.Packet) map[string]any {
	return map[string]any{
		"time": time.Unix(0, seen.Time).Format("15:04:05.000"), "eni": seen.Interface,
		"sent": seen.Direction == pcap.Sent, "text": packet.Text(seen.Data), "note": seen.Comment,
		"bytes": len(seen.Data),
	}
}

func (p *player) calls(ctx context.Context) map[string]func(args []js.Value) (any, error) {
	return map[string]func(args []js.Value) (any, error){
		"picture": func([]js.Value) (any, error) {
			return graph.Of(p.lab.Plan(), graph.LiveOf(p.lab.Status())).SVG(), nil
		},
		"status": func([]js.Value) (any, error) { return p.lab.Status(), nil },
		"plan":   func([]js.Value) (any, error) { return p.summary(), nil },
		"check": func([]js.Value) (any, error) {
			return nil, p.lab.Check(ctx, func(c status.Check) { p.tell("check", c) })
		},
		"do": func(args []js.Value) (any, error) {
			return p.lab.Do(ctx, topology.Operation{
				Verb: topology.Verb(args[0].String()), Service: args[1].String(), Endpoint: args[2].String(),
			}, 10*time.Second)
		},
		"get":     func(args []js.Value) (any, error) { return p.get(ctx, args[0].String(), args[1].String()) },
		"explain": func(args []js.Value) (any, error) { return p.lab.Explain(args[0].String(), args[1].String()) },
		"down":    func(args []js.Value) (any, error) { return nil, p.lab.TakeDown(args[0].String(), false) },
		"up":      func(args []js.Value) (any, error) { return nil, p.lab.BringUp(args[0].String()) },
	}
}

// summary is what a page needs to know to offer something.
func (p *player) summary() map[string]any {
	plan := p.lab.Plan()
	instances, endpoints, checks, names := []string{}, []string{}, []string{}, map[string]string{}
	for _, vpc := range plan.VPCs {
		for _, in := range vpc.Instances {
			instances = append(instances, plan.ShortName(in))
		}
	}
	for _, endpoint := range plan.Endpoints {
		endpoints = append(endpoints, endpoint.Name)
		for _, ref := range refsOf(endpoint) {
			if name, err := plan.Lookup(ref); err == nil {
				names[name] = ref
			}
		}
	}
	for _, check := range plan.Checks {
		checks = append(checks, check.Name)
	}
	return map[string]any{
		"name": plan.Name, "instances": instances, "endpoints": endpoints, "checks": checks, "names": names,
	}
}

// refsOf are an endpoint's references that have domain names.
func refsOf(e topology.Endpoint) []string {
	refs := []string{e.Name}
	for _, zone := range e.Zones {
		refs = append(refs, e.Name+"@"+zone.Zone)
	}
	return refs
}

// get asks for a page on an instance. The host of the URL may be a reference.
func (p *player) get(ctx context.Context, instance, url string) (any, error) {
	client, err := p.lab.Client(instance)
	if err != nil {
		return nil, err
	}
	scheme, rest, _ := strings.Cut(url, "://")
	host, path, _ := strings.Cut(rest, "/")
	name, port, hasPort := strings.Cut(host, ":")
	if known, err := p.lab.Plan().Lookup(name); err == nil {
		name = known
	}
	if hasPort {
		name += ":" + port
	}
	asking := client.HTTP()
	asking.Timeout = 3 * time.Second
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+name+"/"+path, nil)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	resp, err := asking.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	return map[string]any{
		"status": resp.Status, "body": string(body), "ms": float64(time.Since(begun).Microseconds()) / 1000,
	}, err
}
