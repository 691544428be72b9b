package alibaba

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// database lets an instance run a MariaDB server, which knows the user "reader" with the
// password "secret".
func (l *lab) database(instance, name string) {
	l.t.Helper()
	dir := l.t.TempDir()
	story, err := os.ReadFile("../../../testdata/scripts/mariadb.txt")
	require.NoError(l.t, err)
	_, script, found := strings.Cut(string(story), "-- database --\n")
	require.True(l.t, found)
	script, _, found = strings.Cut(script, "-- databases.yaml --\n")
	require.True(l.t, found)
	path := filepath.Join(dir, "database")
	require.NoError(l.t, os.WriteFile(path, []byte("cd "+dir+"\n"+script), 0o600))
	l.plinksim("instance", "service", "add", instance, "command=[sh, "+path+", "+name+"]")
}

// sql is what a database answers to an instance, "" where it does not.
func (l *lab) sql(instance, host, query string) string {
	cmd := exec.Command(l.program, "exec", instance, "--", "mariadb", "--no-defaults", "--connect-timeout=1", "-N",
		"-ureader", "-psecret", "-h", host, "-e", query)
	cmd.Env = l.env
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// answers waits until a database answers to an instance.
func (l *lab) answers(instance, host, query, want string) {
	l.t.Helper()
	require.Eventually(l.t, func() bool { return l.sql(instance, host, query) == want }, time.Minute,
		100*time.Millisecond, "%s answers %s with %q", host, query, want)
}

// reverse lets the provider reach a database of the consumer: a NAT gateway of the type FullNat, a
// service that has it as its resource, a reverse endpoint, a NAT IP, and an entry.
func (s *session) reverse() {
	gateway := s.p.do("vpc", "CreateNatGateway", params{"VpcId": s.p.vpc, "VSwitchId": s.p.vsw, "Name": "reverse",
		"NatType": "Enhanced", "NetworkType": "intranet", "InstanceChargeType": "PostPaid", "PrivateLinkEnabled": true,
		"PrivateLinkMode": "FullNat"})
	s.leadsToADatabase(gateway.at("NatGatewayId"), gateway.at("FullNatTableIds.FullNatTableId.0"))
}

func (s *session) leadsToADatabase(gateway, table string) {
	s.p.until("vpc", "GetNatGatewayAttribute", params{"NatGatewayId": gateway}, "Status", "Available")
	service := s.p.link("CreateVpcEndpointService", params{"ServiceResourceType": "vpcNat", "AutoAcceptEnabled": true,
		"Resource": []params{{"ResourceType": "vpcNat", "ResourceId": gateway, "ZoneId": zone}}}).at("ServiceId")
	s.p.link("AddUserToVpcEndpointService", params{"ServiceId": service, "UserId": s.c.number})
	mysql := s.c.instance("plinksim_empty", "mysql", "192.168.24.86")
	s.c.let(s.c.group, "3306/3306", "192.168.0.0/16")
	s.database(mysql, "orders")
	own := s.c.do("ecs", "CreateSecurityGroup", params{"VpcId": s.c.vpc, "SecurityGroupName": "all"}).at("SecurityGroupId")
	s.c.let(own, "1/65535", "0.0.0.0/0")
	endpoint := s.c.link("CreateVpcEndpoint", params{"EndpointType": "Reverse", "VpcId": s.c.vpc, "ServiceId": service,
		"SecurityGroupId": []string{own}, "Zone": []params{{"ZoneId": zone, "VSwitchId": s.c.vsw}}}).at("EndpointId")
	s.c.until("privatelink", "GetVpcEndpointAttribute", params{"EndpointId": endpoint}, "ConnectionStatus", "Connected")
	interfaces := s.c.link("ListVpcEndpointZones", params{"EndpointId": endpoint})

	ip := s.p.do("vpc", "CreateNatIp", params{"NatGatewayId": gateway, "NatIpName": "orders"})
	s.p.until("vpc", "ListNatIps", params{"NatGatewayId": gateway, "NatIpIds": []string{ip.at("NatIpId")}},
		"NatIps.0.NatIpStatus", "Available")
	entry := s.p.do("vpc", "CreateFullNatEntry", params{"FullNatTableId": table, "FullNatEntryName": "orders",
		"NatIp": ip.at("NatIp"), "NatIpPort": "3306", "IpProtocol": "TCP", "AccessIp": "192.168.24.86", "AccessPort": "3306",
		"NetworkInterfaceId": interfaces.at("Zones.0.EniId")}).at("FullNatEntryId")
	s.p.until("vpc", "ListFullNatEntries", params{"FullNatTableId": table}, "FullNatEntries.0.FullNatEntryStatus",
		"Available")

	s.answers(s.ecs2, ip.at("NatIp"), "SELECT @@report_host", "orders")
	s.answers(s.ecs2, ip.at("NatIp"), "SELECT USER()", "reader@"+interfaces.at("Zones.0.EniIp"))
	require.Equal(s.t, "1000", s.sql(s.ecs2, ip.at("NatIp"), "SELECT COUNT(*) FROM shop.seed"))

	require.Equal(s.t, "DependencyViolation.NatIp", s.p.code("vpc", "DeleteNatIp", params{"NatIpId": ip.at("NatIpId")}))
	require.Equal(s.t, "DependencyViolation.FullNatEntry", s.p.code("vpc", "DeleteNatGateway",
		params{"NatGatewayId": gateway}))
	s.p.do("vpc", "DeleteFullNatEntry", params{"FullNatTableId": table, "FullNatEntryId": entry})
	s.answers(s.ecs2, ip.at("NatIp"), "SELECT 1", "")
	s.p.do("vpc", "DeleteNatIp", params{"NatIpId": ip.at("NatIpId")})
	s.c.link("RemoveZoneFromVpcEndpoint", params{"EndpointId": endpoint, "ZoneId": zone})
	s.c.link("DeleteVpcEndpoint", params{"EndpointId": endpoint})
	s.c.do("ecs", "DeleteSecurityGroup", params{"SecurityGroupId": own})
}

// The program of the document makes a gateway, whose entries carry sessions of MySQL.
func TestTheProgramOfTheDocumentMakesAGateway(t *testing.T) {
	l := up(t, "ali-program")
	s := &session{lab: l}
	s.p.account, s.c.account = l.account("provider", connectClassic), l.account("consumer", connectClassic)
	s.network(&s.p, "provider", "0.0.0.0/0")
	s.network(&s.c, "consumer", "192.168.0.0/16")
	s.ecs2 = s.p.instance("plinksim_empty", "reverse-vpc", "192.168.24.9")
	made := makeGateway(t, l, s.p.vpc, s.p.vsw)
	require.Regexp(t, `^ngw-\w+$`, made.at("NatGatewayId"))
	require.NotEmpty(t, made.at("RequestId"))
	s.leadsToADatabase(made.at("NatGatewayId"), made.at("FullNatTableIds.FullNatTableId.0"))
}

// makeGateway runs the program as a user does, and gives what it prints.
func makeGateway(t *testing.T, l *lab, vpc, vsw string) answer {
	t.Helper()
	cmd := exec.Command("bash", "-c", `set -eu; eval "$("$PLINKSIM" api env provider)"; go run ./natgateway "$@"`,
		"program", vpc, vsw)
	var errors bytes.Buffer
	cmd.Env, cmd.Stderr = l.env, &errors
	out, err := cmd.Output()
	require.NoError(t, err, "%s", &errors)
	return read(t, out)
}
