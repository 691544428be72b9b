package awsapi

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"maps"
	"net/netip"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

const (
	noHardware = "a lab's instances are namespaces and have no hardware"
	noDisks    = "a lab's instances have no disks of their own"
)

func instanceRows(a *adder) {
	op(a, "RunInstances", runInstances,
		"BlockDeviceMappings EbsOptimized", noDisks,
		"CpuOptions CreditSpecification EnclaveOptions HibernationOptions KernelId RamdiskId MaintenanceOptions"+
			" InstanceMarketOptions CapacityReservationSpecification Placement.Tenancy Placement.GroupName"+
			" Placement.Affinity Placement.HostId Placement.PartitionNumber",
		noHardware,
		"Monitoring", "a lab's counters are metrics at any time",
		"MetadataOptions.HttpProtocolIpv6", "instances of a lab have their metadata at 169.254.169.254 alone",
		"PrivateDnsNameOptions", "an instance has one name in a lab",
		"NetworkInterfaces.DeleteOnTermination NetworkInterfaces.InterfaceType", "an interface ends with its instance",
		"NetworkInterfaces.AssociatePublicIpAddress", "a lab has no public addresses",
		"NetworkInterfaces.Description", "the interface of an instance has no description in a lab",
		"InstanceInitiatedShutdownBehavior", "an instance of a lab does not shut itself down",
		"DisableApiStop", "stopping is not protected in a lab")
	op(a, "TerminateInstances", terminateInstances, "Force SkipOsShutdown", "an instance of a lab ends at once")
	op(a, "StopInstances", func(c network, in struct{ InstanceIds []string }) (wire.M, error) {
		return switchInstances(c, in.InstanceIds, true)
	}, "Force SkipOsShutdown Hibernate", "an instance of a lab stops at once")
	op(a, "StartInstances", func(c network, in struct{ InstanceIds []string }) (wire.M, error) {
		return switchInstances(c, in.InstanceIds, false)
	})
	op(a, "ModifyInstanceAttribute", modifyInstanceAttribute,
		"InstanceInitiatedShutdownBehavior", "an instance of a lab does not shut itself down",
		"EbsOptimized BlockDeviceMappings", noDisks, "DisableApiStop", "stopping is not protected in a lab")
	op(a, "DescribeInstanceAttribute", describeInstanceAttribute)
	op(a, "ModifyInstanceMetadataOptions", modifyMetadataOptions, "HttpProtocolIpv6",
		"instances of a lab have their metadata at 169.254.169.254 alone")
	profileRows(a)
	list(a, listing{name: "DescribeInstances", answer: "Reservations", ids: "InstanceIds", id: "Instances.InstanceId",
		missing: "InvalidInstanceID.NotFound", text: "The instance ID '%s' does not exist",
		filters: map[string]string{
			"instance-id": "Instances.InstanceId", "vpc-id": "Instances.VpcId", "subnet-id": "Instances.SubnetId",
			"instance-state-name": "Instances.State.Name", "instance-state-code": "Instances.State.Code",
			"private-ip-address": "Instances.PrivateIpAddress", "image-id": "Instances.ImageId",
			"instance-type": "Instances.InstanceType", "availability-zone": "Instances.Placement.AvailabilityZone",
			"key-name": "Instances.KeyName", "private-dns-name": "Instances.PrivateDnsName",
			"instance.group-id":   "Instances.SecurityGroups.GroupId",
			"instance.group-name": "Instances.SecurityGroups.GroupName", "owner-id": "OwnerId",
			"reservation-id": "ReservationId", "architecture": "Instances.Architecture",
			"tenancy":      "Instances.Placement.Tenancy",
			"client-token": "Instances.ClientToken", "root-device-type": "Instances.RootDeviceType",
			"network-interface.network-interface-id":         "Instances.NetworkInterfaces.NetworkInterfaceId",
			"network-interface.subnet-id":                    "Instances.NetworkInterfaces.SubnetId",
			"network-interface.vpc-id":                       "Instances.NetworkInterfaces.VpcId",
			"network-interface.group-id":                     "Instances.NetworkInterfaces.Groups.GroupId",
			"network-interface.addresses.private-ip-address": "Instances.NetworkInterfaces.PrivateIpAddress",
		},
		tagged: "Instances",
		all: func(base *call) (out []wire.M, _ error) {
			c := network{base}
			for _, v := range c.OwnVPCs() {
				for i := range v.Instances {
					out = append(out, c.viewReservation(v, &v.Instances[i]))
				}
			}
			return out, nil
		},
		shelved: true,
		late:    func(c *call) []wire.M { return c.api.gone.of(c.Account.Name, c.Now()) }})
	list(a, listing{name: "DescribeInstanceStatus", answer: "InstanceStatuses", ids: "InstanceIds", id: "InstanceId",
		missing: "InvalidInstanceID.NotFound", text: "The instance ID '%s' does not exist",
		filters: map[string]string{
			"instance-state-name": "InstanceState.Name", "instance-state-code": "InstanceState.Code",
			"availability-zone": "AvailabilityZone", "instance-status.status": "InstanceStatus.Status",
			"system-status.status": "SystemStatus.Status",
		},
		also: []string{"IncludeAllInstances"},
		all: func(base *call) (out []wire.M, _ error) {
			c := network{base}
			everything, _ := c.Values["IncludeAllInstances"].(bool)
			for _, v := range c.OwnVPCs() {
				for i := range v.Instances {
					in := &v.Instances[i]
					state := c.instanceState(in)
					if !everything && state["Name"] != "running" {
						continue
					}
					health := wire.M{"Status": "ok", "Details": []wire.M{{"Name": "reachability", "Status": "passed"}}}
					out = append(out, wire.M{"InstanceId": in.ID, "AvailabilityZone": in.Zone, "InstanceState": state,
						"InstanceStatus": health, "SystemStatus": health})
				}
			}
			return out, nil
		}})
}

// image is a disk image that a lab knows: what answers on its instances.
type image struct {
	id, name, description string
	services              func(body string) []value
}

// images are those of a lab. An instance of any other has no services.
var images = []image{
	{"ami-0plinksimhttp0000", "plinksim-http", "a web server on port 80 that answers with the instance's Name",
		func(body string) []value { return []value{{"http": 80, "body": body}} }},
	{"ami-0plinksimecho0000", "plinksim-echo", "TCP and UDP port 7 send back what they receive",
		func(string) []value { return []value{{"echo": 7}} }},
	{"ami-0plinksimtcp00000", "plinksim-tcp", "TCP port 9000 answers every connection with the instance's Name",
		func(body string) []value { return []value{{"tcp": 9000, "body": body}} }},
	{"ami-0plinksimempty000", "plinksim-empty", "nothing answers", func(string) []value { return []value{} }},
}

func imageOf(id string) *image {
	i := slices.IndexFunc(images, func(m image) bool { return m.id == id })
	if i < 0 {
		return nil
	}
	return &images[i]
}

type interfaceIn struct {
	DeviceIndex        int
	SubnetId           string
	Groups             []string
	PrivateIpAddress   string
	PrivateIpAddresses []struct {
		PrivateIpAddress string
		Primary          bool
	}
}

type runInstancesIn struct {
	ImageId, InstanceType, KeyName string
	MinCount, MaxCount             int
	SubnetId, PrivateIpAddress     string
	SecurityGroupIds               []string
	NetworkInterfaces              []interfaceIn
	Ipv6Addresses                  []struct{ Ipv6Address string }
	Placement                      struct{ AvailabilityZone string }
	UserData                       string
	DisableApiTermination          bool
	IamInstanceProfile             profileIn
	MetadataOptions                metadataOptions
	TagSpecifications              []tagSpecification
}

// mostInstances is how many instances a call may make.
const mostInstances = 100

func runInstances(c network, in runInstancesIn) (wire.M, error) {
	if err := in.oneInterface(); err != nil {
		return nil, err
	}
	if in.MinCount < 1 || in.MaxCount < in.MinCount || in.MaxCount > mostInstances {
		return nil, wire.Errorf("InvalidParameterValue",
			"MinCount and MaxCount must be from 1 to %d, and MaxCount not the"+
				" smaller one", mostInstances)
	}
	if in.ImageId == "" {
		return nil, wire.Errorf("MissingParameter", "The request must contain the parameter ImageId")
	}
	if in.SubnetId == "" {
		return nil, wire.Errorf("VPCIdNotSpecified", "No default VPC for this user: name a subnet")
	}
	vpc, subnet, err := c.subnet(in.SubnetId)
	if err != nil {
		return nil, err
	}
	if zone := in.Placement.AvailabilityZone; zone != "" && zone != subnet.Zone {
		return nil, wire.Errorf("InvalidParameterValue", "The subnet %s is in availability zone %s, not %s", subnet.ID,
			subnet.Zone, zone)
	}
	groups, err := c.groupNames(vpc, in.SecurityGroupIds)
	if err != nil {
		return nil, err
	}
	if err := in.checkAddresses(c, subnet); err != nil {
		return nil, err
	}
	tags, err := tagsFor(in.TagSpecifications, "instance", "volume", "network-interface")
	if err != nil {
		return nil, err
	}
	volumeTags, err := tagsFor(in.TagSpecifications, "volume", "instance", "network-interface")
	if err != nil {
		return nil, err
	}
	interfaceTags, err := tagsFor(in.TagSpecifications, "network-interface", "instance", "volume")
	if err != nil {
		return nil, err
	}
	services, script, err := in.services(c.call)
	if err != nil {
		return nil, err
	}
	role, err := in.IamInstanceProfile.role(c.Account.ID)
	if err != nil {
		return nil, err
	}
	options, err := usualOptions.with(in.MetadataOptions)
	if err != nil {
		return nil, err
	}
	if imageOf(in.ImageId) == nil && services == nil {
		c.Note("plinksim has no image %s: nothing answers on the instance", in.ImageId)
	}
	if (role != "" || in.MetadataOptions != metadataOptions{}) && !c.api.inVPCs.Load() {
		c.Note("programs on the instance get neither metadata nor keys: \"plinksim up --api-in-vpcs\" gives them both")
	}
	var ids []string
	var edits []topology.Edit
	for range in.MaxCount {
		id := c.NewID("i")
		ids = append(ids, id)
		v := withTags(value{"subnet": subnet.Name}, tags)
		if in.PrivateIpAddress != "" {
			v["ip"] = in.PrivateIpAddress
		}
		if len(in.Ipv6Addresses) == 1 {
			v["ipv6"] = in.Ipv6Addresses[0].Ipv6Address
		}
		if len(groups) > 0 {
			v["security_groups"] = groups
		}
		image := imageOf(in.ImageId)
		own := services
		if own == nil && image != nil {
			own = image.services(cmp.Or(tags["Name"], id))
		}
		if own = append(own, script...); own != nil {
			v["services"] = own
		}
		edits = append(edits, topology.Edit{Path: topology.JoinPath("vpcs", vpc.Name, "instances", id), Value: text(v),
			New: true})
	}
	if err := c.Edit(edits...); err != nil {
		return nil, conflictOf(err, map[topology.Refusal]string{topology.Quota: "InstanceLimitExceeded"}, "")
	}
	notes := map[string]string{
		"image": in.ImageId, "type": cmp.Or(in.InstanceType, "m1.small"), "key": in.KeyName, "userdata": in.UserData,
		"reservation": c.NewID("r"), "protected": boolText(in.DisableApiTermination),
		"token":     fmt.Sprint(cmp.Or(c.Values["ClientToken"], any(""))),
		profileNote: role, "metadata": options.text(),
	}
	views := []wire.M{}
	for _, id := range ids {
		c.Created(id, nil, notes)
		vpc, instance, err := c.instance(id)
		if err != nil {
			return nil, err
		}
		if len(volumeTags) > 0 {
			c.Created(c.volumeID(instance), volumeTags, nil)
		}
		if len(interfaceTags) > 0 {
			c.Created(instanceENI(c.Plan, instance), interfaceTags, nil)
		}
		views = append(views, c.viewInstance(vpc, instance))
	}
	return wire.M{"ReservationId": notes["reservation"], "OwnerId": c.Account.ID, "Groups": []wire.M{},
		"Instances": views}, nil
}

func boolText(b bool) string {
	if b {
		return "true"
	}
	return ""
}

// oneInterface takes the values of a network interface as those of the instance.
func (in *runInstancesIn) oneInterface() error {
	if len(in.NetworkInterfaces) == 0 {
		return nil
	}
	n := in.NetworkInterfaces[0]
	switch {
	case len(in.NetworkInterfaces) > 1 || n.DeviceIndex != 0:
		return wire.Errorf("UnsupportedOperation", "An instance of a lab has one network interface")
	case in.SubnetId != "" || len(in.SecurityGroupIds) > 0 || in.PrivateIpAddress != "":
		return wire.Errorf("InvalidParameterCombination",
			"Network interfaces and an instance-level subnet ID, groups or address may not be specified on the same request")
	}
	in.SubnetId, in.SecurityGroupIds, in.PrivateIpAddress = n.SubnetId, n.Groups, n.PrivateIpAddress
	for _, a := range n.PrivateIpAddresses {
		if !a.Primary || in.PrivateIpAddress != "" {
			return wire.Errorf("UnsupportedOperation", "An instance of a lab has one IPv4 address")
		}
		in.PrivateIpAddress = a.PrivateIpAddress
	}
	return nil
}

func (in *runInstancesIn) checkAddresses(c network, subnet *topology.Subnet) error {
	if len(in.Ipv6Addresses) > 1 || len(in.Ipv6Addresses) == 1 && in.MaxCount > 1 {
		return wire.Errorf("InvalidParameterCombination", "An instance of a lab has one IPv6 address")
	}
	if in.PrivateIpAddress == "" {
		return nil
	}
	ip, err := netip.ParseAddr(in.PrivateIpAddress)
	switch {
	case err != nil:
		return wire.Errorf("InvalidParameterValue",
			"Value (%s) for parameter privateIpAddress is invalid. Invalid IPv4 address",
			in.PrivateIpAddress)
	case in.MaxCount > 1:
		return wire.Errorf("InvalidParameterCombination",
			"The parameter PrivateIpAddress cannot be used with several instances")
	case !subnet.CIDR.Contains(ip):
		return wire.Errorf("InvalidParameterValue", "Address %s does not fall within the subnet's address range", ip)
	}
	for _, e := range c.enis() {
		if e.subnet.ID == subnet.ID && e.ip == ip {
			return wire.Errorf("InvalidIPAddress.InUse", "Address %s is in use.", ip)
		}
	}
	return nil
}

// services are those of user data: what follows #plinksim is what a topology file has
// under services, and takes the place of the image's; a script is a command beside those.
// Nil where user data says nothing of them.
func (in *runInstancesIn) services(c *call) (services, script []value, _ error) {
	if in.UserData == "" {
		return nil, nil, nil
	}
	raw, err := base64.StdEncoding.DecodeString(in.UserData)
	if err != nil {
		return nil, nil, wire.Errorf("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.")
	}
	first, rest, _ := bytes.Cut(raw, []byte("\n"))
	if bytes.HasPrefix(first, []byte("#!")) {
		script, err := scriptServices(c, string(first[len("#!"):]), string(raw))
		return nil, script, err
	}
	if strings.TrimSpace(string(first)) != "#plinksim" {
		return nil, nil, wire.Errorf("UnsupportedOperation", "plinksim knows user data of two kinds: scripts, which begin with"+
			" #!, and a line #plinksim, followed by what a topology file has under services, for example"+
			" \"- {http: 80, body: hello}\"")
	}
	out := []value{}
	if err := yaml.Unmarshal(rest, &out); err != nil {
		return nil, nil, wire.Errorf("InvalidUserData.Malformed", "What follows #plinksim must be a list of services: %v",
			err)
	}
	for _, s := range out {
		if s["command"] != nil && !c.api.scripts.Load() {
			return nil, nil, wire.Errorf("UnsupportedOperation",
				"Commands run as root on the lab's machine: put them into the topology file, or let clients of the API"+
					" run them with \"plinksim up --api-exec\"")
		}
	}
	return out, nil, nil
}

// RunScripts says whether the user data that clients give instances is run. Whoever has
// a key of the lab is root on the lab's machine then.
func (s *Server) RunScripts(on bool) { s.scripts.Store(on) }

// programText are the options by which interpreters take a program's text.
var programText = map[string]string{
	"sh": "-c", "ash": "-c", "bash": "-c", "dash": "-c", "ksh": "-c", "zsh": "-c",
	"python": "-c", "python3": "-c", "perl": "-e", "ruby": "-e", "node": "-e",
}

// scriptServices are the command that runs a script, as its first line says: by an
// interpreter, which env may look up. The text is in the topology, so that the lab can be
// exported, and it runs whenever the instance starts.
func scriptServices(c *call, first, script string) ([]value, error) {
	if !c.api.scripts.Load() {
		c.Note("the script in the user data is not run: \"plinksim up --api-exec\" lets clients of the API run some")
		return nil, nil
	}
	argv := strings.Fields(first)
	if len(argv) > 1 && path.Base(argv[0]) == "env" {
		argv = argv[1:]
	}
	option := ""
	if len(argv) > 0 {
		option = programText[path.Base(argv[0])]
	}
	if option == "" {
		return nil, wire.Errorf("UnsupportedOperation", "plinksim runs user data of the interpreters %s, not of \"%s\"",
			strings.Join(slices.Sorted(maps.Keys(programText)), ", "), strings.TrimSpace(first))
	}
	return []value{{"command": append(argv, option, script)}}, nil
}

func (c network) instanceState(in *topology.Instance) wire.M {
	switch {
	case in.Stopped:
		return wire.M{"Code": 80, "Name": "stopped"}
	case c.OnTheWay(in.ID):
		return wire.M{"Code": 0, "Name": "pending"}
	}
	return wire.M{"Code": 16, "Name": "running"}
}

func (c network) viewReservation(v *topology.VPC, in *topology.Instance) wire.M {
	id := c.Record.Note(in.ID, "reservation")
	if id == "" {
		id = c.Plan.NewID("r", in.Ref())
	}
	return wire.M{"ReservationId": id, "OwnerId": c.Account.ID, "Groups": []wire.M{},
		"Instances": []wire.M{c.viewInstance(v, in)}}
}

func (c network) viewInstance(v *topology.VPC, in *topology.Instance) wire.M {
	t := c.Record.Thing(in.ID)
	launched := c.CreatedAt(in.ID)
	image := t.Notes["image"]
	if image == "" {
		image = "ami-0plinksimempty000"
		if len(in.Services) > 0 && in.Services[0].Kind == topology.HTTPService {
			image = "ami-0plinksimhttp0000"
		}
	}
	subnet, err := v.Subnet(in.Subnet)
	if err != nil {
		return nil
	}
	groups := c.identifiers(v, in.SecurityGroups)
	name := topology.IPName(in.IP, c.Plan.InstanceDomain())
	addresses := []wire.M{{"PrivateIpAddress": in.IP, "Primary": true, "PrivateDnsName": name}}
	m := wire.M{
		"InstanceId": in.ID, "ImageId": image, "State": c.instanceState(in), "PrivateDnsName": name,
		"PublicDnsName": "",
		"InstanceType":  cmp.Or(t.Notes["type"], "t3.micro"), "LaunchTime": launched, "AmiLaunchIndex": 0,
		"Placement":  wire.M{"AvailabilityZone": in.Zone, "Tenancy": "default", "GroupName": ""},
		"Monitoring": wire.M{"State": "disabled"}, "SubnetId": subnet.ID, "VpcId": v.ID, "PrivateIpAddress": in.IP,
		"Architecture": "x86_64", "RootDeviceType": "ebs", "RootDeviceName": rootDevice,
		"BlockDeviceMappings": []wire.M{{"DeviceName": rootDevice, "Ebs": wire.M{"VolumeId": c.volumeID(in),
			"Status": "attached", "AttachTime": launched, "DeleteOnTermination": true}}},
		"VirtualizationType": "hvm", "Hypervisor": "xen", "EbsOptimized": false, "EnaSupport": true,
		"SecurityGroups": groups, "SourceDestCheck": in.SourceCheck, "Tags": tagsWith(in.Tags, in.ID, in.Name),
		"ClientToken": t.Notes["token"], "ProductCodes": []wire.M{},
		"MetadataOptions": c.api.optionsOf(in.ID).view(),
		"CpuOptions":      wire.M{"CoreCount": 1, "ThreadsPerCore": 1},
		"EnclaveOptions":  wire.M{"Enabled": false}, "HibernationOptions": wire.M{"Configured": false},
		"MaintenanceOptions":               wire.M{"AutoRecovery": "default"},
		"CapacityReservationSpecification": wire.M{"CapacityReservationPreference": "open"},
		"PrivateDnsNameOptions": wire.M{"HostnameType": "ip-name", "EnableResourceNameDnsARecord": false,
			"EnableResourceNameDnsAAAARecord": false},
		"CurrentInstanceBootMode":  "legacy-bios",
		"PlatformDetails":          "Linux/UNIX",
		"UsageOperation":           "RunInstances",
		"UsageOperationUpdateTime": launched,
		"NetworkInterfaces": []wire.M{{
			"NetworkInterfaceId": instanceENI(c.Plan, in), "SubnetId": subnet.ID, "VpcId": v.ID,
			"OwnerId": c.Account.ID,
			"Status":  "in-use", "MacAddress": in.MAC, "PrivateIpAddress": in.IP, "PrivateDnsName": name,
			"SourceDestCheck": in.SourceCheck, "Groups": groups, "InterfaceType": "interface", "Description": "",
			"PrivateIpAddresses": addresses, "Ipv6Addresses": ipv6Addresses(in.IPv6),
			"Attachment": wire.M{"AttachmentId": c.Plan.NewID("eni-attach", in.Ref()), "DeviceIndex": 0,
				"Status": "attached", "AttachTime": launched, "DeleteOnTermination": true, "NetworkCardIndex": 0},
		}},
	}
	if key := t.Notes["key"]; key != "" {
		m["KeyName"] = key
	}
	if role := c.api.roleOf(in); role != "" {
		m["IamInstanceProfile"] = wire.M{"Arn": profileARN(c.Account, role), "Id": profileID(c.Account, role)}
	}
	if in.IPv6.IsValid() {
		m["Ipv6Address"] = in.IPv6
	}
	return m
}

const rootDevice = "/dev/xvda"

func (c *call) volumeID(in *topology.Instance) string { return c.Plan.NewID("vol", in.Ref()) }

func ipv6Addresses(ip netip.Addr) []wire.M {
	if !ip.IsValid() {
		return []wire.M{}
	}
	return []wire.M{{"Ipv6Address": ip, "IsPrimaryIpv6": false}}
}

// tombstones are instances that were terminated: clients see them for a minute, as
// they ask until they are terminated.
type tombstones struct {
	mu   sync.Mutex
	list []tombstone
}

type tombstone struct {
	account string
	until   time.Time
	view    wire.M
}

const tombstoneLifetime = time.Minute

func (t *tombstones) add(account string, now time.Time, reservation wire.M) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = append(t.list, tombstone{account, now.Add(tombstoneLifetime), reservation})
}

func (t *tombstones) of(account string, now time.Time) (out []wire.M) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = slices.DeleteFunc(t.list, func(one tombstone) bool { return now.After(one.until) })
	for _, one := range t.list {
		if one.account == account {
			out = append(out, one.view)
		}
	}
	return out
}

// allInstances finds instances, or says which is not there.
func (c network) allInstances(ids []string) (vpcs []*topology.VPC, instances []*topology.Instance, _ error) {
	for _, id := range ids {
		vpc, in, err := c.instance(id)
		if err != nil {
			return nil, nil, err
		}
		vpcs, instances = append(vpcs, vpc), append(instances, in)
	}
	return vpcs, instances, nil
}

func terminateInstances(c network, in struct{ InstanceIds []string }) (wire.M, error) {
	var there []string
	views := []wire.M{}
	dead := c.api.gone.of(c.Account.Name, c.Now())
	for _, id := range in.InstanceIds {
		if slices.ContainsFunc(dead, func(m wire.M) bool {
			return slices.Contains(texts(m, "Instances.InstanceId"),
				id)
		}) {
			terminated := wire.M{"Code": 48, "Name": "terminated"}
			views = append(views, wire.M{"InstanceId": id, "CurrentState": terminated, "PreviousState": terminated})
			continue
		}
		there = append(there, id)
	}
	vpcs, instances, err := c.allInstances(there)
	if err != nil {
		return nil, err
	}
	var edits []topology.Edit
	var graves []wire.M
	for i, instance := range instances {
		if c.Record.Note(instance.ID, "protected") != "" {
			return nil, wire.Errorf("OperationNotPermitted", "The instance '%s' may not be terminated. Modify its"+
				" 'disableApiTermination' instance attribute and try again.", instance.ID)
		}
		edits = append(edits, c.withoutTargets(vpcs[i], instance)...)
		edits = append(edits, topology.Edit{Path: topology.JoinPath("vpcs", vpcs[i].Name, "instances", instance.Name)})
		grave := c.viewReservation(vpcs[i], instance)
		for _, m := range grave["Instances"].([]wire.M) {
			m["State"] = wire.M{"Code": 48, "Name": "terminated"}
			m["NetworkInterfaces"], m["SecurityGroups"], m["BlockDeviceMappings"] = []wire.M{}, []wire.M{}, []wire.M{}
			delete(m, "SubnetId")
			delete(m, "VpcId")
			delete(m, "PrivateIpAddress")
		}
		graves = append(graves, grave)
		views = append(views, wire.M{"InstanceId": instance.ID, "PreviousState": c.instanceState(instance),
			"CurrentState": wire.M{"Code": 32, "Name": "shutting-down"}})
	}
	if err := c.Edit(edits...); err != nil {
		return nil, err
	}
	for _, grave := range graves {
		c.api.gone.add(c.Account.Name, c.Now(), grave)
	}
	c.Forget(there...)
	return wire.M{"TerminatingInstances": views}, nil
}

// withoutTargets are edits that take an instance out of server groups of the file, as
// AWS deregisters a terminated instance. What operations registered leaves by itself.
func (c network) withoutTargets(vpc *topology.VPC, in *topology.Instance) (edits []topology.Edit) {
	file := c.Lab.Plan()
	for i := range file.ServerGroups {
		g := &file.ServerGroups[i]
		var kept []value
		for _, s := range g.Servers {
			if s.Instance != in.Ref() {
				kept = append(kept, serverValue(g, s))
			}
		}
		if len(kept) < len(g.Servers) {
			edits = append(edits, topology.Edit{Path: topology.JoinPath("server_groups", g.Name, "servers"),
				Value: text(append([]value{}, kept...))})
		}
	}
	return edits
}

// serverValue is a server as a topology file has it.
func serverValue(g *topology.ServerGroup, s topology.Server) value {
	v := value{"port": s.Port, "weight": s.Weight}
	switch {
	case s.Balancer != "":
		v["load_balancer"] = s.Balancer
	case s.Instance != "":
		v["instance"] = strings.TrimPrefix(s.Instance, g.VPC+"/")
	default:
		v["ip"] = s.IP.String()
	}
	return v
}

// switchInstances stops or starts instances. Those that are in that state already stay.
func switchInstances(c network, ids []string, off bool) (wire.M, error) {
	vpcs, instances, err := c.allInstances(ids)
	if err != nil {
		return nil, err
	}
	var edits []topology.Edit
	views := []wire.M{}
	for i, in := range instances {
		state, now := topology.StateRunning, wire.M{"Code": 0, "Name": "pending"}
		if off {
			state, now = topology.StateStopped, wire.M{"Code": 64, "Name": "stopping"}
		}
		if in.Stopped == off {
			now = c.instanceState(in)
		} else {
			path := topology.JoinPath("vpcs", vpcs[i].Name, "instances", in.Name, "state")
			edits = append(edits, topology.Edit{Path: path, Value: text(state)})
		}
		views = append(views, wire.M{"InstanceId": in.ID, "PreviousState": c.instanceState(in), "CurrentState": now})
	}
	if err := c.Edit(edits...); err != nil {
		return nil, err
	}
	if off {
		return wire.M{"StoppingInstances": views}, nil
	}
	return wire.M{"StartingInstances": views}, nil
}

func modifyInstanceAttribute(c network, in struct {
	InstanceId                             string
	Groups                                 []string
	SourceDestCheck, DisableApiTermination *boolean
	InstanceType                           *struct{ Value string }
}) (wire.M, error) {
	vpc, instance, err := c.instance(in.InstanceId)
	if err != nil {
		return nil, err
	}
	path := []string{"vpcs", vpc.Name, "instances", instance.Name}
	var edits []topology.Edit
	if len(in.Groups) > 0 {
		names, err := c.groupNames(vpc, in.Groups)
		if err != nil {
			return nil, err
		}
		edits = append(edits, topology.Edit{Path: topology.JoinPath(append(path, "security_groups")...),
			Value: text(names)})
	}
	if in.SourceDestCheck != nil {
		edits = append(edits, topology.Edit{Path: topology.JoinPath(append(path, "source_dest_check")...),
			Value: text(in.SourceDestCheck.Value)})
	}
	if in.InstanceType != nil && !instance.Stopped {
		return nil, wire.Errorf("IncorrectInstanceState", "The instance '%s' is not in the 'stopped' state.", instance.ID)
	}
	if c.Dry && len(edits) == 0 {
		return nil, errDryRun
	}
	if err := c.Edit(edits...); err != nil {
		return nil, err
	}
	if t := in.InstanceType; t != nil {
		c.Change(instance.ID, func(noted *cloudapi.Thing) { noted.Notes["type"] = t.Value })
	}
	if b := in.DisableApiTermination; b != nil {
		c.Change(instance.ID, func(t *cloudapi.Thing) { t.Notes["protected"] = boolText(b.Value) })
	}
	return nil, nil
}

func describeInstanceAttribute(c network, in struct{ InstanceId, Attribute string }) (wire.M, error) {
	vpc, instance, err := c.instance(in.InstanceId)
	if err != nil {
		return nil, err
	}
	t := c.Record.Thing(instance.ID)
	m := wire.M{"InstanceId": instance.ID}
	attributes := map[string]func(){
		"instanceType": func() {
			m["InstanceType"] = wire.M{"Value": cmp.Or(t.Notes["type"],
				"t3.micro")}
		},
		"userData":                          func() { m["UserData"] = given(t.Notes["userdata"]) },
		"disableApiTermination":             func() { m["DisableApiTermination"] = wire.M{"Value": t.Notes["protected"] != ""} },
		"disableApiStop":                    func() { m["DisableApiStop"] = wire.M{"Value": false} },
		"instanceInitiatedShutdownBehavior": func() { m["InstanceInitiatedShutdownBehavior"] = wire.M{"Value": "stop"} },
		"sourceDestCheck":                   func() { m["SourceDestCheck"] = wire.M{"Value": instance.SourceCheck} },
		"groupSet":                          func() { m["Groups"] = c.identifiers(vpc, instance.SecurityGroups) },
		"rootDeviceName":                    func() { m["RootDeviceName"] = wire.M{"Value": rootDevice} },
		"ebsOptimized":                      func() { m["EbsOptimized"] = wire.M{"Value": false} },
		"enaSupport":                        func() { m["EnaSupport"] = wire.M{"Value": true} },
		"enclaveOptions":                    func() { m["EnclaveOptions"] = wire.M{"Enabled": false} },
		"sriovNetSupport":                   func() { m["SriovNetSupport"] = wire.M{} },
		"kernel":                            func() { m["KernelId"] = wire.M{} },
		"ramdisk":                           func() { m["RamdiskId"] = wire.M{} },
		"productCodes":                      func() { m["ProductCodes"] = []wire.M{} },
		"blockDeviceMapping": func() {
			m["BlockDeviceMappings"] = c.viewInstance(vpc, instance)["BlockDeviceMappings"]
		},
	}
	attributes[in.Attribute]()
	return m, nil
}

// given is a value in a structure of its own, which is empty where there is none.
func given(text string) wire.M {
	if text == "" {
		return wire.M{}
	}
	return wire.M{"Value": text}
}
