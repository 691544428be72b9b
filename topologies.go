// Package plinksim carries the topologies that the documentation follows, so
// that the program has them wherever it runs.
package plinksim

import "embed"

//go:embed testdata/topologies/*.yaml
var files embed.FS

// Topology is a topology file that the program carries.
type Topology struct {
	Name  string // of the file, without .yaml
	Title string // what it shows, a few words
	// Programs are those of the machine that its instances run, by their names in PATH.
	Programs []string
	text     string
}

// Text is the file as it is in testdata/topologies.
func (t Topology) Text() string { return t.text }

// Topologies are the topologies that the program carries, the one to start
// with first: every file of testdata/topologies that is valid and needs no other file
// beside it.
func Topologies() []Topology {
	out := []Topology{
		{Name: "starter", Title: "a small service and its consumer, explained line by line, to begin with"},
		{Name: "haproxy", Title: "a service behind PROXY protocol v2, with haproxy", Programs: []string{"haproxy"}},
		{Name: "alibaba-clb", Title: "Alibaba Cloud: a CLB shared between VPCs of one account"},
		{Name: "alibaba-clb-same-account", Title: "the same in the Chinese quick start, with its own addresses"},
		{Name: "alibaba-clb-cross-account", Title: "Alibaba Cloud: a CLB shared with another account, with a whitelist"},
		{Name: "alibaba-clb-auto-accept", Title: "Alibaba Cloud: connections are accepted without a decision"},
		{Name: "alibaba-clb-overlap", Title: "Alibaba Cloud: two VPCs with the same addresses"},
		{Name: "alibaba-alb", Title: "Alibaba Cloud: an ALB shared across VPCs, in two zones"},
		{Name: "alibaba-alb-zonal", Title: "the same with nodes that keep to the servers of their zones"},
		{Name: "alibaba-reverse", Title: "Alibaba Cloud: reverse access to a customer's databases"},
		{Name: "alibaba-reverse-overlap", Title: "the same where the customer has the provider's addresses"},
		{Name: "alibaba-reverse-two-customers", Title: "the same with two customers that have the same addresses"},
		{Name: "aws-nlb", Title: "AWS: a service behind an NLB, acceptance required"},
		{Name: "aws-nlb-no-acceptance", Title: "AWS: the same without acceptance"},
		{Name: "aws-nlb-alb", Title: "AWS: HTTP by an NLB whose target is an ALB"},
		{Name: "aws-private-dns", Title: "AWS: a private DNS name in two zones"},
		{Name: "aws-dualstack", Title: "AWS: an endpoint with IPv4 and IPv6"},
		{Name: "zone-affinity", Title: "answers of DNS that keep to the asker's zone"},
	}
	for i, t := range out {
		text, err := files.ReadFile("testdata/topologies/" + t.Name + ".yaml")
		if err != nil {
			panic("the program carries its topologies: " + err.Error())
		}
		out[i].text = string(text)
	}
	return out
}
