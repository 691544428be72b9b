package awsapi

import (
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

// call is one request on its way.
type call struct {
	*cloudapi.Call
	api *Server
}

// errDryRun ends a call that would have been done.
var errDryRun = cloudapi.ErrDryRun

// find is the row of the operation that is asked for, and refuses what there is not.
func (c *call) find(form url.Values) (*row, *wire.Error) {
	if c.Service == nil {
		return nil, wire.Errorf("NoSuchVersion",
			"The API has no version %q: EC2 has 2016-11-15, Elastic Load Balancing"+
				" 2015-12-01 and STS 2011-06-15", form.Get("Version"))
	}
	if row := rows()[c.Service.Name+" "+c.Action]; row != nil {
		return row, nil
	}
	if c.Service.Operations[c.Action] != nil || slices.Contains(c.Service.Others, c.Action) {
		return nil, wire.Errorf("UnsupportedOperation", "plinksim does not do %s: see \"plinksim api operations\"",
			c.Action)
	}
	return nil, wire.Errorf("InvalidAction", "The action %s is not valid for this web service.", c.Action)
}

// run does what a row says, once for each client token.
func (c *call) run(row *row, form url.Values) ([]byte, *wire.Error) {
	var refused *wire.Error
	if c.Values, refused = wire.Decode(row.Op, form); refused != nil {
		return nil, refused
	}
	c.Dry, _ = c.Values["DryRun"].(bool)
	clientToken, _ := c.Values["ClientToken"].(string)
	rest := wire.Values{}
	for name, value := range c.Values {
		if name != "DryRun" && name != "ClientToken" {
			rest[name] = value
		}
	}
	return c.ByToken(clientToken, rest, func() ([]byte, *wire.Error) { return c.do(row, rest) })
}

func (c *call) do(row *row, values wire.Values) ([]byte, *wire.Error) {
	in, unused := c.Bind(&row.Row, values)
	if unused != "" {
		return nil, wire.Errorf("UnsupportedOperation",
			"plinksim does not do %s with the parameter %s: it would change something that a lab does not have",
			c.Action, unused)
	}
	answer, err := row.run(c, in)
	if err == nil && c.Dry {
		err = errDryRun
	}
	if err != nil {
		return nil, c.errorOf(err)
	}
	text, err := wire.Encode(row.Op, answer, c.ID)
	if err != nil {
		return nil, cloudapi.Internal(err)
	}
	return text, nil
}

// errorOf is what a client hears of an error: the cloud's word for a refusal where
// there is one.
func (c *call) errorOf(err error) *wire.Error {
	var known *wire.Error
	if errors.As(err, &known) {
		return known
	}
	if errors.Is(err, errDryRun) {
		return &wire.Error{Code: "DryRunOperation", Status: 412,
			Message: "Request would have succeeded, but DryRun flag is set."}
	}
	refused := cloudapi.RefusedBy(err)
	if refused == nil {
		return cloudapi.Internal(err)
	}
	code := refused.Word
	if code == "" {
		code = usualCodes[refused.Code]
		if c.Service.Protocol != wire.EC2Query {
			code = balancerCodes[refused.Code]
		}
	}
	text := refused.Text
	if advice := refused.Advice(); advice != "" {
		text += " (" + advice + ")"
	}
	return wire.Errorf(code, "%s", text)
}

// usualCodes are EC2's for refusals for which no public source names a word, and
// balancerCodes those of Elastic Load Balancing.
var usualCodes = map[topology.Refusal]string{
	topology.NotFound: "InvalidParameterValue", topology.NotOwner: "UnauthorizedOperation",
	topology.NotWhitelisted: "InvalidServiceName", topology.WrongState: "IncorrectState",
	topology.InUse: "DependencyViolation", topology.Invalid: "InvalidParameterValue",
	topology.Quota: "ResourceCountExceeded", topology.Unsupported: "UnsupportedOperation",
}

var balancerCodes = map[topology.Refusal]string{
	topology.NotFound: "ValidationError", topology.NotOwner: "OperationNotPermitted",
	topology.NotWhitelisted: "OperationNotPermitted", topology.WrongState: "ResourceInUse",
	topology.InUse: "ResourceInUse", topology.Invalid: "ValidationError",
	topology.Quota: "TooManyLoadBalancers", topology.Unsupported: "OperationNotPermitted",
}

// conflictOf is an error with another code where the lab refused it for a reason.
func conflictOf(err error, codes map[topology.Refusal]string, format string, args ...any) error {
	refused := cloudapi.RefusedBy(err)
	if refused == nil || codes[refused.Code] == "" {
		return err
	}
	return wire.Errorf(codes[refused.Code], "%s: %s", fmt.Sprintf(format, args...), refused.Text)
}
