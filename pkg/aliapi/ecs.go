package aliapi

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

const (
	noHardware = "a lab's instances are namespaces and have no hardware"
	noDisks    = "a lab's instances have no disks of their own"
	noPublic   = "a lab has no public addresses"
	noLogin    = "nobody logs in to an instance of a lab: plinksim exec runs programs in it"
)

func ecsRows(a *adder) {
	groupRows(a)
	op(a, "RunInstances", runInstances,
		"SystemDisk DataDisk IoOptimized StorageSetId StorageSetPartitionNumber", noDisks,
		"InstanceChargeType Period PeriodUnit AutoRenew AutoRenewPeriod AutoPay SpotStrategy SpotPriceLimit SpotDuration"+
			" SpotInterruptionBehavior", noBill,
		"InternetMaxBandwidthIn InternetMaxBandwidthOut InternetChargeType", noPublic,
		"KeyPairName Password PasswordInherit RamRoleName SecurityEnhancementStrategy ImageOptions", noLogin,
		"CreditSpecification Tenancy Affinity DeploymentSetId HpcClusterId", noHardware,
		"HttpEndpoint HttpTokens HttpPutResponseHopLimit", "nothing answers at 100.100.100.200",
		"HostName", "an instance has one name in a lab",
		"MinAmount", "a lab makes all instances or none")
	op(a, "DeleteInstance", func(c network, in struct {
		InstanceId string
		Force      bool
	}) (wire.M, error) {
		return nil, c.deleteInstances([]string{in.InstanceId}, in.Force)
	}, "TerminateSubscription", noBill)
	op(a, "DeleteInstances", func(c network, in struct {
		InstanceId []string
		Force      bool
	}) (wire.M, error) {
		return nil, c.deleteInstances(in.InstanceId, in.Force)
	}, "TerminateSubscription", noBill)
	const atOnce = "an instance of a lab stops at once, all together"
	op(a, "StopInstance", func(c network, in struct{ InstanceId string }) (wire.M, error) {
		return nil, c.switchInstances([]string{in.InstanceId}, true)
	}, "ForceStop ConfirmStop Hibernate StoppedMode", atOnce)
	op(a, "StopInstances", func(c network, in struct{ InstanceId []string }) (wire.M, error) {
		return nil, c.switchInstances(in.InstanceId, true)
	}, "ForceStop StoppedMode BatchOptimization", atOnce)
	op(a, "StartInstance", func(c network, in struct{ InstanceId string }) (wire.M, error) {
		return nil, c.switchInstances([]string{in.InstanceId}, false)
	}, "InitLocalDisk", noDisks)
	op(a, "StartInstances", func(c network, in struct{ InstanceId []string }) (wire.M, error) {
		return nil, c.switchInstances(in.InstanceId, false)
	}, "BatchOptimization", "an instance of a lab starts at once, all together")
	op(a, "ModifyInstanceAttribute", modifyInstance, "Password", noLogin)
	op(a, "JoinSecurityGroup", func(c network, in struct{ InstanceId, SecurityGroupId string }) (wire.M, error) {
		return nil, c.joinGroup(in.InstanceId, in.SecurityGroupId, true)
	})
	op(a, "LeaveSecurityGroup", func(c network, in struct{ InstanceId, SecurityGroupId string }) (wire.M, error) {
		return nil, c.joinGroup(in.InstanceId, in.SecurityGroupId, false)
	})
	op(a, "DescribeUserData", func(c network, in struct{ InstanceId string }) (wire.M, error) {
		_, i, err := c.instance(in.InstanceId)
		if err != nil {
			return nil, err
		}
		return wire.M{"InstanceId": i.ID, "RegionId": c.Plan.Region, "UserData": c.Record.Note(i.ID, "userdata")}, nil
	})
	ecsLists(a)
	op(a, "DescribeRegions", func(c *call, _ struct{}) (wire.M, error) {
		return wire.M{"Regions": wire.M{"Region": []wire.M{{"RegionId": c.Plan.Region, "LocalName": c.Plan.Region,
			"RegionEndpoint": "ecs." + c.Plan.Region + ".aliyuncs.com", "Status": "available"}}}}, nil
	}, "AcceptLanguage InstanceChargeType ResourceType", "a lab is one region, which has everything").anywhere = true
	op(a, "DescribeZones", func(c *call, _ struct{}) (wire.M, error) {
		out := []wire.M{}
		for _, z := range c.zones() {
			out = append(out, wire.M{"ZoneId": z, "LocalName": z})
		}
		return wire.M{"Zones": wire.M{"Zone": out}}, nil
	}, "AcceptLanguage InstanceChargeType SpotStrategy Verbose", "every zone of a lab has everything")
	of := func(ids func(v *topology.VPC) []string) func(c *call) []string {
		return func(c *call) (out []string) {
			for _, v := range c.OwnVPCs() {
				out = append(out, ids(v)...)
			}
			return out
		}
	}
	tagRows(a, "UntagResources", taggable{
		"instance": of(func(v *topology.VPC) (out []string) {
			for _, i := range v.Instances {
				out = append(out, i.ID)
			}
			return out
		}),
		"securitygroup": of(func(v *topology.VPC) (out []string) {
			for _, g := range v.SecurityGroups {
				out = append(out, g.ID)
			}
			return out
		}),
	})
}

func ecsLists(a *adder) {
	list(a, listing{name: "DescribeInstances", answer: "Instances.Instance", usual: 10, most: 100,
		filters: map[string]filter{"InstanceIds": amongJSON("InstanceId"), "InstanceName": is("InstanceName"),
			"VpcId": is("VpcAttributes.VpcId"), "VSwitchId": is("VpcAttributes.VSwitchId"), "ZoneId": is("ZoneId"),
			"Status": is("Status"), "PrivateIpAddresses": amongJSON("VpcAttributes.PrivateIpAddress.IpAddress"),
			"SecurityGroupId": is("SecurityGroupIds.SecurityGroupId"), "ImageId": is("ImageId"),
			"InstanceType": is("InstanceType"), "InstanceNetworkType": is("InstanceNetworkType"),
			"ResourceGroupId": is("ResourceGroupId")},
		all: func(base *call) (out []wire.M, _ error) {
			c := network{base}
			for _, v := range c.OwnVPCs() {
				for i := range v.Instances {
					out = append(out, c.viewInstance(v, &v.Instances[i]))
				}
			}
			return out, nil
		}})
	list(a, listing{name: "DescribeInstanceStatus", answer: "InstanceStatuses.InstanceStatus", usual: 10, most: 50,
		filters: map[string]filter{"InstanceId": is("InstanceId")}, also: []string{"ZoneId"},
		all: func(base *call) (out []wire.M, _ error) {
			c := network{base}
			zone := c.text("ZoneId")
			for _, v := range c.OwnVPCs() {
				for i := range v.Instances {
					if in := &v.Instances[i]; zone == "" || in.Zone == zone {
						out = append(out, wire.M{"InstanceId": in.ID, "Status": c.instanceState(in)})
					}
				}
			}
			return out, nil
		}})
	list(a, listing{name: "DescribeNetworkInterfaces", answer: "NetworkInterfaceSets.NetworkInterfaceSet", usual: 10,
		most: 500,
		filters: map[string]filter{"NetworkInterfaceId": is("NetworkInterfaceId"), "InstanceId": is("InstanceId"),
			"VpcId": is("VpcId"), "VSwitchId": is("VSwitchId"), "PrimaryIpAddress": is("PrivateIpAddress"),
			"PrivateIpAddress": is("PrivateIpAddress"), "SecurityGroupId": is("SecurityGroupIds.SecurityGroupId"),
			"Status": is("Status"), "Type": is("Type"), "ServiceManaged": is("ServiceManaged"),
			"NetworkInterfaceName": is("NetworkInterfaceName")},
		all: func(base *call) (out []wire.M, _ error) {
			c := network{base}
			for _, e := range c.enis() {
				out = append(out, c.viewENI(e))
			}
			return out, nil
		}})
}

func (c network) viewENI(e eni) wire.M {
	m := wire.M{
		"NetworkInterfaceId": e.id, "Description": e.description, "VpcId": e.vpc.ID, "VSwitchId": e.subnet.ID,
		"ZoneId": e.subnet.Zone, "PrivateIpAddress": e.ip, "MacAddress": e.mac, "Status": "InUse", "Type": "Secondary",
		"ServiceManaged": e.instance == nil, "OwnerId": c.Account.ID, "CreationTime": c.CreatedAt(e.owner),
		"NetworkInterfaceName": "", "InstanceId": "",
		"SecurityGroupIds": wire.M{"SecurityGroupId": groupIDs(e.vpc, e.groups)},
		"PrivateIpSets":    wire.M{"PrivateIpSet": []wire.M{{"PrivateIpAddress": e.ip, "Primary": true}}},
		"Tags":             wire.M{"Tag": []wire.M{}},
	}
	if e.instance != nil {
		m["Type"], m["InstanceId"] = "Primary", e.instance.ID
	}
	return m
}

func (c *call) instance(id string) (*topology.VPC, *topology.Instance, error) {
	for _, v := range c.OwnVPCs() {
		for i := range v.Instances {
			if v.Instances[i].ID == id {
				return v, &v.Instances[i], nil
			}
		}
	}
	return nil, nil, notFound("InvalidInstanceId.NotFound", "The specified instance %q does not exist.", id)
}

func (c network) instanceState(in *topology.Instance) string {
	switch {
	case in.Stopped:
		return "Stopped"
	case c.OnTheWay(in.ID):
		return "Starting"
	}
	return "Running"
}

func (c network) viewInstance(v *topology.VPC, in *topology.Instance) wire.M {
	t := c.Record.Thing(in.ID)
	groups := groupIDs(v, in.SecurityGroups)
	vsw := ""
	if s, err := v.Subnet(in.Subnet); err == nil {
		vsw = s.ID
	}
	nic := wire.M{"NetworkInterfaceId": c.Plan.NewID("eni", "instance "+in.Ref()), "PrimaryIpAddress": in.IP,
		"MacAddress": in.MAC, "Type": "Primary"}
	return wire.M{
		"InstanceId": in.ID, "InstanceName": c.name(in.ID, in.Name), "Description": t.Notes["description"],
		"ImageId": cmp.Or(t.Notes["image"], "plinksim_empty"), "InstanceType": cmp.Or(t.Notes["type"], "ecs.g7.large"),
		"Status": c.instanceState(in), "RegionId": c.Plan.Region, "ZoneId": in.Zone, "CreationTime": c.CreatedAt(in.ID),
		"StartTime": c.CreatedAt(in.ID), "ExpiredTime": "", "InstanceChargeType": "PostPaid", "InstanceNetworkType": "vpc",
		"HostName": in.Name, "Cpu": 2, "Memory": 8192, "OSType": "linux", "OSName": "Linux", "ResourceGroupId": c.
				resourceGroup(in.ID), "DeletionProtection": t.Notes["protected"] != "", "DeviceAvailable": true,
		"SecurityGroupIds": wire.M{"SecurityGroupId": groups},
		"VpcAttributes": wire.M{"VpcId": v.ID, "VSwitchId": vsw, "NatIpAddress": "",
			"PrivateIpAddress": wire.M{"IpAddress": []string{in.IP.String()}}},
		"NetworkInterfaces": wire.M{"NetworkInterface": []wire.M{nic}},
		"PublicIpAddress":   wire.M{"IpAddress": []string{}}, "InnerIpAddress": wire.M{"IpAddress": []string{}},
		"OperationLocks": wire.M{"LockReason": []wire.M{}},
		"Tags":           wire.M{"Tag": c.tags(in.ID, "TagKey", "TagValue")},
	}
}

// images are those of a lab: what answers on their instances. One of any other has no
// services.
var images = map[string]func(body string) []value{
	"plinksim_http":  func(body string) []value { return []value{{"http": 80, "body": body}} },
	"plinksim_echo":  func(string) []value { return []value{{"echo": 7}} },
	"plinksim_tcp":   func(body string) []value { return []value{{"tcp": 9000, "body": body}} },
	"plinksim_empty": func(string) []value { return []value{} },
}

type runInstancesIn struct {
	ImageId, InstanceType, InstanceName, Description string
	VSwitchId, ZoneId, PrivateIpAddress              string
	SecurityGroupId                                  string
	SecurityGroupIds                                 []string
	Amount                                           *int
	UserData, ResourceGroupId                        string
	DeletionProtection                               bool
	Tag                                              []tag
}

// mostInstances is how many instances a call may make (ECS API 2014-05-26, RunInstances,
// Amount).
const mostInstances = 100

func runInstances(c network, in runInstancesIn) (wire.M, error) {
	if in.ImageId == "" {
		return nil, wire.Errorf("MissingParameter.ImageId", "The parameter ImageId should not be null.")
	}
	if in.VSwitchId == "" {
		return nil, wire.Errorf("MissingParameter.VSwitchId", "The parameter VSwitchId should not be null: a lab has no"+
			" classic network.")
	}
	vpc, s, err := c.vSwitch(in.VSwitchId)
	if err != nil {
		return nil, err
	}
	amount := 1
	if in.Amount != nil {
		amount = *in.Amount
	}
	switch {
	case amount < 1 || amount > mostInstances:
		return nil, wire.Errorf("InvalidParameter.Amount", "The specified Amount must be from 1 to %d.", mostInstances)
	case in.ZoneId != "" && in.ZoneId != s.Zone:
		return nil, wire.Errorf("InvalidVSwitchId.ZoneMismatch", "The vSwitch %q is in zone %q and not in %q.", s.ID, s.Zone,
			in.ZoneId)
	case amount > 1 && in.PrivateIpAddress != "":
		return nil, wire.Errorf("InvalidPrivateIpAddress.Duplicated", "Several instances cannot have one address.")
	}
	ids := in.SecurityGroupIds
	if in.SecurityGroupId != "" {
		ids = append(ids, in.SecurityGroupId)
	}
	if len(ids) == 0 {
		return nil, wire.Errorf("MissingParameter.SecurityGroupId", "The parameter SecurityGroupId should not be null.")
	}
	groups, err := c.groupNames(vpc, ids)
	if err != nil {
		return nil, err
	}
	tags, err := tagsOf(in.Tag)
	if err != nil {
		return nil, err
	}
	services, err := servicesOf(in.UserData)
	if err != nil {
		return nil, err
	}
	if images[in.ImageId] == nil && services == nil {
		c.Note("plinksim has no image %s, only %s: nothing answers on the instance", in.ImageId,
			strings.Join(slices.Sorted(maps.Keys(images)), ", "))
	}
	var made []string
	var edits []topology.Edit
	for range amount {
		id := c.NewID("i")
		v := value{"subnet": s.Name, "security_groups": groups}
		if in.PrivateIpAddress != "" {
			v["ip"] = in.PrivateIpAddress
		}
		switch image := images[in.ImageId]; {
		case services != nil:
			v["services"] = services
		case image != nil:
			v["services"] = image(cmp.Or(in.InstanceName, id))
		}
		made = append(made, id)
		edits = append(edits, topology.Edit{Path: path("vpcs", vpc.Name, "instances", id), Value: text(v), New: true})
	}
	if err := c.Edit(edits...); err != nil {
		return nil, coded(err, topology.Invalid, "InvalidPrivateIpAddress.Malformed")
	}
	notes := map[string]string{"image": in.ImageId, "type": in.InstanceType, "name": in.InstanceName,
		"description": in.Description, "userdata": in.UserData, "resource group": in.ResourceGroupId}
	if in.DeletionProtection {
		notes["protected"] = "true"
	}
	for _, id := range made {
		c.Created(id, tags, notes)
	}
	return wire.M{"InstanceIdSets": wire.M{"InstanceIdSet": made}}, nil
}

// servicesOf are those of user data that begin with #plinksim: what a topology file has under
// services. Nil where there is no user data.
func servicesOf(userData string) ([]value, error) {
	if userData == "" {
		return nil, nil
	}
	raw, err := base64.StdEncoding.DecodeString(userData)
	if err != nil {
		return nil, wire.Errorf("InvalidUserData.Base64FormatInvalid", "The specified UserData is not valid Base64.")
	}
	first, rest, _ := bytes.Cut(raw, []byte("\n"))
	if strings.TrimSpace(string(first)) != "#plinksim" {
		return nil, wire.Errorf("UnsupportedOperation", "plinksim runs no user data: begin it with a line #plinksim,"+
			" followed by what a topology file has under services, for example \"- {http: 80, body: hello}\"")
	}
	out := []value{}
	if err := yaml.Unmarshal(rest, &out); err != nil {
		return nil, wire.Errorf("InvalidParameter", "What follows #plinksim must be a list of services: %v", err)
	}
	if slices.ContainsFunc(out, func(v value) bool { return v["command"] != nil }) {
		return nil, wire.Errorf("UnsupportedOperation", "An API cannot run commands, as those run as root on the lab's"+
			" machine: put them into the topology file")
	}
	return out, nil
}

// each calls do for every instance, which all must be there.
func (c network) each(ids []string, do func(v *topology.VPC, in *topology.Instance) error) error {
	if len(ids) == 0 || len(ids) == 1 && ids[0] == "" {
		return wire.Errorf("MissingInstanceId", "InstanceId is mandatory for this action.")
	}
	for _, id := range ids {
		v, in, err := c.instance(id)
		if err == nil {
			err = do(v, in)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// deleteInstances takes instances out of their server groups and deletes them.
func (c network) deleteInstances(ids []string, force bool) error {
	var edits []topology.Edit
	err := c.each(ids, func(v *topology.VPC, in *topology.Instance) error {
		switch {
		case c.Record.Note(in.ID, "protected") != "":
			return wire.Errorf("InvalidOperation.DeletionProtection", "The instance %q is protected: set"+
				" DeletionProtection to false first.", in.ID)
		case !force && !in.Stopped:
			return wire.Errorf("IncorrectInstanceStatus", "The instance %q is running: stop it first, or set Force.", in.ID)
		}
		edits = append(edits, topology.Edit{Path: path("vpcs", v.Name, "instances", in.Name), Leave: true})
		return nil
	})
	if err == nil {
		err = c.Edit(edits...)
	}
	if err == nil {
		c.Forget(ids...)
	}
	return err
}

func (c network) switchInstances(ids []string, off bool) error {
	var edits []topology.Edit
	state := map[bool]string{true: topology.StateStopped, false: topology.StateRunning}[off]
	err := c.each(ids, func(v *topology.VPC, in *topology.Instance) error {
		if in.Stopped != off {
			edits = append(edits, topology.Edit{Path: path("vpcs", v.Name, "instances", in.Name, "state"), Value: text(state)})
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.Edit(edits...)
}

func modifyInstance(c network, in struct {
	InstanceId, InstanceName, Description string
	SecurityGroupIds                      []string
	DeletionProtection                    *bool
}) (wire.M, error) {
	vpc, i, err := c.instance(in.InstanceId)
	if err != nil {
		return nil, err
	}
	if len(in.SecurityGroupIds) > 0 {
		names, err := c.groupNames(vpc, in.SecurityGroupIds)
		if err != nil {
			return nil, err
		}
		err = c.Edit(topology.Edit{Path: path("vpcs", vpc.Name, "instances", i.Name, "security_groups"), Value: text(names)})
		if err != nil {
			return nil, err
		}
	}
	c.rename(i.ID, in.InstanceName, in.Description)
	if on := in.DeletionProtection; on != nil {
		c.Change(i.ID, func(t *cloudapi.Thing) {
			delete(t.Notes, "protected")
			if *on {
				t.Notes["protected"] = "true"
			}
		})
	}
	return nil, nil
}

func (c network) joinGroup(instance, group string, join bool) error {
	defer c.Locks.Hold("instance " + instance)()
	vpc, i, err := c.instance(instance)
	if err != nil {
		return err
	}
	names, err := c.groupNames(vpc, []string{group})
	if err != nil {
		return err
	}
	now := slices.DeleteFunc(slices.Clone(i.SecurityGroups), func(n string) bool { return n == names[0] })
	switch {
	case join && len(now) < len(i.SecurityGroups):
		return wire.Errorf("InvalidInstanceId.AlreadyExists", "The instance %q is in the security group already.", i.ID)
	case !join && len(now) == len(i.SecurityGroups):
		return notFound("InvalidSecurityGroupAssociation.NotFound", "The instance %q is not in the security group.", i.ID)
	case !join && len(now) == 0:
		return wire.Errorf("InstanceLastSecurityGroup", "The security group is the last one of the instance %q.", i.ID)
	case join:
		now = append(now, names[0])
	}
	return c.Edit(topology.Edit{Path: path("vpcs", vpc.Name, "instances", i.Name, "security_groups"), Value: text(now)})
}

// describing notes a description under a key.
func describing(key, description string) func(*cloudapi.Thing) {
	return func(t *cloudapi.Thing) {
		if description != "" {
			t.Notes[key] = fmt.Sprint(description)
		}
	}
}
