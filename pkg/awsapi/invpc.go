package awsapi

import (
	"context"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

// awsDomain is what most names of AWS end with.
const awsDomain = "amazonaws.com"

// globalRegion is what requests to sts.amazonaws.com are signed for (AWS STS API
// Reference, "AWS STS Regions and endpoints").
const globalRegion = "us-east-1"

// apiHosts are the names under which clients look for the API of a region: AWS General
// Reference, "Service endpoints" of Amazon EC2, Elastic Load Balancing and AWS STS, those
// of dual-stack clients among them.
func apiHosts(region string) map[string]apiHost {
	hosts := map[string]apiHost{}
	for _, service := range wire.AWS() {
		for _, suffix := range []string{awsDomain, "api.aws"} {
			hosts[service.Name+"."+region+"."+suffix] = apiHost{service: service.Name}
		}
	}
	hosts["sts.amazonaws.com"] = apiHost{service: "sts", region: globalRegion}
	return hosts
}

// ServeInVPCs lets programs on instances reach the API under its real names, and the
// metadata of their instances, until the lab ends or a call with false.
func (s *Server) ServeInVPCs(on bool) error {
	if !on {
		s.inVPCs.Store(false)
		return s.Lab.ServeInVPCs()
	}
	plan := s.Lab.Plan()
	hosts := apiHosts(plan.Region)
	api := lab.CloudServer{
		At: netip.AddrPortFrom(plan.Profile.CloudAPI, 443), Names: slices.Sorted(maps.Keys(hosts)), Secure: true,
		Serve: func(ctx context.Context, vpc string, ln net.Listener) error {
			d := vpcDoor{s, vpc, hosts}
			return s.Server.Serve(ctx, ln, http.HandlerFunc(
				func(w http.ResponseWriter, r *http.Request) { s.handle(w, r, d) }))
		},
	}
	metadata := lab.CloudServer{
		At: netip.AddrPortFrom(plan.Profile.Metadata, 80),
		Serve: func(ctx context.Context, vpc string, ln net.Listener) error {
			return s.Server.Serve(ctx, ln, http.HandlerFunc(
				func(w http.ResponseWriter, r *http.Request) { s.metadata.answer(w, r, vpc) }))
		},
	}
	if err := s.Lab.ServeInVPCs(api, metadata); err != nil {
		return err
	}
	s.inVPCs.Store(true)
	return nil
}

// vpcDoor is the API in a VPC.
type vpcDoor struct {
	*Server
	vpc   string
	hosts map[string]apiHost
}

func (d vpcDoor) check(r *http.Request) (apiHost, *wire.Error) {
	if host, ok := d.hosts[strings.TrimSuffix(cloudapi.HostOf(r), ".")]; ok {
		return host, nil
	}
	return apiHost{}, cloudapi.WrongHost(r, "the API of AWS has other names")
}

func (d vpcDoor) caller(r *http.Request) string {
	if in := callingInstance(d.CurrentPlan(), d.vpc, r); in != nil {
		return in.Ref()
	}
	return ""
}

// callingInstance is the instance in a VPC that a request comes from, by its address.
// Nil where it comes from none.
func callingInstance(plan *topology.Plan, vpc string, r *http.Request) *topology.Instance {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return nil
	}
	v, err := plan.VPC(vpc)
	if err != nil {
		return nil
	}
	for i := range v.Instances {
		if v.Instances[i].IP == from.Addr().Unmap() {
			return &v.Instances[i]
		}
	}
	return nil
}
