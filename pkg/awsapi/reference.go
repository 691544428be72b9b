package awsapi

import (
	"fmt"
	"strings"
)

// apiNames are what people call the APIs.
var apiNames = map[string]string{"ec2": "EC2", "elasticloadbalancing": "Elastic Load Balancing", "sts": "STS"}

// Reference is the page of the documents on what is done of the APIs and what is not.
func Reference() string {
	var b strings.Builder
	b.WriteString("# What is done of the API of AWS\n\n" +
		"Made of the table of operations by a test; `plinksim api operations` prints the same. A\n" +
		"parameter that is neither used nor ignored is refused by its name. `docs/aws-api.md` says how\n" +
		"to use the API.\n")
	operations := Operations()
	for _, service := range []string{"ec2", "elasticloadbalancing", "sts"} {
		fmt.Fprintf(&b, "\n## %s\n\n| operation | uses | filters |\n|---|---|---|\n", apiNames[service])
		for _, op := range operations {
			if op.Service == service && op.Done {
				fmt.Fprintf(&b, "| %s | %s | %s |\n", op.Name, strings.Join(op.Uses, ", "), strings.Join(op.Filters,
					", "))
			}
		}
		writeIgnored(&b, operations, service)
		writeRest(&b, operations, service)
	}
	return b.String()
}

func writeIgnored(b *strings.Builder, operations []Operation, service string) {
	n := 0
	for _, op := range operations {
		if op.Service == service {
			n += len(op.Ignores)
		}
	}
	if n == 0 {
		return
	}
	fmt.Fprintf(b, "\n%d parameters are ignored, because they change nothing in a lab:\n\n| operation | parameter | why |\n|---|---|---|\n", n)
	for _, op := range operations {
		if op.Service != service {
			continue
		}
		for _, g := range op.Ignores {
			fmt.Fprintf(b, "| %s | %s | %s |\n", op.Name, g.Parameter, g.Why)
		}
	}
}

func writeRest(b *strings.Builder, operations []Operation, service string) {
	var rest []string
	for _, op := range operations {
		if op.Service == service && !op.Done {
			rest = append(rest, op.Name)
		}
	}
	fmt.Fprintf(b, "\n%d operations are not done and are answered with UnsupportedOperation", len(rest))
	if len(rest) > 60 {
		b.WriteString("; `plinksim api operations --all` lists them.\n")
		return
	}
	fmt.Fprintf(b, ": %s.\n", strings.Join(rest, ", "))
}
