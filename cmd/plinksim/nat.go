package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

func newNAT() *cobra.Command {
	cmd := newGroup("nat", "Manage NAT gateways, their NAT IPs and FullNAT entries",
		`Manage reverse access while a lab runs: a NAT gateway of type FullNat leads from
its NAT IPs in the provider's VPC to servers in the VPCs of reverse endpoints, an
entry for each. What is changed lasts until the lab is taken down, and lies over
what its topology file says; "plinksim check" starts from the file again.`)
	gateway := newGroup("gateway", "NAT gateways", "")
	gateway.AddCommand(newGatewayList(), newGatewayShow(),
		newNATOperation("create GATEWAY", "Create a gateway again that the topology file has", "gateway-create", 1),
		newNATOperation("delete GATEWAY", "Delete a gateway that has no entries and that no service offers", "gateway-delete", 1))
	ip := newGroup("ip", "NAT IPs: addresses that the provider's instances connect to", "")
	ip.AddCommand(newIPList(),
		newNATOperation("create GATEWAY [ADDRESS]", "Give a gateway a NAT IP; one that is free where none is named", "nat-ip-create", 2),
		newNATOperation("delete GATEWAY ADDRESS", "Delete a NAT IP that no entry uses", "nat-ip-delete", 2))
	entry := newGroup("entry", "FullNAT entries: where a NAT IP and a port lead", "")
	entry.AddCommand(newEntryList(), newEntryCreate(), newEntryModify(),
		newNATOperation("delete GATEWAY ENTRY", "Delete an entry; its sessions end", "entry-delete", 2))
	cmd.AddCommand(gateway, ip, entry)
	return cmd
}

// newGroup is a command that only has others.
func newGroup(use, short, long string) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: long, Args: unknownCommand,
		RunE: func(cmd *cobra.Command, args []string) error { return cmd.Help() },
	}
}

// newNATOperation is a command whose arguments are those of an operation: the
// gateway, and then an address or an entry.
func newNATOperation(use, short string, verb topology.Verb, most int) *cobra.Command {
	var on target
	o := topology.Operation{Verb: verb}
	least := len(strings.Fields(strings.Split(use, "[")[0])) - 1
	cmd := &cobra.Command{
		Use: use, Short: short,
		Args: takes(cobra.RangeArgs(least, most), use[strings.Index(use, " ")+1:]),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return natNames(cmd.Context(), on, verb, args), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.NATGateway = args[0]
			if len(args) > 1 && strings.HasPrefix(string(verb), "nat-ip") {
				addr, err := netip.ParseAddr(args[1])
				if err != nil {
					return &usageError{fmt.Errorf("%q is not an address", args[1])}
				}
				o.NATIP = addr
			} else if len(args) > 1 {
				o.Entry = args[1]
			}
			return on.natOperation(cmd, o)
		},
	}
	cmd.Flags().StringVar(&o.As, "as", "", "act as this account; the gateway's owner by default")
	on.addFlags(cmd)
	return cmd
}

// natOperation carries an operation out and shows what it left.
func (t *target) natOperation(cmd *cobra.Command, o topology.Operation) error {
	client, err := t.client(cmd.Context(), "")
	if err != nil {
		return err
	}
	event, err := client.Do(cmd.Context(), api.Call{Operation: o, WaitSeconds: 30})
	if err != nil {
		return err
	}
	if t.output == "json" {
		return printJSON(cmd.OutOrStdout(), event)
	}
	now, err := client.Status(cmd.Context())
	if err != nil {
		return err
	}
	gateway := gatewayOf(now, o.NATGateway)
	switch kind, name, _ := strings.Cut(string(o.Verb), "-"); {
	case gateway == nil || strings.HasSuffix(name, "delete"):
		fmt.Fprintf(cmd.OutOrStdout(), "%s is gone\n", event.Name)
	case kind == "entry":
		entries := slices.DeleteFunc(gateway.Entries, func(e status.FullNATEntry) bool { return e.Name != o.Entry })
		printEntries(cmd.OutOrStdout(), gateway.Name, entries)
	default:
		fmt.Fprintf(cmd.OutOrStdout(), "%s is Available\n", event.Name)
	}
	return nil
}

func gatewayOf(now status.Lab, name string) *status.NATGateway {
	i := slices.IndexFunc(now.NATGateways, func(g status.NATGateway) bool { return g.Name == name })
	if i < 0 {
		return nil
	}
	return &now.NATGateways[i]
}

// natShow is a command that prints a part of what a lab has: of all gateways,
// or of the one that is named.
func natShow(use, short string, args cobra.PositionalArgs, want string, pick func(status.NATGateway) any, print func(io.Writer, status.NATGateway)) *cobra.Command {
	var on target
	cmd := &cobra.Command{
		Use: use, Short: short, Args: takes(args, want),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return natNames(cmd.Context(), on, "", args), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := on.client(cmd.Context(), "")
			if err != nil {
				return err
			}
			now, err := client.Status(cmd.Context())
			if err != nil {
				return err
			}
			gateways := now.NATGateways
			if name := first(args); name != "" {
				g := gatewayOf(now, name)
				if g == nil {
					return &topology.NotFoundError{Kind: "NAT gateway", Name: name, Known: gatewayNames(now)}
				}
				gateways = []status.NATGateway{*g}
			}
			if on.output == "json" {
				return printNATJSON(cmd.OutOrStdout(), gateways, pick)
			}
			if len(gateways) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "the lab has no NAT gateways")
			}
			for i, g := range gateways {
				if i > 0 {
					fmt.Fprintln(cmd.OutOrStdout())
				}
				print(cmd.OutOrStdout(), g)
			}
			return nil
		},
	}
	on.addFlags(cmd)
	return cmd
}

func printNATJSON(w io.Writer, gateways []status.NATGateway, pick func(status.NATGateway) any) error {
	out := map[string]any{}
	for _, g := range gateways {
		out[g.Name] = pick(g)
	}
	return printJSON(w, map[string]any{"schema": status.Schema, "nat_gateways": out})
}

func gatewayNames(now status.Lab) (names []string) {
	for _, g := range now.NATGateways {
		names = append(names, g.Name)
	}
	return names
}

func newGatewayList() *cobra.Command {
	var on target
	cmd := &cobra.Command{
		Use: "list", Short: "List the NAT gateways", Args: takes(cobra.NoArgs, "no arguments"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := on.client(cmd.Context(), "")
			if err != nil {
				return err
			}
			now, err := client.Status(cmd.Context())
			if err != nil {
				return err
			}
			if on.output == "json" {
				return printJSON(cmd.OutOrStdout(), map[string]any{"schema": status.Schema, "nat_gateways": now.NATGateways})
			}
			t := newTable(cmd.OutOrStdout(), "NAT GATEWAY", "ID", "TYPE", "VPC", "ZONE", "ADDRESS", "NAT CIDR", "NAT IPS", "ENTRIES", "STATUS")
			for _, g := range now.NATGateways {
				t.row(g.Name, g.ID, g.Type, g.VPC, g.Zone, g.IP, g.CIDR, len(g.NATIPs), len(g.Entries), g.State)
			}
			t.flush()
			if len(now.NATGateways) == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), "the lab has no NAT gateways")
			}
			return nil
		},
	}
	on.addFlags(cmd)
	return cmd
}

func newGatewayShow() *cobra.Command {
	return natShow("show GATEWAY", "Show a NAT gateway with its NAT IPs and entries", cobra.ExactArgs(1), "one gateway",
		func(g status.NATGateway) any { return g },
		func(w io.Writer, g status.NATGateway) {
			t := newTable(w)
			for _, row := range [][2]any{
				{"NAT gateway", g.Name}, {"ID", g.ID}, {"Status", g.State}, {"Type", g.Type}, {"Owner", g.Account},
				{"VPC", g.VPC}, {"Subnet", g.Subnet + " in " + g.Zone}, {"ENI", g.ENI}, {"FullNAT table", g.TableID}, {"NAT CIDR", g.CIDR},
			} {
				t.row(row[0], row[1])
			}
			t.flush()
			section(w, func(w io.Writer) { printIPs(w, g.Name, g.NATIPs) })
			section(w, func(w io.Writer) { printEntries(w, g.Name, g.Entries) })
		})
}

func newIPList() *cobra.Command {
	return natShow("list [GATEWAY]", "List the NAT IPs", cobra.MaximumNArgs(1), "at most one gateway",
		func(g status.NATGateway) any { return g.NATIPs },
		func(w io.Writer, g status.NATGateway) { printIPs(w, g.Name, g.NATIPs) })
}

func newEntryList() *cobra.Command {
	return natShow("list [GATEWAY]", "List the FullNAT entries", cobra.MaximumNArgs(1), "at most one gateway",
		func(g status.NATGateway) any { return g.Entries },
		func(w io.Writer, g status.NATGateway) { printEntries(w, g.Name, g.Entries) })
}

func printIPs(w io.Writer, gateway string, ips []status.NATIP) {
	t := newTable(w, "NAT GATEWAY", "NAT IP", "ID", "DEFAULT", "ENTRIES", "STATUS")
	for _, ip := range ips {
		t.row(gateway, ip.IP, ip.ID, yesNo(ip.Default), ip.Entries, ip.State)
	}
	t.flush()
}

func printEntries(w io.Writer, gateway string, entries []status.FullNATEntry) {
	t := newTable(w, "NAT GATEWAY", "ENTRY", "NAT IP", "PROTOCOL", "LEADS TO", "ENDPOINT", "SEEN AS", "DOMAIN", "STATUS")
	for _, e := range entries {
		t.row(gateway, e.Name, e.NAT, e.Protocol, e.Access, e.ENI, e.SeenAs, e.Domain, e.State)
	}
	t.flush()
}

// printGateways is the part of "status" about reverse access.
func printGateways(w io.Writer, s status.Lab) {
	t := newTable(w, "NAT GATEWAY", "VPC", "ENTRY", "NAT IP", "PROTOCOL", "LEADS TO", "SEEN AS", "DOMAIN", "STATUS")
	for _, g := range s.NATGateways {
		t.row(g.Name, g.VPC, "", g.IP, "", "", "", "", g.State)
		for _, e := range g.Entries {
			t.row("", "", e.Name, e.NAT, e.Protocol, e.Access, e.SeenAs, e.Domain, e.State)
		}
	}
	t.flush()
}

// entryFlags are the values of an entry on a command line.
type entryFlags struct {
	nat, access, endpoint, protocol, domain string
}

func (f *entryFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.nat, "nat", "", "the NAT IP that the provider's instances connect to, with or without :PORT")
	cmd.Flags().StringVar(&f.access, "access", "", "the user's server, ADDRESS:PORT")
	cmd.Flags().StringVar(&f.endpoint, "endpoint", "", "the reverse endpoint: ep1, or ep1@ZONE where it is in several zones")
	cmd.Flags().StringVar(&f.protocol, "protocol", "", "tcp or udp; tcp where it is missing")
	cmd.Flags().StringVar(&f.domain, "domain", "", "a name for the NAT IP in /etc/hosts of the provider's instances")
	cmd.RegisterFlagCompletionFunc("protocol", cobra.FixedCompletions([]string{"tcp", "udp"}, cobra.ShellCompDirectiveNoFileComp))
}

// into gives an operation the values that were named.
func (f *entryFlags) into(cmd *cobra.Command, o *topology.Operation) error {
	o.Endpoint, o.Zone, _ = strings.Cut(f.endpoint, "@")
	o.Protocol = f.protocol
	if cmd.Flags().Changed("domain") {
		o.Domain = &f.domain
	}
	if f.nat != "" {
		addr, err := netip.ParseAddr(f.nat)
		if err != nil {
			at, err := netip.ParseAddrPort(f.nat)
			if err != nil {
				return &usageError{fmt.Errorf("--nat is %q, not an address with or without a port", f.nat)}
			}
			addr, o.NATPort = at.Addr(), at.Port()
		}
		o.NATIP = addr
	}
	if f.access != "" {
		to, err := netip.ParseAddrPort(f.access)
		if err != nil {
			return &usageError{fmt.Errorf("--access is %q, not ADDRESS:PORT", f.access)}
		}
		o.AccessIP, o.AccessPort = to.Addr(), to.Port()
	}
	return nil
}

func newEntryCreate() *cobra.Command {
	cmd := newEntryCommand("create GATEWAY ENTRY", "Create an entry", "entry-create")
	cmd.Example = "  sudo plinksim nat entry create ngw1 mysql1 --nat 172.16.0.5:3306 --access 192.168.0.86:3306 --endpoint ep1 --domain mysql1.com"
	return needFlags(cmd, func(given []string) bool { return len(given) == 3 }, "nat", "access", "endpoint")
}

func newEntryModify() *cobra.Command {
	cmd := newEntryCommand("modify GATEWAY ENTRY", "Change an entry; its open sessions go on as they are", "entry-modify")
	cmd.Example = "  sudo plinksim nat entry modify ngw1 mysql1 --access 192.168.0.87:3306"
	return needFlags(cmd, func(given []string) bool { return len(given) > 0 }, "nat", "access", "endpoint", "protocol", "domain")
}

// needFlags refuses a command line without the flags that it needs.
func needFlags(cmd *cobra.Command, enough func(given []string) bool, names ...string) *cobra.Command {
	read := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		given := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !cmd.Flags().Changed(name) })
		if !enough(given) {
			return &usageError{fmt.Errorf("%q needs --%s", cmd.CommandPath(), strings.Join(names, ", --"))}
		}
		return read(cmd, args)
	}
	return cmd
}

func newEntryCommand(use, short string, verb topology.Verb) *cobra.Command {
	var on target
	var flags entryFlags
	o := topology.Operation{Verb: verb}
	cmd := &cobra.Command{
		Use: use, Short: short, Args: takes(cobra.ExactArgs(2), "a gateway and the name of an entry"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return natNames(cmd.Context(), on, verb, args), cobra.ShellCompDirectiveNoFileComp
		},
		PreRunE: func(cmd *cobra.Command, args []string) error { return flags.into(cmd, &o) },
		RunE: func(cmd *cobra.Command, args []string) error {
			o.NATGateway, o.Entry = args[0], args[1]
			return on.natOperation(cmd, o)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&o.As, "as", "", "act as this account; the gateway's owner by default")
	on.addFlags(cmd)
	return cmd
}

// natNames completes a gateway, and then what the verb is about.
func natNames(ctx context.Context, on target, verb topology.Verb, args []string) (names []string) {
	dir, err := findLab(ctx, on.lab)
	if err != nil || len(args) > 1 {
		return nil
	}
	now, err := api.NewClient(dir).Status(ctx)
	if err != nil {
		return nil
	}
	if len(args) == 0 {
		return gatewayNames(now)
	}
	g := gatewayOf(now, args[0])
	switch {
	case g == nil:
	case verb == "nat-ip-delete":
		for _, ip := range g.NATIPs {
			names = append(names, ip.IP.String())
		}
	case strings.HasPrefix(string(verb), "entry-"):
		for _, e := range g.Entries {
			names = append(names, e.Name)
		}
	}
	return names
}
