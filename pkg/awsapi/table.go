package awsapi

import (
	"fmt"
	"reflect"
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
	run     func(c *call, in any) (wire.M, error)
}

// table holds rows by service and name.
type table map[string]*row

var rows = sync.OnceValue(func() table {
	t := table{}
	for _, add := range []func(*adder){
		vpcRows, subnetRows, groupRows, instanceRows, tagRows, endpointRows, serviceRows, connectionRows,
		notificationRows, fixedRows,
	} {
		add(&adder{t, wire.Find(wire.AWS(), "ec2")})
	}
	for _, add := range []func(*adder){balancerRows, targetRows, listenerRows, ruleRows} {
		add(&adder{t, wire.Find(wire.AWS(), "elasticloadbalancing")})
	}
	identityRows(&adder{t, wire.Find(wire.AWS(), "sts")})
	return t
})

// adder adds the rows of one service.
type adder struct {
	table   table
	service *wire.Service
}

func (a *adder) add(name string, r *row) {
	r.Op = a.service.Operations[name]
	key := a.service.Name + " " + name
	if r.Op == nil || a.table[key] != nil {
		panic(fmt.Sprintf("%s is not described, or is there twice", key))
	}
	a.table[key] = r
}

// network, private and balancing are calls about VPCs and what is in them, about
// endpoints and their services, and about load balancers.
type (
	network   struct{ *call }
	private   struct{ *call }
	balancing struct{ *call }
)

// about is a call as the handler of an operation wants it.
func about[C any](c *call) (out C) {
	switch p := any(&out).(type) {
	case **call:
		*p = c
	case *network:
		p.call = c
	case *private:
		p.call = c
	case *balancing:
		p.call = c
	}
	return out
}

// op adds an operation. Its parameters are the fields of In; ignored are pairs of
// others, with why they change nothing.
func op[C *call | network | private | balancing, In any](a *adder, name string, run func(c C, in In) (wire.M, error),
	ignored ...string) {
	a.add(name, &row{Row: cloudapi.Row{Input: reflect.TypeFor[In](), Ignored: cloudapi.Pairs(ignored)},
		run: func(c *call, in any) (wire.M, error) { return run(about[C](c), *in.(*In)) }})
}

// Operations are all operations of the APIs, those that are done first.
func Operations() []Operation {
	return cloudapi.Operations(wire.AWS(), func(key string) *cloudapi.Row {
		if r := rows()[key]; r != nil {
			return &r.Row
		}
		return nil
	})
}
