package aliapi

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

// call is one request on its way.
type call struct {
	*cloudapi.Call
	format wire.Format
}

// find is the row of the operation that is asked for, and refuses what there is not.
func (c *call) find(version string) (*row, *wire.Error) {
	if c.Service == nil {
		var known []string
		for _, p := range products {
			known = append(known, fmt.Sprintf("%s has %s", p.title, p.described().Version))
		}
		return nil, wire.Errorf("InvalidVersion", "Specified parameter Version is not valid: there is no %q; %s", version,
			strings.Join(known, ", "))
	}
	if row := rows()[c.Service.Name+" "+c.Action]; row != nil {
		return row, nil
	}
	if c.Service.Operations[c.Action] != nil || slices.Contains(c.Service.Others, c.Action) {
		return nil, wire.Errorf("UnsupportedOperation", "plinksim does not do %s: see \"plinksim api operations\"",
			c.Action)
	}
	return nil, &wire.Error{Code: "InvalidAction.NotFound", Status: http.StatusNotFound,
		Message: "Specified api is not found, please check your url and method."}
}

// run does what a row says, once for each client token.
func (c *call) run(row *row, asked *wire.ACSRequest) ([]byte, *wire.Error) {
	values, unknown, refused := wire.DecodeACS(row.Op, asked.Parameters)
	if refused != nil {
		return nil, refused
	}
	for _, name := range unknown {
		c.Ignored = append(c.Ignored, name+": "+c.Action+" has no such parameter")
	}
	if region, _ := values["RegionId"].(string); region != "" && region != c.Plan.Region && !row.anywhere {
		return nil, &wire.Error{Code: "InvalidRegionId.NotFound", Status: http.StatusNotFound,
			Message: fmt.Sprintf("The specified RegionId does not exist: a lab is one region, %s, and not %s",
				c.Plan.Region, region)}
	}
	c.Values = values
	c.Dry, _ = values["DryRun"].(bool)
	clientToken, _ := values["ClientToken"].(string)
	rest := maps.Clone(values)
	for _, name := range []string{"DryRun", "ClientToken", "RegionId"} {
		delete(rest, name)
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
		err = cloudapi.ErrDryRun
	}
	if err != nil {
		return nil, c.errorOf(err)
	}
	text, err := wire.EncodeACS(row.Op, answer, c.ID, c.format)
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
	if errors.Is(err, cloudapi.ErrDryRun) {
		return wire.Errorf("DryRunOperation", "Request validation has been passed with DryRun flag set.")
	}
	refused := cloudapi.RefusedBy(err)
	if refused == nil {
		return cloudapi.Internal(err)
	}
	usual := usualCodes[refused.Code]
	code := refused.Word
	if code == "" {
		code = usual.code
	}
	text := refused.Text
	if advice := refused.Advice(); advice != "" {
		text += " (" + advice + ")"
	}
	return &wire.Error{Code: code, Status: usual.status, Message: text}
}

// usualCodes are for refusals for which no public source names a word, and the statuses of
// all. A permanent error is below 500: clients repeat what is not.
var usualCodes = map[topology.Refusal]struct {
	code   string
	status int
}{
	topology.NotFound: {"ResourceNotFound", 404}, topology.NotOwner: {"Forbidden", 403},
	topology.NotWhitelisted: {"EndpointServiceNotFound", 404}, topology.WrongState: {"IncorrectStatus", 400},
	topology.InUse: {"DependencyViolation", 400}, topology.Invalid: {"InvalidParameter", 400},
	topology.Quota: {"QuotaExceeded", 400}, topology.Unsupported: {"UnsupportedOperation", 400},
}

// notFound is the error of an object that is not there.
func notFound(code, format string, args ...any) *wire.Error {
	e := wire.Errorf(code, format, args...)
	e.Status = http.StatusNotFound
	return e
}

// coded gives a refusal of one kind the code of an API.
func coded(err error, kind topology.Refusal, code string) error {
	if refused := cloudapi.RefusedBy(err); refused != nil && refused.Code == kind {
		return &control.Error{Code: refused.Code, Text: refused.Text, Hint: refused.Hint, Remedies: refused.Remedies,
			Word: code}
	}
	return err
}

// tag is a tag as all APIs have it.
type tag struct{ Key, Value string }

// Limits of tags (PrivateLink API 2020-04-15, TagResources, Tag).
const (
	mostTags      = 20
	longestTagKey = 64
	longestTag    = 128
)

// tagsOf are tags that may be given to an object.
func tagsOf(tags []tag) (map[string]string, error) {
	out := map[string]string{}
	for _, t := range tags {
		lower := strings.ToLower(t.Key)
		switch {
		case t.Key == "" || len(t.Key) > longestTagKey || strings.HasPrefix(lower, "aliyun") ||
			strings.HasPrefix(lower, "acs:") || strings.Contains(lower, "http://") || strings.Contains(lower, "https://"):
			return nil, wire.Errorf("InvalidTagKey.Malformed", "The tag key %q must have 1 to %d characters, begin with"+
				" neither aliyun nor acs:, and have no http:// in it", t.Key, longestTagKey)
		case len(t.Value) > longestTag || strings.Contains(t.Value, "http://") || strings.Contains(t.Value, "https://"):
			return nil, wire.Errorf("InvalidTagValue.Malformed", "The value of the tag %q must have at most %d characters"+
				" and no http:// in it", t.Key, longestTag)
		}
		if _, twice := out[t.Key]; twice {
			return nil, wire.Errorf("Duplicate.TagKey", "The tag key %q is there twice", t.Key)
		}
		out[t.Key] = t.Value
	}
	if len(out) > mostTags {
		return nil, wire.Errorf("NumberExceed.Tags", "An object has at most %d tags", mostTags)
	}
	return out, nil
}

// tags are those of an object, with the names that an API has for key and value.
func (c *call) tags(id, key, value string) []wire.M {
	tags := c.Record.Thing(id).Tags
	out := []wire.M{}
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		out = append(out, wire.M{key: name, value: tags[name]})
	}
	return out
}

// name is what clients call an object: a name of theirs, or that of the file where that is
// not its identifier.
func (c *call) name(id, ofFile string) string {
	if name := c.Record.Note(id, "name"); name != "" || ofFile == id {
		return name
	}
	return ofFile
}

// accountOf is the account with a number, false where the lab has none.
func (c *call) accountOf(number string) (string, bool) {
	for _, a := range c.Plan.Accounts {
		if a.ID == number {
			return a.Name, true
		}
	}
	return "", false
}

// numberOf is the number of an account.
func (c *call) numberOf(account string) string {
	if a, err := c.Plan.Account(account); err == nil {
		return a.ID
	}
	return account
}
