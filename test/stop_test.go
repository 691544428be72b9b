package test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/plinktest"
)

// A server that is switched off answers nobody and gets no sessions, and is as it was
// when it is switched on again: on both machines.
func TestAnInstanceThatIsStoppedAnswersNobody(t *testing.T) {
	t.Parallel()
	t.Run("in this process", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { stopAndStart(t, plinktest.InProcess()) })
	})
	t.Run("in the kernel", func(t *testing.T) {
		plinktest.Require(t)
		stopAndStart(t)
	})
}

func stopAndStart(t *testing.T, options ...plinktest.Option) {
	l := plinktest.UpText(t, pairOf("svc1: {resources: [lb1], auto_accept: false}",
		"svc1: {resources: [lb1], auto_accept: true}", "servers: [{instance: ecs2, port: 80, weight: 100}]}",
		"servers: [{instance: ecs2, port: 80}], health_check: {interval: 1s, timeout: 1s, unhealthy: 2, healthy: 2}}"),
		options...)
	requireBody(t, l, "old")
	before, err := l.Plan().Instance("ecs2")
	require.NoError(t, err)
	health := func(want bool) {
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			require.Equal(c, want, l.Status().ServerGroups[0].Servers[0].Healthy)
		}, 20*time.Second, 50*time.Millisecond)
	}

	switchOn := l.Instance("ecs2").SwitchOff()
	_, err = get(t, l.Instance("ecs1"), "http://"+l.Name("ep1")+"/")
	requireTimeout(t, err)
	health(false)
	require.Equal(t, "stopped", l.Status().VPCs[1].Instances[0].State)
	_, err = l.Running().Client("ecs2")
	require.ErrorContains(t, err, `instance "ecs2" is stopped`)
	require.False(t, l.Explain("ecs2", "tcp://10.0.0.1:80").Passes)
	require.False(t, l.Explain("ecs1", "ep1:80").Passes)

	switchOn()
	after, err := l.Plan().Instance("ecs2")
	require.NoError(t, err)
	require.Equal(t, before, after, "it has its addresses again")
	health(true)
	requireBody(t, l, "old")
	require.Empty(t, l.Running().Edits(), "nothing is left of a stop and a start")
}
