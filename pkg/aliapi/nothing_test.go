package aliapi_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// From an empty lab to a page that comes through an endpoint, in the order of Terraform's
// provider, with a CLB and with an NLB; and everything is deleted again.
func TestFromNothingToAPage(t *testing.T) {
	for _, kind := range []string{"slb", "nlb"} {
		t.Run(kind, func(t *testing.T) {
			c := up(t, empty)
			p, consumer := c.as("provider"), c.as("consumer")
			const zone = "eu-central-1b"
			network := func(a *client, name string) (vpc, vsw, group string) {
				vpc = a.do("vpc", "CreateVpc", "CidrBlock", "192.168.0.0/16", "VpcName", name).at("VpcId")
				vsw = a.do("vpc", "CreateVSwitch", "VpcId", vpc, "ZoneId", zone, "CidrBlock", "192.168.24.0/24").at("VSwitchId")
				group = a.do("ecs", "CreateSecurityGroup", "VpcId", vpc, "SecurityGroupName", "servers").at("SecurityGroupId")
				a.do("ecs", "AuthorizeSecurityGroup", "SecurityGroupId", group, "IpProtocol", "tcp", "PortRange", "80/80",
					"SourceCidrIp", "0.0.0.0/0")
				return vpc, vsw, group
			}
			run := func(a *client, image, name, vsw, group string) string {
				return a.do("ecs", "RunInstances", "ImageId", image, "InstanceType", "ecs.g7.large", "InstanceName", name,
					"VSwitchId", vsw, "SecurityGroupId", group, "PrivateIpAddress", "192.168.24.200").
					at("InstanceIdSets.InstanceIdSet.0")
			}
			pvpc, pvsw, pgroup := network(p, "provider")
			cvpc, cvsw, cgroup := network(consumer, "consumer")
			ecs2 := run(p, "plinksim_http", "ecs2", pvsw, pgroup)
			ecs1 := run(consumer, "plinksim_empty", "ecs1", cvsw, cgroup)
			balancer, takeApart := balance(p, kind, pvpc, pvsw, ecs2)

			service := p.link("CreateVpcEndpointService", "ServiceResourceType", kind).at("ServiceId")
			p.link("AttachResourceToVpcEndpointService", "ServiceId", service, "ResourceType", kind, "ResourceId", balancer,
				"ZoneId", zone)
			p.link("AddUserToVpcEndpointService", "ServiceId", service, "UserId", consumer.number)
			ep := consumer.link("CreateVpcEndpoint", "VpcId", cvpc, "ServiceId", service, "SecurityGroupId.1", cgroup)
			endpoint := ep.at("EndpointId")
			consumer.link("AddZoneToVpcEndpoint", "EndpointId", endpoint, "ZoneId", zone, "VSwitchId", cvsw)
			p.link("EnableVpcEndpointConnection", "ServiceId", service, "EndpointId", endpoint, "Bandwidth", "1024")
			c.reads(ecs1, "http://"+ep.at("EndpointDomain")+"/", "ecs2")
			nics := consumer.do("ecs", "DescribeNetworkInterfaces", "VSwitchId", cvsw)
			require.Equal(t, "2", nics.at("TotalCount"))
			require.Equal(t, "DependencyViolation", consumer.code("vpc", "DeleteVSwitch", "VSwitchId", cvsw))

			consumer.do("ecs", "RevokeSecurityGroup", "SecurityGroupId", cgroup, "IpProtocol", "tcp", "PortRange", "80/80",
				"SourceCidrIp", "0.0.0.0/0")
			c.reads(ecs1, "http://"+ep.at("EndpointDomain")+"/", "")

			consumer.link("RemoveZoneFromVpcEndpoint", "EndpointId", endpoint, "ZoneId", zone)
			consumer.link("DeleteVpcEndpoint", "EndpointId", endpoint)
			p.link("DetachResourceFromVpcEndpointService", "ServiceId", service, "ResourceType", kind, "ResourceId", balancer,
				"ZoneId", zone)
			p.link("DeleteVpcEndpointService", "ServiceId", service)
			takeApart()
			for _, side := range []struct {
				*client
				vpc, vsw, group, instance string
			}{{p, pvpc, pvsw, pgroup, ecs2}, {consumer, cvpc, cvsw, cgroup, ecs1}} {
				require.Equal(t, "IncorrectInstanceStatus", side.code("ecs", "DeleteInstance", "InstanceId", side.instance))
				side.do("ecs", "DeleteInstance", "InstanceId", side.instance, "Force", "true")
				side.do("ecs", "DeleteSecurityGroup", "SecurityGroupId", side.group)
				side.do("vpc", "DeleteVSwitch", "VSwitchId", side.vsw)
				side.do("vpc", "DeleteVpc", "VpcId", side.vpc)
			}
			require.Empty(t, c.lab.Edits(), "nothing is left of what was made")
		})
	}
}

// balance makes a load balancer with one server, and gives what takes it apart.
func balance(p *client, kind, vpc, vsw, instance string) (balancer string, takeApart func()) {
	if kind == "nlb" {
		made := p.do("nlb", "CreateLoadBalancer", "AddressType", "Intranet", "LoadBalancerName", "nlb1", "VpcId", vpc,
			"ZoneMappings", fmt.Sprintf(`[{"ZoneId":"eu-central-1b","VSwitchId":%q}]`, vsw))
		balancer = made.at("LoadbalancerId")
		require.Equal(p.t, "Succeeded", p.do("nlb", "GetJobStatus", "JobId", made.at("JobId")).at("Status"))
		group := p.do("nlb", "CreateServerGroup", "ServerGroupName", "sg1", "VpcId", vpc, "Protocol", "TCP",
			"HealthCheckConfig.HealthCheckType", "TCP", "HealthCheckConfig.HealthCheckInterval", "5").at("ServerGroupId")
		p.do("nlb", "AddServersToServerGroup", "ServerGroupId", group, "Servers.1.ServerId", instance, "Servers.1.ServerType",
			"Ecs", "Servers.1.Port", "80", "Servers.1.Weight", "50")
		require.Equal(p.t, "50", p.do("nlb", "ListServerGroupServers", "ServerGroupId", group).at("Servers.0.Weight"))
		heard := p.do("nlb", "CreateListener", "LoadBalancerId", balancer, "ListenerProtocol", "TCP", "ListenerPort", "80",
			"ServerGroupId", group).at("ListenerId")
		require.Equal(p.t, "900", p.do("nlb", "GetListenerAttribute", "ListenerId", heard).at("IdleTimeout"))
		require.Equal(p.t, "Active", p.do("nlb", "GetLoadBalancerAttribute", "LoadBalancerId", balancer).
			at("LoadBalancerStatus"))
		return balancer, func() {
			p.do("nlb", "DeleteListener", "ListenerId", heard)
			p.do("nlb", "RemoveServersFromServerGroup", "ServerGroupId", group, "Servers.1.ServerId", instance,
				"Servers.1.ServerType", "Ecs", "Servers.1.Port", "80")
			p.do("nlb", "DeleteServerGroup", "ServerGroupId", group)
			p.do("nlb", "DeleteLoadBalancer", "LoadBalancerId", balancer)
		}
	}
	balancer = p.do("slb", "CreateLoadBalancer", "LoadBalancerName", "clb1", "AddressType", "intranet", "VpcId", vpc,
		"VSwitchId", vsw, "MasterZoneId", "eu-central-1b").at("LoadBalancerId")
	group := p.do("slb", "CreateVServerGroup", "LoadBalancerId", balancer, "VServerGroupName", "rs1", "BackendServers",
		fmt.Sprintf(`[{"ServerId":%q,"Port":80,"Weight":"100"}]`, instance)).at("VServerGroupId")
	listener := []string{"LoadBalancerId", balancer, "ListenerPort", "80"}
	p.do("slb", "CreateLoadBalancerTCPListener", append(listener, "VServerGroupId", group, "Bandwidth", "-1",
		"healthCheckInterval", "5")...)
	require.Equal(p.t, "stopped", p.do("slb", "DescribeLoadBalancerTCPListenerAttribute", listener...).at("Status"))
	p.do("slb", "StartLoadBalancerListener", listener...)
	status := p.do("slb", "DescribeLoadBalancerTCPListenerAttribute", listener...)
	require.Equal(p.t, []string{"running", group, "5"}, []string{status.at("Status"), status.at("VServerGroupId"),
		status.at("HealthCheckInterval")})
	require.Equal(p.t, "80", p.do("slb", "DescribeLoadBalancerAttribute", "LoadBalancerId", balancer).
		at("ListenerPortsAndProtocol.ListenerPortAndProtocol.0.ListenerPort"))
	return balancer, func() {
		require.Equal(p.t, "RspoolVipExist", p.code("slb", "DeleteVServerGroup", "VServerGroupId", group))
		p.do("slb", "DeleteLoadBalancerListener", listener...)
		p.do("slb", "DeleteLoadBalancer", "LoadBalancerId", balancer)
	}
}
