package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

func newNAT() *cobra.Command {
	return group("nat", "Manage NAT gateways, their NAT IPs and FullNAT entries",
		`Manage reverse access while a lab runs: a NAT gateway of type FullNat leads from
its NAT IPs in the provider's VPC to servers in the VPCs of reverse endpoints, an
entry for each. Changes are kept beside the topology file until the lab is taken
down; "plinksim check" starts from the file again.`,
		group("nat gateway", "NAT gateways", "", newGatewayList(), newGatewayShow()),
		group("nat ip", "NAT IPs: addresses that the provider's instances connect to", "", newIPList()),
		group("nat entry", "FullNAT entries: where a NAT IP and a port lead", "", newEntryList()))
}

var natOperations = []operation{
	{
		verb: topology.VerbGatewayCreate, path: "nat gateway create", args: "GATEWAY", keys: "nat_gateway",
		short: "Create a gateway again that the topology file has",
	},
	{
		verb: topology.VerbGatewayDelete, path: "nat gateway delete", args: "GATEWAY", keys: "nat_gateway",
		short: "Delete a gateway that has no entries and that no service offers",
	},
	{
		verb: topology.VerbNATIPCreate, path: "nat ip create", args: "GATEWAY [ADDRESS]", keys: "nat_gateway nat_ip",
		short: "Give a gateway a NAT IP; one that is free where none is named",
	},
	{
		verb: topology.VerbNATIPDelete, path: "nat ip delete", args: "GATEWAY ADDRESS", keys: "nat_gateway nat_ip",
		short: "Delete a NAT IP that no entry uses",
	},
	{
		verb: topology.VerbEntryCreate, path: "nat entry create", args: "GATEWAY ENTRY", keys: "nat_gateway entry",
		short: "Create an entry",
		example: "  sudo plinksim nat entry create ngw1 mysql1 --nat 172.16.0.5:3306 --access 192.168.0.86:3306" +
			" --endpoint ep1 --domain mysql1.com",
		flags: entryFlags, show: showEntry,
	},
	{
		verb: topology.VerbEntryModify, path: "nat entry modify", alias: "set", args: "GATEWAY ENTRY", keys: "nat_gateway entry",
		short:   "Change an entry; its open sessions go on as they are",
		example: "  sudo plinksim nat entry modify ngw1 mysql1 --access 192.168.0.87:3306",
		flags:   entryFlags, some: true, show: showEntry,
	},
	{
		verb: topology.VerbEntryDelete, path: "nat entry delete", args: "GATEWAY ENTRY", keys: "nat_gateway entry",
		short: "Delete an entry; its sessions end",
	},
}

var entryFlags = []flag{
	{"nat", "nat_ip nat_port", "the NAT IP that the provider's instances connect to, with or without :PORT"},
	{"access", "access_ip access_port", "the user's server, ADDRESS:PORT"},
	{"endpoint", "endpoint zone", "the reverse endpoint: ep1, or ep1@ZONE where it is in several zones"},
	{"protocol", "protocol", "tcp or udp; tcp where it is missing"},
	{"domain", "domain", "a name for the NAT IP in /etc/hosts of the provider's instances"},
}

// showEntry prints an entry as it is now, with the port that was chosen.
func showEntry(cmd *cobra.Command, now status.Lab, o topology.Operation) {
	if g := gatewayOf(now, o.NATGateway); g != nil {
		entries := slices.DeleteFunc(g.Entries, func(e status.FullNATEntry) bool { return e.Name != o.Entry })
		printEntries(cmd.OutOrStdout(), g.Name, entries)
	}
}

func gatewayOf(now status.Lab, name string) *status.NATGateway {
	i := slices.IndexFunc(now.NATGateways, func(g status.NATGateway) bool { return named(name, g.Name, g.ID) })
	if i < 0 {
		return nil
	}
	return &now.NATGateways[i]
}

// natShow is a command that prints a part of what a lab has: of all gateways,
// or of the one that is named.
func natShow(use, short string, args cobra.PositionalArgs, want string, output func([]status.NATGateway) any,
	print func(io.Writer, status.NATGateway)) *cobra.Command {
	var on target
	cmd := &cobra.Command{
		Use: use, Short: short, Args: takes(args, want),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return completeKey(cmd, on.lab, topology.Operation{}, "nat_gateway"), cobra.ShellCompDirectiveNoFileComp
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
				return printJSON(cmd.OutOrStdout(), output(gateways))
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
				return printJSON(cmd.OutOrStdout(), status.NATGateways{Head: status.NewHead(), NATGateways: now.NATGateways})
			}
			t := newTable(cmd.OutOrStdout(), "NAT GATEWAY", extra("ID"), extra("TYPE"), "VPC", extra("ZONE"), "ADDRESS", "NAT CIDR",
				"NAT IPS", "ENTRIES", "STATUS")
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
		func(g []status.NATGateway) any {
			return status.OneNATGateway{Head: status.NewHead(), NATGateway: g[0]}
		},
		func(w io.Writer, g status.NATGateway) {
			t := newTable(w)
			for _, row := range [][2]any{
				{"NAT gateway", g.Name}, {"ID", g.ID}, {"Status", g.State}, {"Type", g.Type}, {"Owner", g.Account},
				{"VPC", g.VPC}, {"Subnet", g.Subnet + " in " + g.Zone}, {"ENI", g.ENI}, {"FullNAT table",
					g.TableID}, {"NAT CIDR", g.CIDR},
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
		func(gateways []status.NATGateway) any {
			ips := []status.NATIPOf{}
			for _, g := range gateways {
				for _, ip := range g.NATIPs {
					ips = append(ips, status.NATIPOf{NATGateway: g.Name, NATIP: ip})
				}
			}
			return status.NATIPs{Head: status.NewHead(), NATIPs: ips}
		},
		func(w io.Writer, g status.NATGateway) { printIPs(w, g.Name, g.NATIPs) })
}

func newEntryList() *cobra.Command {
	return natShow("list [GATEWAY]", "List the FullNAT entries", cobra.MaximumNArgs(1), "at most one gateway",
		func(gateways []status.NATGateway) any {
			entries := []status.FullNATEntryOf{}
			for _, g := range gateways {
				for _, e := range g.Entries {
					entries = append(entries, status.FullNATEntryOf{NATGateway: g.Name, FullNATEntry: e})
				}
			}
			return status.FullNAT{Head: status.NewHead(), Entries: entries}
		},
		func(w io.Writer, g status.NATGateway) { printEntries(w, g.Name, g.Entries) })
}

func printIPs(w io.Writer, gateway string, ips []status.NATIP) {
	t := newTable(w, "NAT GATEWAY", "NAT IP", extra("ID"), "DEFAULT", "ENTRIES", "STATUS")
	for _, ip := range ips {
		t.row(gateway, ip.IP, ip.ID, yesNo(ip.Default), ip.Entries, ip.State)
	}
	t.flush()
}

func printEntries(w io.Writer, gateway string, entries []status.FullNATEntry) {
	t := newTable(w, "NAT GATEWAY", "ENTRY", "NAT IP", "PROTOCOL", "LEADS TO", extra("ENDPOINT"), "SEEN AS", extra("DOMAIN"),
		"STATUS")
	for _, e := range entries {
		t.row(gateway, e.Name, e.NAT, e.Protocol, e.Access, e.ENI, e.SeenAs, e.Domain, e.State)
	}
	t.flush()
}

// printGateways is the part of "status" about reverse access.
func printGateways(w io.Writer, s status.Lab) {
	t := newTable(w, "NAT GATEWAY", "VPC", "ENTRY", "NAT IP", extra("PROTOCOL"), "LEADS TO", "SEEN AS", extra("DOMAIN"), "STATUS")
	for _, g := range s.NATGateways {
		t.row(g.Name, g.VPC, "", g.IP, "", "", "", "", g.State)
		for _, e := range g.Entries {
			t.row("", "", e.Name, e.NAT, e.Protocol, e.Access, e.SeenAs, e.Domain, e.State)
		}
	}
	t.flush()
}
