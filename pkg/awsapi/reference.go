package awsapi

import "github.com/plinksim/plinksim/pkg/cloudapi"

// Reference is the page of the documents on what is done of the APIs and what is not.
func Reference() string {
	return cloudapi.Reference("# What is done of the API of AWS\n\n"+
		"Made of the table of operations by a test; `plinksim api operations` prints the same. A\n"+
		"parameter that is neither used nor ignored is refused by its name. `docs/aws-api.md` says how\n"+
		"to use the API.\n", []cloudapi.API{
		{Service: "ec2", Name: "EC2"},
		{Service: "elasticloadbalancing", Name: "Elastic Load Balancing"},
		{Service: "sts", Name: "STS"},
	}, Operations())
}
