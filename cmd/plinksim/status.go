package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/spf13/cobra"
)

func newStatus() *cobra.Command {
	var on target
	var watch bool
	cmd := &cobra.Command{
		Use: "status [LAB]", Aliases: []string{"inspect"},
		Short:             "Show everything about a lab: objects, states, addresses, health and counters",
		Args:              takes(cobra.MaximumNArgs(1), "at most one lab"),
		ValidArgsFunction: completeLabs,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := on.client(cmd.Context(), first(args))
			if err != nil {
				return err
			}
			return again(cmd, watch, func(w io.Writer) error {
				now, err := client.Status(cmd.Context())
				if err != nil {
					return err
				}
				if on.output == "json" {
					return printJSON(w, now)
				}
				printStatus(w, now)
				return nil
			})
		},
	}
	addWatch(cmd, &watch)
	on.addFlags(cmd)
	return cmd
}

func printStatus(w io.Writer, s status.Lab) {
	say(w, "lab %s (%s, %s), up since %s, from %s",
		s.Lab, s.Cloud, s.Region, s.Started.Local().Format("2006-01-02 15:04:05"), s.File)
	if s.TimeScale > 1 {
		say(w, "time scale %[1]g: idle timeouts, health checks, slow starts, draining, TTLs and persistence pass %[1]g "+
			"times as fast as at the cloud; TCP's own timers, delays and bandwidth do not", s.TimeScale)
	}
	if s.Host != "" {
		for _, line := range hostLines(s) {
			say(w, "%s", line)
		}
		section(w, func(w io.Writer) { printHosts(w, s) })
	}
	printAgreed(w, s)
	for _, print := range []func(io.Writer, status.Lab){printEndpoints, printServices, printGateways, printInstances,
		printServers, printProxies, printLinks, printShaping, printENIFaults, printTimers} {
		section(w, func(w io.Writer) { print(w, s) })
	}
	fmt.Fprintln(w)
	say(w, "data plane: %d of %d sessions, %s read, %d sent, %s; lost: %s",
		s.Dataplane.Sessions, s.Dataplane.MaxSessions, spell.Count(s.Dataplane.FramesRead, "frame"), s.Dataplane.FramesSent,
		spell.Count(s.Dataplane.Superframes, "superframe"), lostText(&s.Dataplane))
	if cache := s.Dataplane.FlowCache; cache != nil {
		say(w, "flow cache: %s", flowCacheText(cache))
	}
	if len(s.Dataplane.Workers) > 1 {
		section(w, func(w io.Writer) { printWorkers(w, s) })
	}
	say(w, "verdicts: %s", verdictText(s.Dataplane.Verdicts))
	for _, problem := range s.Problems {
		say(w, "problem: %s", problem)
	}
}

func printHosts(w io.Writer, s status.Lab) {
	columns := []any{"HOST", "ADDRESS", "ZONES"}
	if s.Agreed != nil {
		columns = append(columns, "VERSION", "REVISION")
	}
	t := newTable(w, append(columns, "PATH", "")...)
	for _, h := range s.Hosts {
		row := []any{h.Name, h.Address, strings.Join(h.Zones, ", ")}
		if s.Agreed != nil {
			revision := "-"
			if h.Applied > 0 {
				revision = strconv.FormatInt(h.Applied, 10)
			}
			row = append(row, cmp.Or(h.Version, "-"), revision)
		}
		path := h.Path
		if h.Here {
			path = "here"
		}
		t.row(append(row, path, h.Text)...)
	}
	t.flush()
}

// hostLines say which host this is, and which others have not told of themselves.
func hostLines(s status.Lab) []string {
	names := spell.Names(s.Hosts, func(h *status.Host) string { return h.Name })
	first := fmt.Sprintf("host %s of %s", s.Host, strings.Join(names, ", "))
	lines := []string{first}
	for _, h := range s.Hosts {
		switch h.Daemon {
		case "":
			return []string{first + ": what is on the others, they tell"}
		case status.DaemonOK:
		default:
			lines = append(lines, fmt.Sprintf("host %s does not answer (%s): what only it knows is missing", h.Name, h.Daemon))
		}
	}
	return lines
}

// printAgreed prints what the hosts of a lab agree on, and which of them are not well.
func printAgreed(w io.Writer, s status.Lab) {
	if s.Agreed == nil {
		return
	}
	leader := "nobody leads"
	for _, h := range s.Hosts {
		if h.Leader {
			leader = "host " + h.Name + " leads"
		}
	}
	say(w, "the hosts agree on revision %d, and %d is in force here; %s", s.Agreed.Newest, s.Agreed.Revision, leader)
	if s.Agreed.Text != "" {
		say(w, "%s", s.Agreed.Text)
	}
	for _, h := range s.Hosts {
		if h.Trouble != "" {
			say(w, "host %s: %s", h.Name, h.Trouble)
		}
	}
}

// lostText leaves out what few labs have.
func lostText(d *status.Dataplane) string {
	text := fmt.Sprintf("%d ring, %d copy, %d send", d.RingDrops, d.CopyDrops, d.SendErrors)
	if d.Crowded > 0 {
		text += fmt.Sprintf(", %d crowded", d.Crowded)
	}
	return text
}

// flowCacheText says whether the kernel forwards packets itself, and why not.
func flowCacheText(c *status.FlowCache) string {
	what := "off"
	if c.MaxSessions > 0 {
		what = "on"
		if c.Hook != "" {
			what += " (" + c.Hook + ")"
		}
		what += fmt.Sprintf(", %d of %d sessions, %s forwarded", c.Sessions, c.MaxSessions, spell.Count(c.Frames, "frame"))
	}
	if c.Problem != "" {
		what += ": " + c.Problem
	}
	return what
}

func printEndpoints(w io.Writer, s status.Lab) {
	faults := faultsOf(s)
	t := newTable(w, "ENDPOINT", extra("VPC"), "SERVICE", "STATE", "ZONE", "ZONE STATE", "ADDRESS", extra("NAME"))
	for _, ep := range s.Endpoints {
		t.row(ep.Name, ep.VPC, ep.Service, ep.State, "(all)", "", "", ep.Domain)
		for _, z := range ep.Zones {
			t.row("", "", "", "", z.Zone, withFault(z.State, faults[ep.Name+"@"+z.Zone]), addresses(z.IP, z.IPv6),
				z.Domain)
		}
	}
	t.flush()
}

// faultsOf are the faults of ENIs by their names.
func faultsOf(s status.Lab) map[string]string {
	faults := map[string]string{}
	for _, f := range s.ENIFaults {
		faults[f.Name] = f.Fault
	}
	return faults
}

// withFault is a state, and the fault that keeps packets back whatever it says.
func withFault(state, fault string) string {
	if fault == "" {
		return state
	}
	return state + " (" + fault + ")"
}

// printENIFaults has those of load balancers and gateways too.
func printENIFaults(w io.Writer, s status.Lab) {
	t := newTable(w, "ENI", "FAULT")
	for _, f := range s.ENIFaults {
		t.row(f.Name, f.Fault)
	}
	t.flush()
}

func printServices(w io.Writer, s status.Lab) {
	affinity := topology.Cloud(s.Cloud).Profile().ZoneAffinity
	header := []any{"ENDPOINT SERVICE", "OWNER", "RESOURCES", "AUTO ACCEPT"}
	if affinity {
		header = append(header, extra("ZONE AFFINITY"))
	}
	t := newTable(w, append(header, "BANDWIDTH", extra("SERVICE NAME"))...)
	for _, svc := range s.Services {
		row := []any{svc.Name, svc.Account, strings.Join(svc.Resources, ","), yesNo(svc.AutoAccept)}
		if affinity {
			row = append(row, yesNo(svc.ZoneAffinity))
		}
		t.row(append(row, bandwidthText(svc.Bandwidth), svc.ServiceName)...)
	}
	t.flush()
	for _, svc := range s.Services {
		if p := svc.PrivateName; p != nil {
			say(w, "private DNS name %s of %s is %s%s", p.Name, svc.Name, p.State, havingIt(s, svc, p.Name))
		}
	}
}

// havingIt says which endpoints have a service's private DNS name.
func havingIt(s status.Lab, svc status.EndpointService, name string) string {
	var names []string
	for _, ep := range s.Endpoints {
		if ep.Service == svc.Name && ep.PrivateName == name {
			names = append(names, ep.Name)
		}
	}
	if len(names) == 0 {
		return "; no endpoint has it"
	}
	return "; endpoint " + strings.Join(names, ", ") + " has it"
}

func printInstances(w io.Writer, s status.Lab) {
	t := newTable(w, "INSTANCE", "VPC", "ZONE", "ADDRESS", "STATE", extra("DENIED"), extra("SPOOFED"), "SERVICES")
	for _, vpc := range s.VPCs {
		for _, i := range vpc.Instances {
			var services []string
			for _, svc := range i.Services {
				text := svc.Kind + " " + svc.State
				if svc.Port != 0 {
					text = fmt.Sprintf("%s %d %s", svc.Kind, svc.Port, svc.State)
				}
				services = append(services, text)
			}
			t.row(i.Name, vpc.Name, i.Zone, addresses(i.IP, i.IPv6), stateOn(i), i.Denied, i.Spoofed, strings.Join(services, ", "))
		}
	}
	t.flush()
}

// stateOn is the state of an instance, of which only its host knows more where that is
// another one.
func stateOn(i status.Instance) string {
	if i.Host != "" {
		return i.State + " (host " + i.Host + ")"
	}
	return i.State
}

func printServers(w io.Writer, s status.Lab) {
	t := newTable(w, "SERVER GROUP", "SERVER", "ADDRESS", "WEIGHT", "SESSIONS", "HEALTH", "REASON")
	for _, group := range s.ServerGroups {
		for _, server := range group.Servers {
			t.row(group.Name, server.Instance, server.Address, server.Weight, server.Sessions, server.State,
				reasonOf(server))
		}
	}
	t.flush()
}

// reasonOf is why a server is in its state: the cloud's code and what happened.
func reasonOf(s status.Server) string {
	if s.Code != "" && s.Reason != "" {
		return s.Code + ": " + s.Reason
	}
	return s.Code + s.Reason
}

// printProxies is about the listeners of albs, node by node.
func printProxies(w io.Writer, s status.Lab) {
	t := newTable(w, "ALB LISTENER", "ADDRESS", "OPEN", "ANSWERS", "FAILURES", "SERVERS")
	for _, p := range s.Proxies {
		var servers []string
		for _, b := range p.Servers {
			servers = append(servers, fmt.Sprintf("%s %s", b.Address, answersText(b.Requests)))
		}
		t.row(p.Name, p.Address, p.Open, answersText(p.Requests), verdictText(p.Failures), strings.Join(servers, "; "))
	}
	t.flush()
}

// answersText counts answers by their status, 200 12x.
func answersText(answers map[int]uint64) string {
	var parts []string
	for _, status := range slices.Sorted(maps.Keys(answers)) {
		parts = append(parts, fmt.Sprintf("%d %dx", status, answers[status]))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

func printLinks(w io.Writer, s status.Lab) {
	t := newTable(w, "LINK", "SESSIONS", extra("OPENED"), "TO PROVIDER", "TO CONSUMER", extra("SUPERFRAMES"), "VERDICTS")
	for _, l := range s.Links {
		t.row(l.Name, l.Sessions, l.SessionsOpened,
			spell.Count(l.PacketsToProvider, "packet")+", "+spell.Count(l.BytesToProvider, "byte"),
			spell.Count(l.PacketsToConsumer, "packet")+", "+spell.Count(l.BytesToConsumer, "byte"),
			l.Superframes, verdictText(l.Verdicts))
	}
	t.flush()
}

func printWorkers(w io.Writer, s status.Lab) {
	t := newTable(w, "WORKER", "SESSIONS", "READ", "SENT", "HANDED OVER", "LOST")
	for i, worker := range s.Dataplane.Workers {
		t.row(i, worker.Sessions, worker.FramesRead, worker.FramesSent, worker.HandedOver,
			worker.RingDrops+worker.CopyDrops+worker.Crowded+worker.SendErrors+worker.HandedOverDrops)
	}
	t.flush()
}

// printShaping leaves out connections of which nothing is impaired and nothing
// was dropped.
func printShaping(w io.Writer, s status.Lab) {
	var shaped []status.Shaped
	isPlain := func(i status.Impairment) bool { return i.Text == "none" && framesText(i.Frames) == "nothing" }
	for _, l := range s.Shaping {
		if !isPlain(l.ToProvider) || !isPlain(l.ToConsumer) {
			shaped = append(shaped, l)
		}
	}
	printShaped(w, shaped, "")
}

func verdictText(verdicts map[string]uint64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(verdicts)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, verdicts[name]))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

func bandwidthText(mbit int) string {
	if mbit == 0 {
		return "not limited"
	}
	return fmt.Sprintf("%d Mbit/s", mbit)
}

func yesNo(v bool) string {
	if v {
		return "yes"
	}
	return "no"
}

// addresses is an address, and the one of IPv6 where there is one.
func addresses(ip, ipv6 netip.Addr) string {
	if !ipv6.IsValid() {
		return ip.String()
	}
	return ip.String() + " " + ipv6.String()
}

// printTimers prints a line for each object that has timers.
func printTimers(w io.Writer, s status.Lab) {
	header := []any{"OBJECT", "TIMERS"}
	if s.TimeScale > 1 {
		header = append(header, "IN FORCE")
	}
	t := newTable(w, header...)
	for rest := s.Timers; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].Of == rest[0].Of {
			n++
		}
		var written, inForce []string
		for _, timer := range rest[:n] {
			written = append(written, timer.Timer+" "+seconds(timer.Seconds))
			inForce = append(inForce, seconds(timer.InForce))
		}
		cells := []any{rest[0].Of, strings.Join(written, ", ")}
		if s.TimeScale > 1 {
			cells = append(cells, strings.Join(inForce, ", "))
		}
		t.row(cells...)
		rest = rest[n:]
	}
	t.flush()
}

// seconds writes a time as people do: 5m50s, 5.833s.
func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond).String()
}
