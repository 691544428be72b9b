package control

import "github.com/plinksim/plinksim/pkg/topology"

// words are what a cloud calls refusals, by the kind of the object. A key with a
// verb behind the kind is for that operation alone and goes before the kind; ""
// is for all other kinds. A text that begins with a dash is why there is no word.
type words map[topology.Refusal]map[string]string

// cloudWords are the clouds' error codes. Alibaba Cloud: the codes that its Terraform
// provider handles (aliyun/terraform-provider-alicloud, alicloud/
// resource_alicloud_privatelink_*.go). That an account that may not see a service hears
// that it does not exist, is in the PrivateLink user guide, "Manage the
// whitelist": an account that is not on it cannot query the service. NAT gateways: the
// error codes of the VPC API 2016-04-28, DeleteNatGateway, DeleteNatIp and
// DeleteFullNatEntry. AWS: Amazon EC2 API Reference, "Error codes for the Amazon EC2
// API"; what DeleteVpcEndpoints and DeleteVpcEndpointServiceConfigurations say of one
// object is in hashicorp/terraform-provider-aws, internal/service/ec2/errors.go; target
// groups: Elastic Load Balancing API Reference, RegisterTargets.
var cloudWords = map[topology.Cloud]words{
	topology.Alibaba: {
		topology.NotFound: {
			"endpoint service": "EndpointServiceNotFound", "endpoint service service-create": ofTheLab,
			"endpoint": "EndpointNotFound", "endpoint endpoint-create": ofTheLab,
			"zone":        "EndpointZoneNotFound",
			"NAT gateway": "InvalidNatGatewayId.NotFound", "FullNAT entry": "ResourceNotFound.FullNatEntry",
			"account": accounts, "": notListed,
		},
		topology.NotOwner: {
			"endpoint service": "EndpointServiceNotFound", "endpoint": "EndpointNotFound", "": notListed,
		},
		topology.NotWhitelisted: {"": "EndpointServiceNotFound"},
		topology.WrongState: {
			"connection": "EndpointConnectionOperationDenied", "zone": "EndpointConnectionOperationDenied",
			"endpoint": "EndpointOperationDenied", "endpoint service": "EndpointServiceOperationDenied",
			"NAT gateway": "IncorrectStatus.NatGateway", "NAT IP": "IncorrectStatus.NatIp",
			"FullNAT entry": "IncorrectStatus.FullNatEntry", "": notListed,
		},
		topology.InUse: {
			"endpoint": "EndpointOperationDenied", "NAT IP": "DependencyViolation.NatIp",
			"NAT gateway": notListed, "server group": notListed,
			"": "EndpointServiceConnectionDependence",
		},
		topology.Invalid:     {"": notListed},
		topology.Quota:       {"": notListed},
		topology.Unsupported: {"": notListed},
	},
	topology.AWS: {
		topology.NotFound: {
			"endpoint service":                 "InvalidVpcEndpointServiceId.NotFound",
			"endpoint service service-create":  ofTheLab,
			"endpoint service service-delete":  "InvalidVpcEndpointService.NotFound",
			"endpoint service endpoint-create": "InvalidServiceName",
			"endpoint":                         "InvalidVpcEndpointId.NotFound",
			"endpoint endpoint-create":         ofTheLab,
			"endpoint endpoint-delete":         "InvalidVpcEndpoint.NotFound",
			"vpc":                              "InvalidVpcID.NotFound",
			"subnet":                           "InvalidSubnetID.NotFound",
			"load balancer":                    "NetworkLoadBalancerNotFoundException",
			"resource":                         "NetworkLoadBalancerNotFoundException",
			"security group":                   "InvalidSecurityGroupID.NotFound",
			"server group":                     "TargetGroupNotFound",
			"server":                           "InvalidTarget",
			"instance":                         "InvalidTarget",
			"zone":                             "- EC2 speaks of subnets where a lab speaks of zones",
			"connection":                       "- EC2 documents no code for the endpoint of another service",
			"account":                          accounts,
		},
		topology.NotOwner: {
			"endpoint service": "InvalidVpcEndpointServiceId.NotFound", "endpoint": "InvalidVpcEndpointId.NotFound",
			"endpoint service service-delete": "InvalidVpcEndpointService.NotFound",
			"endpoint endpoint-delete":        "InvalidVpcEndpoint.NotFound",
			"server group":                    "TargetGroupNotFound",
		},
		topology.NotWhitelisted: {"": "InvalidServiceName"},
		topology.WrongState:     {"": "InvalidState"},
		topology.InUse: {
			"load balancer": "- no public source says what EC2 answers for the load balancer of another service",
			"":              "ExistingVpcEndpointConnections",
		},
		topology.Invalid: {
			"server": "InvalidTarget", "zones": "DuplicateSubnetsInSameZone", "object": ofTheLab,
			"operation": "InvalidAction", "": "InvalidParameter",
		},
		topology.Quota: {
			"endpoint":           "VpcEndpointLimitExceeded",
			"endpoint group-add": "SecurityGroupsPerInterfaceLimitExceeded",
			"endpoint service":   "- EC2 documents no code for a limit of endpoint services",
		},
		topology.Unsupported: {"operation": "InvalidAction", "parameter": "UnknownParameter"},
	},
}

// Why there is no word.
const (
	notListed = "- the API reference of PrivateLink 2020-04-15 lists no error codes, and no public program handles one" +
		" for it"
	ofTheLab = "- it is about the topology file of the lab"
	accounts = "- no public source says what a cloud answers to an account that does not exist"
)

// word is what a cloud calls a refusal of a verb, or why it has no word. Both are
// "" of a cloud that has no words at all.
func word(cloud topology.Cloud, code topology.Refusal, kind string, verb Verb) (word, reason string) {
	known := cloudWords[cloud][code]
	for _, key := range []string{kind + " " + string(verb), kind, ""} {
		switch text := known[key]; {
		case text == "":
		case text[0] == '-':
			return "", text[2:]
		default:
			return text, ""
		}
	}
	return "", ""
}

// In adds the word of a cloud for what a verb was refused, where there is none yet.
func (e *Error) In(cloud topology.Cloud, verb Verb) *Error {
	if e.Word == "" {
		e.Word, _ = word(cloud, e.Code, e.Kind, verb)
	}
	return e
}
