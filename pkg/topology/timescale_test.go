package topology

import (
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// asEver are the times of a plan that last as long whatever the scale is, and why.
var asEver = map[string]string{
	"Transition":                 "it is for clients of the lab, which are as fast as ever",
	"Profile.TCPOpening":         "SYNs are sent again by the clock of TCP",
	"Profile.TCPClosed":          "late segments are late by the clock of TCP",
	"Profile.HTTP.Connect":       "SYNs are sent again by the clock of TCP",
	"Profile.Limits.":            "they are of what a file may say",
	"Profile.HTTP.Limits.":       "they are of what a file may say",
	"Profile.HTTP.Persistence.":  "groups have it, if at all",
	"Profile.Deregistration.":    "groups have it",
	"Profile.UDPDeregistration.": "groups have it",
	"Profile.Unhealthy.":         "groups have it",
	"Endpoints.Impairments.":     "delays are of the network",
	"Checks.Timeout":             "a check waits for programs",
	"Checks.Idle":                "who runs a check, which may be of another file, divides it",
	"Checks.Expect.":             "programs answer as fast as ever",
}

// Whoever gives a plan another time decides here whether it passes faster.
func TestEveryTimeOfAPlanPassesFasterOrHasAReasonNotTo(t *testing.T) {
	var plan Plan
	fill(reflect.ValueOf(&plan).Elem())
	before := times(reflect.ValueOf(plan), "")
	faster := times(reflect.ValueOf(*plan.Faster(2)), "")
	require.Equal(t, before, times(reflect.ValueOf(plan), ""), "the plan itself is what it was")
	used := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		why := ""
		for prefix := range asEver {
			if strings.HasPrefix(name, prefix) {
				why, used[prefix] = asEver[prefix], true
			}
		}
		if why == "" {
			require.Equal(t, before[name]/2, faster[name], "%s: scale it in Faster, or say here why not", name)
		} else {
			require.Equal(t, before[name], faster[name], "%s: %s", name, why)
		}
	}
	for prefix := range asEver {
		require.True(t, used[prefix], "there is no %s", prefix)
	}
	require.Greater(t, len(before), 20)
}

// fill sets every time below v to an hour, and makes what can have one.
func fill(v reflect.Value) {
	switch {
	case v.Type() == reflect.TypeFor[time.Duration]():
		v.SetInt(int64(time.Hour))
	case !hasTimes(v.Type(), nil):
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	}
}

// hasTimes says whether a value of a type can have a time in it.
func hasTimes(t reflect.Type, above []reflect.Type) bool {
	if t == reflect.TypeFor[time.Duration]() {
		return true
	}
	if slices.Contains(above, t) {
		return false
	}
	above = append(above, t)
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return hasTimes(t.Elem(), above)
	case reflect.Struct:
		if t.PkgPath() != reflect.TypeFor[Plan]().PkgPath() {
			return false
		}
		for i := range t.NumField() {
			if hasTimes(t.Field(i).Type, above) {
				return true
			}
		}
	}
	return false
}

// times are those below v by their names.
func times(v reflect.Value, name string) map[string]time.Duration {
	out := map[string]time.Duration{}
	switch {
	case v.Type() == reflect.TypeFor[time.Duration]():
		out[name] = time.Duration(v.Int())
	case !hasTimes(v.Type(), nil):
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			below := v.Type().Field(i).Name
			if name != "" {
				below = name + "." + below
			}
			maps.Copy(out, times(v.Field(i), below))
		}
	case v.Kind() == reflect.Pointer:
		return times(v.Elem(), name)
	case v.Kind() == reflect.Slice:
		return times(v.Index(0), name)
	}
	return out
}

func TestTimesPassFaster(t *testing.T) {
	plan := &Plan{
		Profile:       Profile{NameTTL: time.Minute},
		ServerGroups:  []ServerGroup{{HealthCheck: HealthCheck{Interval: 2 * time.Second, Timeout: 5 * time.Second}}},
		LoadBalancers: []LoadBalancer{{Listeners: []Listener{{IdleTimeout: 350 * time.Second}, {}}}},
		DNSZones:      []DNSZone{{TTL: 0}, {TTL: 5 * time.Second}, {TTL: time.Hour}},
	}
	sixty, all := plan.Faster(60), plan.Faster(MaxTimeScale)
	require.Equal(t, 350*time.Second/60, sixty.LoadBalancers[0].Listeners[0].IdleTimeout)
	require.Zero(t, sixty.LoadBalancers[0].Listeners[1].IdleTimeout, "none stays none")
	require.Equal(t, 350*time.Millisecond, all.LoadBalancers[0].Listeners[0].IdleTimeout)

	check := all.ServerGroups[0].HealthCheck
	require.Equal(t, 2*time.Millisecond, check.Interval)
	require.Equal(t, 100*time.Millisecond, check.Timeout, "a machine that is busy makes no server unhealthy")
	plan.ServerGroups[0].HealthCheck.Timeout = 50 * time.Millisecond
	require.Equal(t, 50*time.Millisecond, plan.Faster(60).ServerGroups[0].HealthCheck.Timeout, "no check waits longer")

	require.Equal(t, time.Second, sixty.Profile.NameTTL)
	require.Zero(t, sixty.DNSZones[0].TTL, "that of the profile")
	require.Equal(t, time.Second, sixty.DNSZones[1].TTL, "TTLs are whole seconds, and 0 says not to keep an answer")
	require.Equal(t, time.Minute, sixty.DNSZones[2].TTL)

	require.Same(t, plan, plan.Faster(0))
	require.Same(t, plan, plan.Faster(1))
}

func TestTimeScales(t *testing.T) {
	for _, good := range []TimeScale{0, 1, 1.5, 60, MaxTimeScale} {
		require.NoError(t, good.Check())
	}
	for _, bad := range []TimeScale{0.5, -1, MaxTimeScale + 1, TimeScale(math.NaN()), TimeScale(math.Inf(1))} {
		require.ErrorContains(t, bad.Check(), "want a number from 1 to 1000")
	}
}
