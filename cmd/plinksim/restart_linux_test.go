package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
)

// A restart is killed itself at any moment: the command, the daemon that it
// starts, or both. Whatever is left, the next command goes on from there, and an
// open connection and the programs are what they were.
func TestARestartMayBeKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	testenv.NeedRoot(t)
	testenv.NeedNoRace(t)
	testenv.NeedPrograms(t, "python3")
	rounds := 8
	if os.Getenv("PLINKSIM_LONG") == "1" {
		rounds = 200
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	m := newMortal(t, testenv.BuildProgram(t, "../.."), filepath.Join("testdata", "survive", "alibaba.yaml"))
	conn := m.newIdle(m.eni("ep1", 80, false))
	programs := m.programs()
	require.Len(t, programs, 3)
	for round := range rounds {
		upgrade := random.IntN(2) == 0
		args := []string{"up", m.file}
		if upgrade {
			args = []string{"upgrade"}
		} else {
			m.kill()
		}
		m.restartKilled(random, args...)
		m.run("up", m.file)
		require.NotContains(t, m.run("status"), "earlier daemon", "round %d: sessions were lost", round)
		require.NoError(t, conn.ask("still there?"), "round %d", round)
		require.Equal(t, programs, m.programs(), "round %d", round)
	}
	left, err := filepath.Glob(m.dir.Path("sessions", "*"))
	require.NoError(t, err)
	require.Equal(t, []string{m.dir.Path("sessions", "now")}, left)
}

// restartKilled begins a restart by a command, and kills that, or the daemon, or both.
func (m *mortal) restartKilled(random *rand.Rand, args ...string) {
	restart := m.command(args...)
	require.NoError(m.t, restart.Start())
	time.Sleep(time.Duration(random.IntN(200)) * time.Millisecond)
	switch random.IntN(3) {
	case 0:
		restart.Process.Kill()
	case 1:
		m.dir.Signal(syscall.SIGKILL) // who holds the lab: the command or a daemon
	case 2:
		restart.Process.Kill()
		m.dir.Signal(syscall.SIGKILL)
	}
	restart.Wait()
}

// programs are the processes that run the services of the lab.
func (m *mortal) programs() (all []string) {
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	require.NoError(m.t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(text), "PLINKSIM_PROGRAM="+string(m.dir)) {
			all = append(all, file)
		}
	}
	return all
}

// Programs are the topology's: one that it has no more ends with the next daemon,
// and one that ended while there was none is started again.
func TestProgramsOfALabThatNobodyRan(t *testing.T) {
	testenv.NeedRoot(t)
	testenv.NeedNoRace(t)
	testenv.NeedPrograms(t, "python3")
	m := newMortal(t, testenv.BuildProgram(t, "../.."), filepath.Join("testdata", "survive", "alibaba.yaml"))
	programs := m.programs()
	require.Len(t, programs, 3)

	m.kill()
	m.endProgram(programs[0])
	m.run("up", m.file)
	// A python3 that is a script of a version manager starts some before it is one.
	require.Eventually(t, func() bool { return len(m.programs()) == 3 }, 30*time.Second, 50*time.Millisecond)
	again := m.programs()
	require.NotContains(t, again, programs[0])
	require.Subset(t, again, programs[1:])

	m.kill()
	text, err := os.ReadFile(m.file)
	require.NoError(t, err)
	changed := filepath.Join(t.TempDir(), "changed.yaml")
	require.NoError(t, os.WriteFile(changed, []byte(strings.Replace(string(text),
		", {command: python3 server.py 8002}", "", 1)), 0o600))
	script, err := os.ReadFile(filepath.Join(filepath.Dir(m.file), "server.py"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(filepath.Dir(changed), "server.py"), script, 0o600))
	m.run("up", "--replace", changed)
	require.Eventually(t, func() bool { return len(m.programs()) == 2 }, 30*time.Second, 50*time.Millisecond)
	require.Subset(t, again, m.programs())
}

// endProgram kills the process of a file that programs gave, and waits.
func (m *mortal) endProgram(environ string) {
	pid, err := strconv.Atoi(filepath.Base(filepath.Dir(environ)))
	require.NoError(m.t, err)
	require.NoError(m.t, syscall.Kill(pid, syscall.SIGKILL))
	require.Eventually(m.t, func() bool {
		text, err := os.ReadFile(environ) // a zombie has none
		return err != nil || len(text) == 0
	}, 10*time.Second, 10*time.Millisecond)
}

// A daemon that is killed in the middle of an edit costs no connection that the edit
// does not touch: the next one does not make the lab again.
func TestConnectionsOutliveAKillInTheMiddleOfAnEdit(t *testing.T) {
	t.Parallel()
	testenv.NeedRoot(t)
	testenv.NeedNoRace(t)
	testenv.NeedPrograms(t, "python3")
	m := newMortal(t, testenv.BuildProgram(t, "../.."), filepath.Join("testdata", "survive", "aws.yaml"))
	conn, programs := m.newIdle(m.eni("ep1", 80, false)), m.programs()
	var instances strings.Builder
	for i := range 40 {
		fmt.Fprintf(&instances, "i%d: {subnet: s}, ", i)
	}
	vpc := "{account: consumer, cidr: 10.1.0.0/16, subnets: {s: {zone: us-east-1a, cidr: 10.1.0.0/24}}, instances: {" + instances.String() + "}}"
	hit := 0
	for round := 0; hit < 2; round++ {
		require.Less(t, round, 15, "no kill hit an edit")
		edit := m.command("edit", "set", "vpcs/extra", vpc)
		if strings.Contains(m.run("edit", "list"), "vpcs/extra") {
			edit = m.command("edit", "delete", "vpcs/extra")
		}
		require.NoError(t, edit.Start())
		for until := time.Now().Add(2 * time.Second); time.Now().Before(until); time.Sleep(time.Millisecond) {
			if _, err := os.Stat(m.dir.Path("changing")); err == nil {
				time.Sleep(time.Duration(round%5) * 10 * time.Millisecond)
				break
			}
		}
		m.kill()
		edit.Wait()
		if _, err := os.Stat(m.dir.Path("changing")); err == nil {
			hit++
		}
		m.run("up", m.file)
		require.NoFileExists(t, m.dir.Path("changing"))
		require.NoError(t, conn.ask("still there?"), "round %d", round)
		require.Equal(t, programs, m.programs(), "round %d", round)
	}
}
