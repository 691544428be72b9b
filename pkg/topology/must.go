package topology

// A Plan refers by name: what an operation changes is a copy of one object in a
// copy of the Plan, and a name leads to the object as that copy has it, where a
// pointer would lead to what the object was. Every name in a finished Plan
// stands for something, so code that follows one asks with Must and gets no
// error. Must look-ups panic for a name that did not come from the same Plan; names that
// users write are for the look-ups without Must, which know what is near.

// MustVPC is the VPC of something in the plan.
func (p *Plan) MustVPC(name string) *VPC { return must(p.VPC(name)) }

// MustSubnet is the subnet of something in the VPC.
func (v *VPC) MustSubnet(name string) *Subnet { return must(v.Subnet(name)) }

// MustInstance is the instance of a server, or where a check runs.
func (p *Plan) MustInstance(ref string) *Instance { return must(p.Instance(ref)) }

// MustServerGroup is a server group of a listener or a rule.
func (p *Plan) MustServerGroup(name string) *ServerGroup { return must(p.ServerGroup(name)) }

// MustZone is the endpoint's presence in a zone of one of its links.
func (e *Endpoint) MustZone(zone string) *EndpointZone { return must(e.Zone(zone)) }

func must[T any](found *T, err error) *T {
	if err != nil {
		panic("topology: a plan has all that it names: " + err.Error())
	}
	return found
}

// MustLoadBalancer is the load balancer of an alb's node, for example.
func (p *Plan) MustLoadBalancer(name string) *LoadBalancer { return must(p.LoadBalancer(name)) }
