package main

import (
	"io"

	"github.com/plinksim/plinksim/pkg/lab"
)

func printGateways(w io.Writer, s lab.Status) {
	t := newTable(w, "NAT GATEWAY", "VPC", "NAT IP", "FULLNAT ENTRY", "PROTOCOL", "LEADS TO", "SEEN AS", "NAME")
	for _, gw := range s.NATGateways {
		t.row(gw.Name, gw.VPC, gw.IP, "", "", "", "", "")
		for _, e := range gw.Entries {
			t.row("", "", e.NAT, e.Name, e.Protocol, e.Access, e.SeenAs, e.Domain)
		}
	}
	t.flush()
}
