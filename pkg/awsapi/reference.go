package awsapi

import (
	"fmt"
	"strings"

	"github.com/plinksim/plinksim/pkg/cloudapi"
)

// Reference is the page of the documents on what is done of the APIs and what is not.
func Reference() string {
	return cloudapi.Reference("# What is done of the API of AWS\n\n"+
		"Made of the table of operations by a test; `plinksim api operations` prints the same. A\n"+
		"parameter that is neither used nor ignored is refused by its name. `docs/aws-api.md` says how\n"+
		"to use the API.\n", []cloudapi.API{
		{Service: "ec2", Name: "EC2"},
		{Service: "elasticloadbalancing", Name: "Elastic Load Balancing",
			More: attributesOf("load balancers", balancerAttributes) +
				attributesOf("target groups", groupAttributes) + attributesOf("listeners", listenerAttributes)},
		{Service: "sts", Name: "STS"},
	}, Operations())
}

// attributesOf is a table of attributes for the documents.
func attributesOf[T any](what string, all []attribute[T]) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n| attribute of %s | of | in a lab |\n|---|---|---|\n", what)
	for _, a := range all {
		of := "all"
		if len(a.of) > 0 {
			of = string(a.of[0])
		}
		says := "decides"
		switch {
		case a.why != "":
			says = "changes nothing: " + a.why
		case a.set == nil && a.usual == "":
			says = "cannot be set"
		case a.set == nil:
			says = fmt.Sprintf("is %s, and nothing else", a.usual)
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", a.key, of, says)
	}
	return b.String()
}
