package lab

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topology"
)

// mortals is a space whose programs end as the test says.
type mortals struct {
	Space
	mu      sync.Mutex
	started []time.Duration // since the first
	began   time.Time
	fail    error // that the next start gives
	end     func(how string)
}

func (m *mortals) Run(p Program, ended func(how, log string)) (func(), error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return nil, m.fail
	}
	m.started = append(m.started, time.Since(m.began))
	gone := make(chan struct{})
	end := func(how string) {
		ended(how, "web.log")
		close(gone)
	}
	m.end = end
	return func() {
		select {
		case <-gone:
		default:
			end("signal: terminated")
		}
	}, nil
}

// die ends the program that was started last.
func (m *mortals) die(how string) {
	m.mu.Lock()
	end := m.end
	m.mu.Unlock()
	end(how)
}

// failing lets starts fail from now on, or not any more.
func (m *mortals) failing(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

func (m *mortals) starts() []time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.started)
}

func supervised(t *testing.T, policy topology.RestartPolicy) (*mortals, *service, *[]string) {
	m, told := &mortals{began: time.Now()}, &[]string{}
	spec := serviceSpec{topology.Instance{}, topology.InstanceService{
		Kind: topology.CommandService, Argv: []string{"web"}, Restart: policy,
	}}
	s, err := startCommand(m, "", spec, func(verb control.Verb, what string) {
		*told = append(*told, string(verb)+": "+what)
	})
	require.NoError(t, err)
	require.Equal(t, "running", s.State())
	return m, s, told
}

func TestAProgramThatFailsAgainAndAgainIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s, told := supervised(t, topology.RestartOnFailure)
		for range 5 {
			m.die("exit status 1")
			require.True(t, s.hasEnded())
			require.True(t, s.hasFuture())
			time.Sleep(17 * time.Second / 16)
			for s.hasEnded() {
				time.Sleep(time.Second / 8)
			}
		}
		var steps []float64
		for i, at := range m.starts()[1:] {
			steps = append(steps, (at - m.starts()[i]).Round(time.Second).Seconds())
		}
		require.Equal(t, []float64{1, 2, 4, 8, 16}, steps)
		m.die("exit status 1")
		require.False(t, s.hasFuture())
		require.Equal(t, "exited: exit status 1, see web.log; it was started again 5 times in a row", s.State())
		time.Sleep(time.Hour)
		require.Len(t, m.starts(), 6)
		require.Equal(t, "end: is not started again: it ended 6 times in a row", (*told)[len(*told)-1])
		require.Contains(t, *told, "start: was started again, 5 of 5")
	})
}

func TestAProgramThatRanForAWhileHasNoPast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, s, _ := supervised(t, topology.RestartAlways)
		for range 10 {
			m.die(Succeeded)
			require.Contains(t, s.State(), "starts again after 1s, 1 of 5")
			time.Sleep(time.Second + calm)
		}
		require.Len(t, m.starts(), 11)
		// It cannot be started for a while.
		m.failing(errors.New("no such program"))
		m.die("exit status 1")
		time.Sleep(2 * time.Second)
		require.Contains(t, s.State(), "exited: it cannot be started: no such program; starts again after 2s, 2 of 5")
		m.failing(nil)
		time.Sleep(2 * time.Second)
		require.Equal(t, "running", s.State())
		s.stop()
	})
}

func TestAProgramIsStartedAgainOnlyWhereItsPolicySaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			policy topology.RestartPolicy
			how    string
			again  bool
		}{
			{"", "exit status 1", false},
			{topology.RestartOnFailure, Succeeded, false},
			{topology.RestartOnFailure, "signal: killed", true},
			{topology.RestartAlways, Succeeded, true},
		} {
			m, s, _ := supervised(t, tt.policy)
			m.die(tt.how)
			require.Equal(t, tt.again, s.hasFuture(), "%+v", tt)
			time.Sleep(time.Minute)
			require.Equal(t, tt.again, len(m.starts()) == 2, "%+v", tt)
			s.stop()
		}
		// One that is stopped stays stopped, also while it waits.
		m, s, told := supervised(t, topology.RestartAlways)
		s.stop()
		time.Sleep(time.Minute)
		require.Len(t, m.starts(), 1)
		require.Empty(t, *told)
		m, s, _ = supervised(t, topology.RestartAlways)
		m.die("exit status 1")
		s.stop()
		time.Sleep(time.Minute)
		require.Len(t, m.starts(), 1)
	})
}
