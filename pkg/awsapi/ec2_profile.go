package awsapi

import (
	"regexp"

	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

// profileIn is an instance profile by its name or ARN. A lab has no IAM: there is one of
// every name, and its role has that name too.
type profileIn struct{ Arn, Name string }

var profileForm = regexp.MustCompile(`^arn:aws:iam::(\d{12}):instance-profile/(?:[\w+=,.@-]+/)*([\w+=,.@-]{1,128})$`)

// role is the role of a profile, "" where none is named.
func (p profileIn) role(account string) (string, error) {
	if p.Arn == "" {
		return p.Name, nil
	}
	m := profileForm.FindStringSubmatch(p.Arn)
	switch {
	case p.Name != "":
		return "", wire.Errorf("InvalidParameterCombination", "The parameter 'iamInstanceProfile.name' may not be used"+
			" in combination with 'iamInstanceProfile.arn'")
	case m == nil || m[1] != account:
		return "", wire.Errorf("InvalidParameterValue", "Value (%s) for parameter iamInstanceProfile.arn is invalid."+
			" Invalid IAM Instance Profile ARN", p.Arn)
	}
	return m[2], nil
}

// noAssociation is the code for an association of a profile that is not there.
const noAssociation = "NoSuchAssociation"

// profileRows are about the profiles of instances that are there already.
func profileRows(a *adder) {
	op(a, "AssociateIamInstanceProfile", func(c network, in struct {
		InstanceId         string
		IamInstanceProfile profileIn
	}) (wire.M, error) {
		_, instance, err := c.instance(in.InstanceId)
		if err != nil {
			return nil, err
		}
		defer c.Locks.Hold("profile " + instance.ID)()
		if c.api.roleOf(instance) != "" {
			return nil, wire.Errorf("IncorrectState", "There is an existing association for instance %s", instance.ID)
		}
		return c.setProfile(instance, in.IamInstanceProfile)
	})
	op(a, "ReplaceIamInstanceProfileAssociation", func(c network, in struct {
		AssociationId      string
		IamInstanceProfile profileIn
	}) (wire.M, error) {
		instance, err := c.associated(in.AssociationId)
		if err != nil {
			return nil, err
		}
		defer c.Locks.Hold("profile " + instance.ID)()
		return c.setProfile(instance, in.IamInstanceProfile)
	})
	op(a, "DisassociateIamInstanceProfile", func(c network, in struct{ AssociationId string }) (wire.M, error) {
		instance, err := c.associated(in.AssociationId)
		if err != nil || c.Dry {
			return nil, err
		}
		view := c.viewAssociation(instance)
		view["State"] = "disassociating"
		c.keepProfile(instance, "")
		return wire.M{"IamInstanceProfileAssociation": view}, nil
	})
	list(a, listing{name: "DescribeIamInstanceProfileAssociations", answer: "IamInstanceProfileAssociations",
		ids: "AssociationIds", id: "AssociationId", missing: noAssociation,
		text:    "An invalid association-id of '%s' was given",
		filters: map[string]string{"instance-id": "InstanceId", "state": "State"},
		all: func(base *call) ([]wire.M, error) {
			c := network{base}
			out := []wire.M{}
			for _, v := range c.OwnVPCs() {
				for i := range v.Instances {
					if c.api.roleOf(&v.Instances[i]) != "" {
						out = append(out, c.viewAssociation(&v.Instances[i]))
					}
				}
			}
			return out, nil
		}})
}

func (c network) associationID(in *topology.Instance) string {
	return c.Plan.NewID("iip-assoc", in.Ref()+" "+c.api.roleOf(in))
}

// associated is the instance of an association.
func (c network) associated(id string) (*topology.Instance, error) {
	for _, v := range c.OwnVPCs() {
		for i := range v.Instances {
			if in := &v.Instances[i]; c.api.roleOf(in) != "" && c.associationID(in) == id {
				return in, nil
			}
		}
	}
	return nil, wire.Errorf(noAssociation, "An invalid association-id of '%s' was given", id)
}

// setProfile gives an instance a profile. The instance gets the keys of its role when it
// asks for keys again.
func (c network) setProfile(in *topology.Instance, profile profileIn) (wire.M, error) {
	role, err := profile.role(c.Account.ID)
	if err == nil && role == "" {
		err = wire.Errorf("MissingParameter", "The request must contain the parameter IamInstanceProfile")
	}
	if err != nil || c.Dry {
		return nil, err
	}
	c.keepProfile(in, role)
	return wire.M{"IamInstanceProfileAssociation": c.viewAssociation(in)}, nil
}

func (c network) keepProfile(in *topology.Instance, role string) {
	c.Change(in.ID, func(t *cloudapi.Thing) { t.Notes[profileNote] = role })
}

func (c network) viewAssociation(in *topology.Instance) wire.M {
	role := c.api.roleOf(in)
	return wire.M{"AssociationId": c.associationID(in), "InstanceId": in.ID, "State": "associated",
		"IamInstanceProfile": wire.M{"Arn": profileARN(c.Account, role), "Id": profileID(c.Account, role)}}
}

// modifyMetadataOptions changes how an instance may be asked; the next request of it meets
// the new ones.
func modifyMetadataOptions(c network, in struct {
	InstanceId, HttpTokens, HttpEndpoint, InstanceMetadataTags string
	HttpPutResponseHopLimit                                    int
}) (wire.M, error) {
	_, instance, err := c.instance(in.InstanceId)
	if err != nil {
		return nil, err
	}
	defer c.Locks.Hold("metadata " + instance.ID)()
	options, err := c.api.optionsOf(instance.ID).with(metadataOptions{HttpTokens: in.HttpTokens,
		HttpEndpoint: in.HttpEndpoint, InstanceMetadataTags: in.InstanceMetadataTags,
		HttpPutResponseHopLimit: in.HttpPutResponseHopLimit})
	if err != nil || c.Dry {
		return nil, err
	}
	c.Change(instance.ID, func(t *cloudapi.Thing) { t.Notes["metadata"] = options.text() })
	if !c.api.inVPCs.Load() {
		c.Note("instances have metadata where the lab is up with --api-in-vpcs")
	}
	return wire.M{"InstanceId": instance.ID, "InstanceMetadataOptions": options.view()}, nil
}
