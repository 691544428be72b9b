package aliapi

import (
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/wire"
)

// Ignored is a parameter that changes nothing in a lab. It stands for all below it.
type Ignored = cloudapi.Ignored

// Operation is what the documents say of an operation.
type Operation = cloudapi.Operation

// row is an operation that is done.
type row struct {
	cloudapi.Row
	listing *listing // of an operation that lists, else nil
	// anywhere: a RegionId may name any region.
	anywhere bool
	run      func(c *call, in any) (wire.M, error)
}

// product is an API with the function that adds its rows.
type product struct {
	service, title string
	rows           func(*adder)
}

func (p product) described() *wire.Service { return wire.Find(wire.Alibaba(), p.service) }

// products are those of which something is done, in the order of the documents.
var products []product

func init() {
	products = []product{
		{"privatelink", "PrivateLink", linkRows},
		{"vpc", "VPC", vpcRows},
		{"ecs", "ECS", ecsRows},
		{"slb", "SLB", slbRows},
		{"nlb", "NLB", nlbRows},
		{"alb", "ALB", albRows},
		{"sts", "STS", identityRows},
	}
}

// table holds rows by service and name.
type table map[string]*row

var rows = sync.OnceValue(func() table {
	t := table{}
	for _, p := range products {
		p.rows(&adder{t, p.described()})
	}
	return t
})

// adder adds the rows of one service.
type adder struct {
	table   table
	service *wire.Service
}

// whoseAccount are parameters of all operations of older products.
var whoseAccount = cloudapi.Pairs([]string{"OwnerId OwnerAccount ResourceOwnerId ResourceOwnerAccount",
	"the access key says whose account it is"})

func (a *adder) add(name string, r *row) *row {
	r.Op = a.service.Operations[name]
	key := a.service.Name + " " + name
	if r.Op == nil || a.table[key] != nil {
		panic(fmt.Sprintf("%s is not described, or is there twice", key))
	}
	for _, g := range whoseAccount {
		if r.Op.Input.Member(g.Parameter) != nil {
			r.Ignored = append(r.Ignored, g)
		}
	}
	a.table[key] = r
	return r
}

// link, network and balancing are calls about PrivateLink, about VPCs and what is in them,
// and about load balancers.
type (
	link      struct{ *call }
	network   struct{ *call }
	balancing struct{ *call }
)

// about is a call as the handler of an operation wants it.
func about[C any](c *call) (out C) {
	switch p := any(&out).(type) {
	case **call:
		*p = c
	case *link:
		p.call = c
	case *network:
		p.call = c
	case *balancing:
		p.call = c
	}
	return out
}

// op adds an operation. Its parameters are the fields of In; ignored are pairs of
// others, with why they change nothing.
func op[C *call | link | network | balancing, In any](a *adder, name string, run func(c C, in In) (wire.M, error),
	ignored ...string) *row {
	return a.add(name, &row{Row: cloudapi.Row{Input: reflect.TypeFor[In](), Ignored: cloudapi.Pairs(ignored)},
		run: func(c *call, in any) (wire.M, error) { return run(about[C](c), *in.(*In)) }})
}

// Operations are all operations of the APIs, those that are done first.
func Operations() []Operation {
	return cloudapi.Operations(services(), func(key string) *cloudapi.Row {
		if r := rows()[key]; r != nil {
			return &r.Row
		}
		return nil
	})
}

func services() (out []*wire.Service) {
	for _, p := range products {
		out = append(out, p.described())
	}
	return out
}

// Reference is the page of the documents on what is done of the APIs and what is not.
func Reference() string {
	var apis []cloudapi.API
	for _, p := range products {
		apis = append(apis, cloudapi.API{Service: p.service, Name: p.title + " " + p.described().Version})
	}
	return cloudapi.Reference(strings.Join([]string{
		"# What is done of the APIs of Alibaba Cloud", "",
		"Made of the table of operations by a test; `plinksim api operations --cloud alibaba` prints the same.",
		"A parameter of an operation that is neither used nor ignored is refused by its name, and one that the",
		"operation does not have is taken for nothing. RegionId is that of the lab, and OwnerId, OwnerAccount,",
		"ResourceOwnerId and ResourceOwnerAccount are ignored wherever they are parameters: the access key says",
		"whose account it is. `docs/alibaba-api.md` says how to use the APIs.", "",
	}, "\n"), apis, withoutOwners(Operations()))
}

// withoutOwners leaves out what the page says of all operations.
func withoutOwners(all []Operation) []Operation {
	for i := range all {
		var kept []Ignored
		for _, g := range all[i].Ignores {
			if !strings.HasPrefix(g.Why, whoseAccount[0].Why) {
				kept = append(kept, g)
			}
		}
		all[i].Ignores = kept
	}
	return all
}
