// Awsmodel writes the descriptions in pkg/wire/models: which operations there are,
// and of those that plinksim does, the members, types and places of requests and
// answers. It reads the models of botocore, whose version is written into the
// result, and takes names, types and limits from them, no documentation:
//
//	go -C tools run ./awsmodel --data BOTOCORE/data --version 1.43.11 --to ../pkg/wire/models
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// service is an API with the operations that are described whole.
type service struct {
	dir, version string // in botocore's data
	file         string
	operations   string
}

var services = []service{
	{"ec2", "2016-11-15", "ec2", `
		AcceptVpcEndpointConnections AssociateIamInstanceProfile AssociateVpcCidrBlock AuthorizeSecurityGroupEgress
		AuthorizeSecurityGroupIngress CreateSecurityGroup CreateSubnet CreateTags CreateVpc CreateVpcEndpoint
		CreateVpcEndpointConnectionNotification CreateVpcEndpointServiceConfiguration DeleteSecurityGroup
		DeleteSubnet DeleteTags DeleteVpc DeleteVpcEndpointConnectionNotifications
		DeleteVpcEndpointServiceConfigurations DeleteVpcEndpoints DescribeAccountAttributes DescribeAddresses
		DescribeAvailabilityZones DescribeDhcpOptions DescribeIamInstanceProfileAssociations DescribeImages
		DescribeInstanceAttribute
		DescribeInstanceCreditSpecifications DescribeInstanceStatus DescribeInstanceTypes DescribeInstances
		DescribeInternetGateways DescribeKeyPairs DescribeManagedPrefixLists DescribeNatGateways
		DescribeNetworkAcls DescribeNetworkInterfaces DescribePrefixLists DescribeRegions DescribeRouteTables
		DescribeSecurityGroupRules DescribeSecurityGroups DescribeSubnets DescribeTags DescribeVolumes
		DescribeVpcAttribute DescribeVpcClassicLink DescribeVpcClassicLinkDnsSupport
		DescribeVpcEndpointConnectionNotifications DescribeVpcEndpointConnections
		DescribeVpcEndpointServiceConfigurations DescribeVpcEndpointServicePermissions DescribeVpcEndpointServices
		DescribeVpcEndpoints DescribeVpcPeeringConnections DescribeVpcs DisassociateIamInstanceProfile
		DisassociateVpcCidrBlock ModifyInstanceAttribute ModifyInstanceMetadataOptions ModifySecurityGroupRules ModifySubnetAttribute ModifyVpcAttribute
		ModifyVpcEndpoint ModifyVpcEndpointConnectionNotification ModifyVpcEndpointServiceConfiguration
		ModifyVpcEndpointServicePayerResponsibility ModifyVpcEndpointServicePermissions
		RejectVpcEndpointConnections ReplaceIamInstanceProfileAssociation RevokeSecurityGroupEgress RevokeSecurityGroupIngress RunInstances
		StartInstances StartVpcEndpointServicePrivateDnsVerification StopInstances TerminateInstances
		UpdateSecurityGroupRuleDescriptionsEgress UpdateSecurityGroupRuleDescriptionsIngress`},
	{"elbv2", "2015-12-01", "elbv2", `
		AddListenerCertificates AddTags CreateListener CreateLoadBalancer CreateRule CreateTargetGroup
		DeleteListener DeleteLoadBalancer DeleteRule DeleteTargetGroup DeregisterTargets DescribeAccountLimits
		DescribeCapacityReservation DescribeListenerAttributes DescribeListenerCertificates DescribeListeners
		DescribeLoadBalancerAttributes DescribeLoadBalancers DescribeRules DescribeSSLPolicies DescribeTags
		DescribeTargetGroupAttributes DescribeTargetGroups DescribeTargetHealth ModifyListener
		ModifyListenerAttributes ModifyLoadBalancerAttributes ModifyRule ModifyTargetGroup
		ModifyTargetGroupAttributes RegisterTargets RemoveListenerCertificates RemoveTags SetIpAddressType
		SetRulePriorities SetSecurityGroups SetSubnets`},
	{"sts", "2011-06-15", "sts", `AssumeRole GetCallerIdentity`},
}

// mostValues is how many values an enumeration may have that requests are held to:
// longer ones grow with every release.
const mostValues = 40

type model struct {
	Metadata struct {
		Protocol, XMLNamespace, APIVersion, SigningName, EndpointPrefix string
	}
	Operations map[string]operation
	Shapes     map[string]shape
}

type operation struct {
	Input, Output reference
}

type reference struct {
	Shape         string
	LocationName  string
	QueryName     string
	ResultWrapper string
}

type shape struct {
	Type     string
	Members  map[string]reference
	Member   reference
	Required []string
	Enum     []string
	Key      reference
	Value    reference
}

func main() {
	data := flag.String("data", "", "the directory data of botocore")
	version := flag.String("version", "", "the version of botocore")
	to := flag.String("to", "../pkg/wire/models", "where the descriptions go")
	flag.Parse()
	if *data == "" || *version == "" {
		log.Fatal("--data and --version are needed")
	}
	for _, s := range services {
		if err := s.write(*data, *version, *to); err != nil {
			log.Fatalf("%s: %v", s.file, err)
		}
	}
}

func (s service) write(data, version, to string) error {
	m, err := s.read(data)
	if err != nil {
		return err
	}
	w := writer{model: m}
	signing := m.Metadata.SigningName
	if signing == "" {
		signing = m.Metadata.EndpointPrefix
	}
	fmt.Fprintf(&w.out, "# Made by tools/awsmodel of botocore %s, %s/%s (Apache-2.0, see NOTICE).\n", version, s.dir,
		s.version)
	fmt.Fprintf(&w.out, "service %s %s %s %s\n", signing, m.Metadata.APIVersion, m.Metadata.Protocol,
		m.Metadata.XMLNamespace)
	wanted := strings.Fields(s.operations)
	for _, name := range slices.Sorted(slices.Values(wanted)) {
		op, ok := m.Operations[name]
		if !ok {
			return fmt.Errorf("there is no operation %s", name)
		}
		fmt.Fprintf(&w.out, "operation %s %s %s %s\n", name, dash(op.Input.Shape), dash(op.Output.Shape),
			dash(op.Output.ResultWrapper))
		w.visit(op.Input.Shape, true)
		w.visit(op.Output.Shape, false)
	}
	for _, name := range slices.Sorted(maps.Keys(m.Operations)) {
		if !slices.Contains(wanted, name) {
			fmt.Fprintf(&w.out, "other %s\n", name)
		}
	}
	w.shapes()
	return os.WriteFile(filepath.Join(to, s.file+".txt"), w.out.Bytes(), 0o644)
}

func (s service) read(data string) (m model, err error) {
	name := filepath.Join(data, s.dir, s.version, "service-2.json")
	text, err := os.ReadFile(name)
	if err != nil {
		packed, err := os.Open(name + ".gz")
		if err != nil {
			return m, err
		}
		defer packed.Close()
		unpacked, err := gzip.NewReader(packed)
		if err != nil {
			return m, err
		}
		if text, err = io.ReadAll(unpacked); err != nil {
			return m, err
		}
	}
	return m, json.Unmarshal(text, &m)
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// writer collects the shapes that operations need; true: requests do.
type writer struct {
	model
	out  bytes.Buffer
	seen map[string]bool
}

func (w *writer) visit(name string, asked bool) {
	if name == "" || w.seen[name] || !asked && has(w.seen, name) {
		return
	}
	if w.seen == nil {
		w.seen = map[string]bool{}
	}
	w.seen[name] = asked
	s := w.Shapes[name]
	for _, member := range s.Members {
		w.visit(member.Shape, asked)
	}
	w.visit(s.Member.Shape, asked)
}

func has(m map[string]bool, name string) bool {
	_, ok := m[name]
	return ok
}

func (w *writer) shapes() {
	for _, name := range slices.Sorted(maps.Keys(w.seen)) {
		s := w.Shapes[name]
		switch s.Type {
		case "structure":
			fmt.Fprintf(&w.out, "structure %s\n", name)
			for _, member := range slices.Sorted(maps.Keys(s.Members)) {
				w.member(s, member)
			}
		case "list":
			fmt.Fprintf(&w.out, "list %s %s %s\n", name, w.typeOf(s.Member.Shape), dash(s.Member.LocationName))
		case "string":
			if w.isEnum(name) {
				fmt.Fprintf(&w.out, "enum %s %s\n", name, strings.Join(s.Enum, " "))
			}
		}
	}
}

// member is its name, ! where a request needs it, its type, and its names in
// requests and answers where those differ.
func (w *writer) member(s shape, name string) {
	r := s.Members[name]
	mark := ""
	if slices.Contains(s.Required, name) {
		mark = "!"
	}
	fmt.Fprintf(&w.out, "\t%s%s %s", name, mark, w.typeOf(r.Shape))
	if r.LocationName != "" || r.QueryName != "" {
		fmt.Fprintf(&w.out, " %s", dash(r.LocationName))
	}
	if r.QueryName != "" {
		fmt.Fprintf(&w.out, " %s", r.QueryName)
	}
	fmt.Fprintln(&w.out)
}

func (w *writer) isEnum(name string) bool {
	s := w.Shapes[name]
	return w.seen[name] && len(s.Enum) > 0 && len(s.Enum) <= mostValues
}

func (w *writer) typeOf(name string) string {
	switch s := w.Shapes[name]; {
	case s.Type == "structure", s.Type == "list", w.isEnum(name):
		return name
	default:
		return s.Type
	}
}
