package alibaba

import (
	"bufio"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
)

// asker is a program on an instance that asks for a page through one connection, once for
// every line that it reads.
const asker = `
import http.client, sys
c = http.client.HTTPConnection(sys.argv[1], timeout=3)
c.connect()
c.auto_open = 0
for line in sys.stdin:
    try:
        c.request("GET", "/")
        print(c.getresponse().read().decode().strip(), flush=True)
    except (OSError, http.client.HTTPException):
        print("lost", flush=True)
`

// keeps opens a connection from the client, and gives what asks for the page through it.
func (s *session) keeps() (ask func() string) {
	cmd := exec.Command(s.program, "exec", s.client, "--", "python3", "-c", asker, s.name)
	cmd.Env = s.env
	in, err := cmd.StdinPipe()
	require.NoError(s.t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(s.t, err)
	require.NoError(s.t, cmd.Start())
	s.t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	return func() string {
		_, err := fmt.Fprintln(in)
		require.NoError(s.t, err)
		require.True(s.t, lines.Scan(), "the program on the client ended")
		return lines.Text()
	}
}

// replacement gives the zone another CLB: open connections go on through the old one, until
// the provider ends them, and new ones go to the new one.
func (s *session) replacement() {
	ecs3 := s.p.instance("plinksim_http", "ecs3", "192.168.24.201")
	another, _ := s.p.clb("clb2", ecs3)
	s.p.link("AttachResourceToVpcEndpointService", params{"ServiceId": s.service, "ResourceType": "slb",
		"ResourceId": another, "ZoneId": zone})
	ask := s.keeps()
	require.Equal(s.t, "ecs2", ask())
	replace := s.ends(params{"ZoneId": zone, "ResourceAllocateMode": "Manual", "ResourceReplaceMode": "Graceful",
		"ResourceId": another, "ResourceType": "slb"})
	s.p.link("UpdateVpcEndpointZoneConnectionResourceAttribute", replace)
	listed := s.p.until("privatelink", "ListVpcEndpointConnections", params{"ServiceId": s.service},
		"Connections.0.Zones.0.ZoneStatus", "Migrated")
	require.Equal(s.t, another, listed.at("Connections.0.Zones.0.ResourceId"))
	require.Equal(s.t, s.balancer, listed.at("Connections.0.Zones.0.ReplacedResourceId"))
	s.reads(s.client, s.page(), "ecs3")
	require.Equal(s.t, "ecs2", ask(), "the open connection goes on through the old one")

	s.p.link("DisableVpcEndpointZoneConnection", s.ends(params{"ZoneId": zone, "ReplacedResource": true}))
	s.p.until("privatelink", "ListVpcEndpointConnections", params{"ServiceId": s.service},
		"Connections.0.Zones.0.ZoneStatus", "Connected")
	require.Equal(s.t, "lost", ask())
	require.Equal(s.t, "EndpointServiceConnectionDependence", s.p.code("privatelink",
		"DetachResourceFromVpcEndpointService", params{"ServiceId": s.service, "ResourceType": "slb", "ResourceId": another,
			"ZoneId": zone}))
	replace["ResourceId"], replace["ResourceReplaceMode"] = s.balancer, "Force"
	s.p.link("UpdateVpcEndpointZoneConnectionResourceAttribute", replace)
	s.reads(s.client, s.page(), "ecs2")
}

// bandwidth measures what a connection carries, with 100 Mbit/s and with 1 Gbit/s.
func (s *session) bandwidth() {
	measure := func(mbit int) (got float64) {
		s.p.link("UpdateVpcEndpointConnectionAttribute", s.ends(params{"Bandwidth": mbit}))
		s.c.until("privatelink", "GetVpcEndpointAttribute", params{"EndpointId": s.endpoint}, "Bandwidth", strconv.Itoa(mbit))
		require.Eventually(s.t, func() bool {
			out, err := s.run("exec", s.client, "--", "curl", "-fsS", "--max-time", "20", "-o", "/dev/null", "-w",
				"%{speed_download}", s.page()+"bytes/20000000")
			if err != nil {
				return false
			}
			speed, err := strconv.ParseFloat(strings.TrimSpace(out), 64)
			got = speed * 8 / 1e6
			return err == nil
		}, 40*time.Second, 100*time.Millisecond)
		return got
	}
	slow, fast := measure(100), measure(1000)
	s.t.Logf("%.0f Mbit/s with Bandwidth 100, %.0f with 1000", slow, fast)
	require.Less(s.t, slow, 110.0)
	require.Greater(s.t, fast, 2*slow)
}

// anNLB offers an NLB, each of whose changes is a job that ends, to a second endpoint.
func (s *session) anNLB() {
	ended := func(made answer) answer {
		s.p.until("nlb", "GetJobStatus", params{"JobId": made.at("JobId")}, "Status", "Succeeded")
		return made
	}
	n := &s.nlb
	n.balancer = ended(s.p.do("nlb", "CreateLoadBalancer", params{"LoadBalancerName": "nlb1", "AddressType": "Intranet",
		"VpcId": s.p.vpc, "ZoneMappings": []params{{"ZoneId": zone, "VSwitchId": s.p.vsw}}})).at("LoadbalancerId")
	n.servers = ended(s.p.do("nlb", "CreateServerGroup", params{"ServerGroupName": "servers", "VpcId": s.p.vpc,
		"Protocol": "TCP", "HealthCheckConfig": params{"HealthCheckType": "TCP", "HealthCheckInterval": "5"}})).
		at("ServerGroupId")
	server := params{"ServerId": s.ecs2, "ServerType": "Ecs", "Port": 80, "Weight": 100}
	ended(s.p.do("nlb", "AddServersToServerGroup", params{"ServerGroupId": n.servers, "Servers": []params{server}}))
	n.listener = ended(s.p.do("nlb", "CreateListener", params{"LoadBalancerId": n.balancer, "ListenerProtocol": "TCP",
		"ListenerPort": 80, "ServerGroupId": n.servers})).at("ListenerId")
	s.p.until("nlb", "GetLoadBalancerAttribute", params{"LoadBalancerId": n.balancer}, "LoadBalancerStatus", "Active")
	s.p.until("nlb", "GetListenerAttribute", params{"ListenerId": n.listener}, "ListenerStatus", "Running")
	require.Equal(s.t, []string{s.ecs2}, s.p.do("nlb", "ListServerGroupServers", params{"ServerGroupId": n.servers}).
		texts("Servers", "ServerId"))

	n.service = s.p.link("CreateVpcEndpointService", params{"ServiceResourceType": "nlb", "AutoAcceptEnabled": true,
		"Resource": []params{{"ResourceType": "nlb", "ResourceId": n.balancer, "ZoneId": zone}}}).at("ServiceId")
	s.p.link("AddUserToVpcEndpointService", params{"ServiceId": n.service, "UserId": s.c.number})
	made := s.c.link("CreateVpcEndpoint", params{"VpcId": s.c.vpc, "ServiceId": n.service,
		"SecurityGroupId": []string{s.c.group}, "Zone": []params{{"ZoneId": zone, "VSwitchId": s.c.vsw}}})
	n.endpoint = made.at("EndpointId")
	s.c.until("privatelink", "GetVpcEndpointAttribute", params{"EndpointId": n.endpoint}, "ConnectionStatus", "Connected")
	s.reads(s.client, "http://"+made.at("EndpointDomain")+"/", "ecs2")
	ended(s.p.do("nlb", "RemoveServersFromServerGroup", params{"ServerGroupId": n.servers, "Servers": []params{
		{"ServerId": s.ecs2, "ServerType": "Ecs", "Port": 80}}}))
	s.reads(s.client, "http://"+made.at("EndpointDomain")+"/", "")
}
