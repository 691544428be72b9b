package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
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
// open connection and the programs are what they were. Nothing adds up: there is one
// daemon, and the files and mounts of the lab are those that it had.
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
	if text := os.Getenv("PLINKSIM_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("PLINKSIM_SEED=%d draws the same moments again", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	m := newMortal(t, testenv.BuildProgram(t, "../.."), filepath.Join("testdata", "survive", "alibaba.yaml"))
	conn := m.newIdle(m.eni("ep1", 80, false))
	programs := m.programs()
	require.Len(t, programs, 3)
	files, mounts := m.files(), m.mounts()
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
		// Another daemon may be about to end, and old sessions to be given up.
		require.Eventually(t, func() bool { return len(m.daemons()) == 1 }, 30*time.Second, 50*time.Millisecond,
			"round %d: several daemons", round)
		require.Eventually(t, func() bool { return slices.Equal(files, m.files()) }, 30*time.Second, 50*time.Millisecond,
			"round %d: there were files %q", round, files)
		require.Equal(t, mounts, m.mounts(), "round %d", round)
	}
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
func (m *mortal) programs() []string {
	return m.processes("environ", "PLINKSIM_PROGRAM="+string(m.dir))
}

// daemons are the processes that run the lab, or would like to.
func (m *mortal) daemons() []string {
	return m.processes("cmdline", m.bin+"\x00__daemon\x00--name\x00"+m.plan.Name)
}

// processes are the files of that name in /proc that have a text.
func (m *mortal) processes(file, text string) (all []string) {
	files, err := filepath.Glob("/proc/[0-9]*/" + file)
	require.NoError(m.t, err)
	for _, file := range files {
		has, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(has), text) {
			all = append(all, file)
		}
	}
	return all
}

// files are the names of all that is in the directory of the lab.
func (m *mortal) files() (all []string) {
	err := filepath.WalkDir(string(m.dir), func(path string, _ os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) { // it went while this looked
			return nil
		}
		all = append(all, path)
		return err
	})
	require.NoError(m.t, err)
	return all
}

// mounts is how many there are below the directory of the lab.
func (m *mortal) mounts() int {
	text, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(m.t, err)
	return strings.Count(string(text), " "+string(m.dir)+"/")
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
