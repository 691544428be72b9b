package aliapi_test

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/aliapi"
	"github.com/plinksim/plinksim/pkg/wire"
)

// takesAway says whether an operation does, by its name.
func takesAway(action string) bool {
	return slices.ContainsFunc([]string{"Delete", "Remove", "Detach", "Unassociate", "Untag", "UnTag", "Disable"},
		func(word string) bool { return strings.HasPrefix(action, word) })
}

// asked are the parameters with which a listing answers: none, or each object that another has.
func (c *client) asked(key string) (out [][]string) {
	out = [][]string{nil}
	for _, d := range details {
		if slices.Contains(d.tells, key) {
			service, action, _ := strings.Cut(d.of, " ")
			out = nil
			for _, id := range c.do(service, action).texts(aliapi.Listed()[d.of], d.member) {
				out = append(out, []string{d.member, id})
			}
		}
	}
	return out
}

// filters tries the filters of all listings on what an account has now, but for those that were
// tried.
func (c *client) filters(tried, without map[string]bool) {
	before := c.cloud.before
	defer func() { c.cloud.before = before }()
	c.cloud.before = nil
	for key, list := range aliapi.Listed() {
		service, action, _ := strings.Cut(key, " ")
		filters := aliapi.FiltersOf(key)
		if !slices.ContainsFunc(filters, func(f aliapi.Filter) bool { return !tried[key+" "+f.Name] }) {
			continue
		}
		for _, of := range c.asked(key) {
			values := wire.Values{}
			for i := 0; i < len(of); i += 2 {
				values[of[i]] = of[i+1]
			}
			for _, filter := range filters {
				name := key + " " + filter.Name
				found, objects := aliapi.FilterValues(c.server, c.key.Account, key, filter.Name, values)
				found = slices.DeleteFunc(found, func(v string) bool { return v == "" })
				if tried[name] || objects == 0 {
					continue
				}
				if without[name] = len(found) == 0; without[name] {
					continue
				}
				tried[name] = true
				ask := func(value string) int {
					return len(c.do(service, action, append(of, filter.Parameter, value)...).texts(list, "any"))
				}
				got := ask(found[0])
				require.True(c.t, 0 < got && got <= objects, "%s=%s gives %d of %d objects", name, found[0], got, objects)
				other := map[wire.Kind]string{wire.Boolean: map[string]string{"true": "false", "false": "true"}[found[0]],
					wire.Integer: "987654321", wire.Long: "987654321"}[filter.Kind]
				if other == "" {
					other = "nothing has this"
				}
				require.Less(c.t, ask(other), objects, "%s: %s leaves nothing out", name, other)
			}
		}
	}
}

// Every filter tells objects apart: a value that an object has gives it, another leaves it out. What
// an account has is looked at before it is taken away again.
func TestEveryFilterTellsObjectsApart(t *testing.T) {
	tried, without := map[string]bool{}, map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(walks)) {
		t.Run(name, func(t *testing.T) {
			walkOf(t, name, func(c *client, _, action string, _ url.Values) {
				if takesAway(action) {
					for _, account := range []string{"provider", c.other()} {
						c.as(account).filters(tried, without)
					}
				}
			})
		})
	}
	t.Logf("%d filters", len(tried))
	for key := range aliapi.Listed() {
		for _, f := range aliapi.FiltersOf(key) {
			without[key+" "+f.Name] = !tried[key+" "+f.Name]
		}
	}
	maps.DeleteFunc(without, func(_ string, still bool) bool { return !still })
	require.Equal(t, []string{ // which nothing can name in a lab
		"ecs DescribeNetworkInterfaces NetworkInterfaceName", "vpc DescribeRouteTableList RouteTableName",
	}, slices.Sorted(maps.Keys(without)))
}

// other is the account that is not the provider.
func (c *client) other() string {
	for _, key := range c.server.Keys() {
		if key.Account != "provider" {
			return key.Account
		}
	}
	return ""
}

// A dry run of any call changes nothing that can be listed, and says that the call would have been
// done.
func TestADryRunOfAnyCallChangesNothing(t *testing.T) {
	tried := 0
	for _, name := range slices.Sorted(maps.Keys(walks)) {
		t.Run(name, func(t *testing.T) {
			walkOf(t, name, func(c *client, service, action string, parameters url.Values) {
				if !aliapi.CanBeDry(service + " " + action) {
					return
				}
				look := c.cloud.before
				before := c.everything()
				dry := maps.Clone(parameters)
				dry.Set("DryRun", "true")
				status, text := c.post(service, action, dry)
				require.NotEqual(t, 200, status, "%s %s: %s", service, action, text)
				require.True(t, before == c.everything(), "%s %s %v changes something", service, action, dry)
				tried++
				c.cloud.before = look
			})
		})
	}
	require.Greater(t, tried, 100)
}
