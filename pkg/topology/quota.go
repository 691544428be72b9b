package topology

// Quotas are how many of something there may be; 0 is no limit.
type Quotas struct {
	ServicesPerAccount  int
	EndpointsPerVPC     int
	ResourcesPerService int
	ResourcesPerZone    int // of one service
	GroupsPerEndpoint   int
}

// quotasOf are what the clouds allow. Alibaba Cloud: PrivateLink, "Quotas and
// limits" (200 services of an account, 1,000 endpoints of a VPC, 500 resources
// of a service, 100 of them in a zone), and API 2020-04-15, CreateVpcEndpoint,
// SecurityGroupId (10). AWS: AWS PrivateLink guide, "AWS PrivateLink quotas"
// (50 interface endpoints of a VPC), and Amazon VPC user guide, "Amazon VPC
// quotas" (5 security groups of a network interface).
var quotasOf = map[string]Quotas{
	"alibaba": {ServicesPerAccount: 200, EndpointsPerVPC: 1000, ResourcesPerService: 500, ResourcesPerZone: 100, GroupsPerEndpoint: 10},
	"aws":     {EndpointsPerVPC: 50, GroupsPerEndpoint: 5},
}

// QuotasOf are the default quotas of a cloud.
func QuotasOf(cloud string) Quotas { return quotasOf[cloud] }
