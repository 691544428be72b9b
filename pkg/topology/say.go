package topology

// said is what the consoles of clouds call what this project names otherwise: the names of
// kinds of objects, and the commands of what is done to them. Alibaba Cloud: PrivateLink
// user guide, "Manage endpoint connections" (Allow, Deny), and "Manage the whitelist"; VPC
// documentation, "Create and manage a vSwitch". AWS: AWS PrivateLink guide, "Manage
// permissions" (allow principals), and "Accept or reject connection requests"; Elastic
// Load Balancing, "Target groups for your Network Load Balancers".
var said = map[Cloud]map[string]string{
	Alibaba: {
		"subnet": "vSwitch", "subnets": "vSwitches",
		"connection accept": "Allow", "connection reject": "Deny",
		"service whitelist add": "Add to whitelist", "service whitelist remove": "Remove from whitelist",
		"service attach": "Add service resource", "service detach": "Remove service resource",
		"service delete": "Delete endpoint service", "service set": "Modify endpoint service",
		"service create": "Create endpoint service", "endpoint create": "Create endpoint",
		"connection bandwidth": "Modify bandwidth", "connection replace": "Replace service resource",
		"connection zone enable": "Allow zone connection", "connection zone disable": "Deny zone connection",
		"endpoint zone add": "Add zone", "endpoint zone remove": "Remove zone",
		"endpoint group add": "Add security group", "endpoint group remove": "Remove security group",
		"endpoint delete": "Delete endpoint", "endpoint set": "Modify endpoint",
		"server register": "Add backend server", "server deregister": "Remove backend server",
		"server weight": "Modify weight",
	},
	AWS: {
		"server group": "target group", "server groups": "target groups",
		"connection accept": "Accept endpoint connection request", "connection reject": "Reject endpoint connection request",
		"service whitelist add": "Allow principal", "service whitelist remove": "Remove allowed principal",
		"service attach": "Associate load balancer", "service detach": "Disassociate load balancer",
		"service delete": "Delete endpoint service", "service set": "Modify endpoint service",
		"service create": "Create endpoint service", "endpoint create": "Create endpoint",
		"endpoint zone add": "Add subnet's zone", "endpoint zone remove": "Remove subnet's zone",
		"endpoint group add": "Add security group", "endpoint group remove": "Remove security group",
		"endpoint delete": "Delete endpoint", "endpoint set": "Modify endpoint",
		"server register": "Register target", "server deregister": "Deregister target", "server weight": "Change weight",
	},
}

// Say is what the cloud's console calls something: the name of a kind of objects (subnet,
// server groups) or a command (connection accept). It is the word itself where the cloud
// has no other.
func (c Cloud) Say(word string) string {
	if text := said[c][word]; text != "" {
		return text
	}
	return word
}

// calls are the calls of the clouds' APIs that do what an operation does. Alibaba Cloud:
// PrivateLink API 2020-04-15 and VPC API 2016-04-28. AWS: Amazon EC2 API Reference, and
// Elastic Load Balancing API Reference 2015-12-01. Of what a lab counts as one operation,
// a cloud may want several calls; the one with which it begins is here.
var calls = map[Cloud]map[Verb]string{
	Alibaba: {
		VerbServiceSet: "UpdateVpcEndpointServiceAttribute", VerbServiceCreate: "CreateVpcEndpointService",
		VerbServiceDelete: "DeleteVpcEndpointService", VerbWhitelistAdd: "AddUserToVpcEndpointService",
		VerbWhitelistRemove: "RemoveUserFromVpcEndpointService", VerbAttach: "AttachResourceToVpcEndpointService",
		VerbDetach: "DetachResourceFromVpcEndpointService", VerbEndpointCreate: "CreateVpcEndpoint",
		VerbEndpointDelete: "DeleteVpcEndpoint", VerbEndpointSet: "UpdateVpcEndpointAttribute",
		VerbZoneAdd: "AddZoneToVpcEndpoint", VerbZoneRemove: "RemoveZoneFromVpcEndpoint",
		VerbGroupAdd: "AttachSecurityGroupToVpcEndpoint", VerbGroupRemove: "DetachSecurityGroupFromVpcEndpoint",
		VerbAccept: "EnableVpcEndpointConnection", VerbReject: "DisableVpcEndpointConnection",
		VerbBandwidth:  "UpdateVpcEndpointConnectionAttribute",
		VerbZoneEnable: "EnableVpcEndpointZoneConnection", VerbZoneDisable: "DisableVpcEndpointZoneConnection",
		VerbReplace:       "UpdateVpcEndpointZoneConnectionResourceAttribute",
		VerbGatewayDelete: "DeleteNatGateway", VerbNATIPCreate: "CreateNatIp", VerbNATIPDelete: "DeleteNatIp",
		VerbEntryCreate: "CreateFullNatEntry", VerbEntryModify: "ModifyFullNatEntryAttribute",
		VerbEntryDelete: "DeleteFullNatEntry",
	},
	AWS: {
		VerbServiceSet: "ModifyVpcEndpointServiceConfiguration", VerbServiceCreate: "CreateVpcEndpointServiceConfiguration",
		VerbServiceDelete:   "DeleteVpcEndpointServiceConfigurations",
		VerbWhitelistAdd:    "ModifyVpcEndpointServicePermissions",
		VerbWhitelistRemove: "ModifyVpcEndpointServicePermissions", VerbAttach: "ModifyVpcEndpointServiceConfiguration",
		VerbDetach: "ModifyVpcEndpointServiceConfiguration", VerbEndpointCreate: "CreateVpcEndpoint",
		VerbEndpointDelete: "DeleteVpcEndpoints", VerbEndpointSet: "ModifyVpcEndpoint", VerbZoneAdd: "ModifyVpcEndpoint",
		VerbZoneRemove: "ModifyVpcEndpoint", VerbGroupAdd: "ModifyVpcEndpoint", VerbGroupRemove: "ModifyVpcEndpoint",
		VerbAccept: "AcceptVpcEndpointConnections", VerbReject: "RejectVpcEndpointConnections",
		VerbServerRegister: "RegisterTargets", VerbServerDeregister: "DeregisterTargets",
	},
}

// Call is the call of the cloud's API that does what an operation does, "" where there is
// none.
func (c Cloud) Call(verb Verb) string { return calls[c][verb] }
