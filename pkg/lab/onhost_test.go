package lab_test

import (
	"context"
	"errors"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topofile"
)

const onTwoHosts = `
name: on-two-hosts
cloud: rfc
region: r1
hosts:
  a: {address: 198.18.0.1, zones: [h]}
  b: {address: 198.18.0.2, zones: [i]}
vpcs:
  v:
    cidr: 10.0.0.0/16
    mtu: 1400
    subnets: {h: {zone: h, cidr: 10.0.1.0/24}, i: {zone: i, cidr: 10.0.2.0/24}}
    instances: {web-h: {subnet: h}, web-i: {subnet: i}}
checks:
  - {name: one, from: web-h, resolve: "${web-i}", expect: {addresses: ["${web-i.ip}"]}}
  - {name: two, from: web-i, resolve: "${web-h}", expect: {addresses: ["${web-h.ip}"]}}
  - {name: three, from: web-i, resolve: "${web-h}", expect: {error: any}}
  - {name: four, from: web-h, resolve: "${web-h}"}
`

// remote is the labs on other hosts; one that is not there does not answer.
type remote map[string]*lab.Lab

func (r remote) RunCheck(ctx context.Context, host string, file []byte, number int) (status.Check, error) {
	if r[host] == nil {
		return status.Check{}, errors.New("host " + host + " does not answer")
	}
	return lab.RunCheckHere(ctx, r[host], file, number)
}

func startOn(t *testing.T, host, text string, others lab.Remote) *lab.Lab {
	t.Helper()
	plan, err := topofile.Parse("hosts.yaml", []byte(text))
	require.NoError(t, err)
	l, err := lab.Start(t.Context(), lab.Config{Plan: plan, Machine: newFakeMachine(), Host: host, Remote: others})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close(context.Background())) })
	return l
}

func TestACheckRunsOnTheHostOfItsInstance(t *testing.T) {
	others := remote{}
	a := startOn(t, "a", onTwoHosts, others)
	run := func(l *lab.Lab, filter lab.CheckFilter) (names []string, results map[string]status.Check) {
		results = map[string]status.Check{}
		require.NoError(t, l.CheckSome(t.Context(), filter, func(c status.Check) {
			names = append(names, c.Name)
			results[c.Name] = c
		}))
		return names, results
	}
	_, results := run(a, lab.CheckFilter{})
	require.False(t, results["two"].Passed)
	require.Equal(t, "host b does not answer", results["two"].Got)
	require.True(t, results["four"].Passed, "a host that does not answer ends nothing")

	others["b"] = startOn(t, "b", onTwoHosts, nil)
	names, results := run(a, lab.CheckFilter{})
	require.Equal(t, []string{"one", "two", "three", "four"}, names)
	for name, passed := range map[string]bool{"one": true, "two": true, "three": false, "four": true} {
		require.Equal(t, passed, results[name].Passed, "%+v", results[name])
		require.Equal(t, 4, results[name].Of)
	}
	names, _ = run(a, lab.CheckFilter{FailFast: true})
	require.Equal(t, []string{"one", "two", "three"}, names)
	names, _ = run(a, lab.CheckFilter{Only: regexp.MustCompile("two")})
	require.Equal(t, []string{"two"}, names)
	_, results = run(others["b"], lab.CheckFilter{})
	require.Equal(t, "not run: it is for host a", results["one"].Got, "b reaches nobody")

	// The checks of another file.
	var got []status.Check
	file := "checks:\n  - {name: other, from: web-i, resolve: \"${web-h}\"}\n"
	require.NoError(t, a.CheckFile(t.Context(), []byte(file), lab.CheckFilter{}, func(c status.Check) { got = append(got, c) }))
	require.Len(t, got, 1)
	require.True(t, got[0].Passed, "%+v", got)
}

// What another host is asked for is held to what it knows itself.
func TestAHostRunsNoCheckOfAnother(t *testing.T) {
	text := regexp.MustCompile("name: two").ReplaceAllString(onTwoHosts, "name: zwei")
	others := remote{"b": startOn(t, "b", text, nil)}
	a := startOn(t, "a", onTwoHosts, others)
	for number, want := range map[int]string{
		0: `check "one" begins on host "a" here, and this is host "b"`, -1: "none with the number 0",
		4: "the topology has 4 checks here, and none with the number 5",
	} {
		_, err := others.RunCheck(t.Context(), "b", nil, number)
		require.ErrorContains(t, err, want)
	}
	require.NoError(t, a.CheckSome(t.Context(), lab.CheckFilter{Only: regexp.MustCompile("two")}, func(c status.Check) {
		require.False(t, c.Passed)
		require.Equal(t, `host b has another file: its check 2 is "zwei"`, c.Got)
	}))
}
