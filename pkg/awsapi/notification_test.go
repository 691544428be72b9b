package awsapi_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/awsapi"
	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/control"
)

// Who asked for a notification finds it among the lab's events, and nobody finds others.
func TestNotificationsAreEvents(t *testing.T) {
	s := newShop(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, end := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(ctx, ln) }()
	t.Cleanup(func() {
		end()
		require.NoError(t, <-served)
	})
	topic := "arn:aws:sns:us-east-1:" + s.p.number + ":vpce"
	create := []string{"ConnectionNotificationArn", topic, "ConnectionEvents.1", "Accept"}
	made := s.p.ec2("CreateVpcEndpointConnectionNotification", append(create, "ServiceId", s.service)...)
	id := made.at("connectionNotification/connectionNotificationId")
	require.Regexp(t, `^vpce-nfn-[0-9a-f]{17}$`, id)
	require.Equal(t, "Enabled", made.at("connectionNotification/connectionNotificationState"))
	own := s.c.ec2("CreateVpcEndpointConnectionNotification", append(create, "VpcEndpointId", s.endpoint)...).
		at("connectionNotification/connectionNotificationId")
	found := "connectionNotificationSet/item/connectionNotificationId"
	require.Equal(t, []string{own}, s.c.ec2("DescribeVpcEndpointConnectionNotifications", "Filter.1.Name",
		"vpc-endpoint-id", "Filter.1.Value.1", s.endpoint).texts(found), "each account has its own")
	require.Empty(t, s.c.ec2("DescribeVpcEndpointConnectionNotifications", "Filter.1.Name", "vpc-endpoint-id",
		"Filter.1.Value.1", "vpce-0").texts(found))

	told := func(of string) (verbs []string) {
		for _, e := range s.lab.Plane().Events(0) {
			if e.Kind == awsapi.KindNotification && e.Name == of {
				verbs = append(verbs, string(e.Verb))
			}
		}
		return verbs
	}
	// The server has to be there before the connection is accepted.
	s.eventually("somebody answers", func() bool {
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	s.accept()
	s.eventually("both hear of it", func() bool {
		return slices.Equal(told(id), []string{"accept"}) && slices.Equal(told(own), []string{"accept"})
	})
	s.p.ec2("ModifyVpcEndpointConnectionNotification", "ConnectionNotificationId", id, "ConnectionEvents.1", "Reject")
	s.p.ec2("RejectVpcEndpointConnections", "ServiceId", s.service, "VpcEndpointId.1", s.endpoint)
	s.eventually("who asked for it hears of it", func() bool {
		return slices.Equal(told(id), []string{"accept", "reject"})
	})
	require.Equal(t, []string{"accept"}, told(own))

	for code, parameters := range map[string][]string{
		"InvalidParameterValue": {"ConnectionNotificationArn", "arn:aws:s3:::x", "ConnectionEvents.1", "Accept",
			"ServiceId", s.service},
		"InvalidParameterCombination":          append(create, "ServiceId", s.service, "VpcEndpointId", s.endpoint),
		"InvalidVpcEndpointServiceId.NotFound": append(create, "ServiceId", "vpce-svc-00000000000000000"),
	} {
		require.Equal(t, code, s.p.code("CreateVpcEndpointConnectionNotification", parameters...))
	}
	require.Equal(t, "InvalidConnectionNotification", s.c.code("ModifyVpcEndpointConnectionNotification",
		"ConnectionNotificationId", id, "ConnectionEvents.1", "Delete"), "it is another account's")
	gone := s.p.ec2("DeleteVpcEndpointConnectionNotifications", "ConnectionNotificationId.1", id,
		"ConnectionNotificationId.2", own)
	require.Equal(t, []string{own}, gone.texts("unsuccessful/item/resourceId"))
	require.Empty(t, s.p.ec2("DescribeVpcEndpointConnectionNotifications").texts(found))
}

// The id of a call leads to what it did: an edit, or an operation.
func TestEventsNameTheCallThatAskedForThem(t *testing.T) {
	s := newShop(t)
	s.accept()
	for action, kind := range map[string]control.Kind{
		"CreateSubnet": control.KindEdit, "AcceptVpcEndpointConnections": control.KindConnection,
	} {
		calls := s.server.Calls()
		i := slices.IndexFunc(calls, func(c cloudapi.Logged) bool { return c.Action == action && c.Refused == "" })
		require.GreaterOrEqual(t, i, 0, action)
		events := s.lab.Plane().Events(0)
		j := slices.IndexFunc(events, func(e control.Event) bool { return e.Request == calls[i].ID })
		require.GreaterOrEqual(t, j, 0, "no event of call %s (%s)", calls[i].ID, action)
		require.Equal(t, kind, events[j].Kind)
		require.Equal(t, calls[i].Account, events[j].Account)
	}
	require.True(t, slices.ContainsFunc(s.lab.Plane().Events(0), func(e control.Event) bool {
		return e.Request == "" && strings.Contains(e.Text, "available")
	}), "what follows by itself is of no call")
}

// The names that the API gives lead to what it says of them.
func TestNamesOfLoadBalancersAndInstancesResolve(t *testing.T) {
	s := newShop(t)
	shopper := s.p.ec2("RunInstances", "ImageId", "ami-0plinksimempty000", "MinCount", "1", "MaxCount", "1", "SubnetId",
		s.psubnet).at("instancesSet/item/instanceId")
	name := s.p.elb("DescribeLoadBalancers").at("DescribeLoadBalancersResult/LoadBalancers/member/DNSName")
	require.Regexp(t, `^nlb1-[0-9a-f]{16}\.elb\.us-east-1\.amazonaws\.com$`, name)
	reads := func(from, url, want string) {
		t.Helper()
		s.eventually(url+" answers "+want, func() bool {
			text, err := s.get(from, url)
			return text == want && err == nil
		})
	}
	reads(shopper, "http://"+name+"/", "web")
	reads(shopper, "http://us-east-1a."+name+"/", "web")

	on, err := s.lab.Client(shopper)
	require.NoError(t, err)
	private := s.p.ec2("DescribeInstances", "InstanceId.1", s.web).
		at("reservationSet/item/instancesSet/item/privateDnsName")
	require.Equal(t, "ip-10-0-1-10.ec2.internal", private)
	lookup := func() ([]string, error) { return on.Resolver().LookupHost(t.Context(), private) }
	_, err = lookup()
	require.Error(t, err, "not in a VPC without DNS hostnames")
	s.p.ec2("ModifyVpcAttribute", "VpcId", s.pvpc, "EnableDnsHostnames.Value", "true")
	s.eventually("the instance has a name", func() bool {
		found, err := lookup()
		return err == nil && slices.Equal(found, []string{"10.0.1.10"})
	})
}
