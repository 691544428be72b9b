package topology

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/packet"
)

// What a profile says must fit together, whichever cloud it is.
func TestProfilesAreComplete(t *testing.T) {
	for cloud := range profiles {
		t.Run(string(cloud), func(t *testing.T) {
			p := cloud.Profile()
			require.Contains(t, idForms, cloud)
			require.Contains(t, httpProfiles, cloud)
			require.Positive(t, p.TCPIdle)
			require.Positive(t, p.UDPIdle)
			require.Positive(t, p.MTU)
			require.NotEmpty(t, p.Scheduler)
			require.LessOrEqual(t, p.Limits.VPCWidest, p.Limits.VPCUsual)
			require.Less(t, p.Limits.VPCUsual, p.Limits.VPCNarrowest)
			require.False(t, p.KeepNLB && !p.TuneConnections, "there is nothing to keep where nothing is replaced")
			require.False(t, p.CloudBlock.IsValid() && !p.SharedBlock.Contains(p.CloudBlock.Addr()))
			for _, block := range p.Limits.Forbidden {
				require.Equal(t, block.Masked(), block)
			}
		})
	}
	require.Len(t, profiles, 3)
	require.Zero(t, Cloud("azure").Profile().TCPIdle)
}

func TestResolversAreThoseOfTheVPC(t *testing.T) {
	vpc := netip.MustParsePrefix("10.1.0.0/16")
	for cloud, want := range map[Cloud]string{
		Alibaba: "[100.100.2.136 100.100.2.138]",
		AWS:     "[10.1.0.2 169.254.169.253]",
	} {
		require.Equal(t, want, fmt.Sprint(cloud.Profile().ResolversOf(vpc)))
		require.Equal(t, want, fmt.Sprint(cloud.Profile().ResolversOf(vpc)), "asked again, it is the same")
	}
}

// Identifiers have the form of the cloud, and depend on the names alone.
func TestIdentifiers(t *testing.T) {
	ali, aws := IDs{Alibaba, "lab", "eu-central-1"}, IDs{AWS, "lab", "eu-central-1"}
	for got, want := range map[string]string{
		ali.Subnet("v/s"):             `^vsw-gw8[0-9a-z]{17}$`,
		aws.Subnet("v/s"):             `^subnet-[0-9a-f]{17}$`,
		ali.Endpoint("ep", false):     `^ep-gw8i[0-9a-f]{16}$`,
		ali.Endpoint("ep", true):      `^ep-gw8r[0-9a-f]{16}$`,
		aws.Endpoint("ep", false):     `^vpce-[0-9a-f]{17}$`,
		ali.Account("a"):              `^1[0-9]{15}$`,
		aws.Account("a"):              `^[1-9][0-9]{11}$`,
		ali.LoadBalancer("lb", CLB):   `^lb-gw8[0-9a-z]{17}$`,
		ali.LoadBalancer("lb", ALB):   `^alb-gw8[0-9a-z]{17}$`,
		aws.LoadBalancer("lb", ALB):   `^app/lb/[0-9a-f]{16}$`,
		aws.ServerGroup("g", NLB):     `^targetgroup/g/[0-9a-f]{16}$`,
		aws.EndpointDomain("e", "s"):  `^e-[0-9a-z]{8}\.s\.eu-central-1\.vpce\.amazonaws\.com$`,
		ali.ZoneDomain("e", "z", "s"): `^e-z\.s\.eu-central-1\.privatelink\.aliyuncs\.com$`,
		aws.ServiceName("vpce-svc-1"): `^com\.amazonaws\.vpce\.eu-central-1\.vpce-svc-1$`,
	} {
		require.Regexp(t, want, got)
	}
	require.Equal(t, ali.Endpoint("ep", false), ali.Endpoint("ep", false))
	require.NotEqual(t, ali.Endpoint("ep", false), IDs{Alibaba, "other", "eu-central-1"}.Endpoint("ep", false))
}

func TestProtocols(t *testing.T) {
	for _, tt := range []struct {
		protocol, transport Protocol
		number              uint8
		http                bool
	}{
		{TCP, TCP, packet.ProtocolTCP, false},
		{UDP, UDP, packet.ProtocolUDP, false},
		{ICMP, ICMP, packet.ProtocolICMP, false},
		{HTTP, TCP, 0, true},
		{HTTPS, TCP, 0, true},
		{AllProtocols, TCP, 0, false},
	} {
		require.Equal(t, tt.transport, tt.protocol.Transport(), tt.protocol)
		require.Equal(t, tt.number, tt.protocol.Number(), tt.protocol)
		require.Equal(t, tt.http, tt.protocol.IsHTTP(), tt.protocol)
	}
}
