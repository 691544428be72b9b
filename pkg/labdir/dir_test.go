package labdir_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/labdir"
)

// root gives the test a directory for labs with something of somebody else's
// beside it.
func root(t *testing.T) string {
	t.Helper()
	parent := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(parent, "precious"), []byte("mine"), 0o600))
	t.Setenv(labdir.RootVariable, filepath.Join(parent, "labs"))
	return filepath.Join(parent, "labs")
}

func TestALockIsHeldOnceAndSeenWithoutTakingIt(t *testing.T) {
	root(t)
	dir := labdir.Of("shop")
	require.False(t, dir.Exists())
	require.False(t, dir.Running())

	lock, err := dir.Lock()
	require.NoError(t, err)
	require.True(t, dir.Exists())
	require.True(t, dir.Running())
	_, err = dir.Lock()
	require.ErrorIs(t, err, labdir.ErrLocked)

	lock.Release()
	require.False(t, dir.Running())
	again, err := dir.Lock()
	require.NoError(t, err)
	again.Release()
}

// A child that was handed the lock's file keeps the lab when its parent goes.
func TestALockThatWasHandedOnOutlivesItsFirstHolder(t *testing.T) {
	root(t)
	dir := labdir.Of("shop")
	lock, err := dir.Lock()
	require.NoError(t, err)
	read, write, err := os.Pipe()
	require.NoError(t, err)
	child, err := os.StartProcess("/bin/sh", []string{"sh", "-c", "read line"},
		&os.ProcAttr{Files: []*os.File{read, nil, nil, lock.File()}})
	require.NoError(t, err)
	read.Close()
	lock.Release()
	require.True(t, dir.Running(), "the child holds it")

	write.Close()
	_, err = child.Wait()
	require.NoError(t, err)
	require.False(t, dir.Running())
}

// Whoever waits for a lab to end asks often, and must not keep another from
// taking the lock meanwhile.
func TestAskingWhetherALabRunsIsInNobodysWay(t *testing.T) {
	root(t)
	dir := labdir.Of("shop")
	first, err := dir.Lock()
	require.NoError(t, err)
	first.Release()

	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				dir.Running()
			}
		}
	}()
	for range 1000 {
		lock, err := dir.Lock()
		require.NoError(t, err)
		lock.Release()
	}
	close(stop)
	<-stopped
}

func TestALockOfADirectoryThatWasRemovedIsRefused(t *testing.T) {
	root(t)
	dir := labdir.Of("shop")
	lock, err := dir.Lock()
	require.NoError(t, err)
	require.NoError(t, dir.Erase())
	require.False(t, dir.Exists())
	next, err := dir.Lock()
	require.NoError(t, err, "a new directory with a new lock")
	lock.Release()
	require.True(t, dir.Running(), "the old lock means nothing any more")
	next.Release()
}

func TestEraseRemovesTheRootWithTheLastLab(t *testing.T) {
	labs := root(t)
	for _, name := range []string{"one", "two"} {
		lock, err := labdir.Of(name).Lock()
		require.NoError(t, err)
		lock.Release()
	}
	names, err := labdir.Names()
	require.NoError(t, err)
	require.Equal(t, []string{"one", "two"}, names)

	require.NoError(t, labdir.Of("one").Erase())
	require.DirExists(t, labs)
	require.NoError(t, labdir.Of("two").Erase())
	require.NoDirExists(t, labs)
}

func TestWhatIsNotOfALabIsNeitherListedNorRemoved(t *testing.T) {
	labs := root(t)
	require.NoError(t, os.MkdirAll(filepath.Join(labs, "home"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(labs, "home", "letter"), []byte("mine"), 0o600))
	names, err := labdir.Names()
	require.NoError(t, err)
	require.Empty(t, names)
	for _, name := range []string{"", ".", "..", "../labs", "a/b", "/etc"} {
		require.ErrorContains(t, labdir.CheckName(name), "is not the name of a lab", "%q", name)
	}

	// A lab whose directory somebody put a file into.
	lock, err := labdir.Of("shop").Lock()
	require.NoError(t, err)
	defer lock.Release()
	require.NoError(t, os.WriteFile(filepath.Join(labs, "shop", "letter"), []byte("mine"), 0o600))
	require.ErrorContains(t, labdir.Of("shop").Erase(), "something that is not of the lab stays")
	require.FileExists(t, filepath.Join(labs, "shop", "letter"))
	require.FileExists(t, filepath.Join(filepath.Dir(labs), "precious"))
}

func TestALinkInThePlaceOfALabIsNotFollowed(t *testing.T) {
	labs := root(t)
	victim := filepath.Join(filepath.Dir(labs), "victim")
	require.NoError(t, os.MkdirAll(filepath.Join(victim, "log"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(victim, "lock"), nil, 0o600))
	require.NoError(t, os.Mkdir(labs, 0o755))
	require.NoError(t, os.Symlink(victim, filepath.Join(labs, "shop")))
	require.False(t, labdir.Of("shop").Exists())
	_, err := labdir.Of("shop").Lock()
	require.ErrorContains(t, err, "is in the place of the lab's directory, and is none")
	require.DirExists(t, filepath.Join(victim, "log"))
}

func TestTheRootIsAbsoluteHoweverItIsWritten(t *testing.T) {
	t.Setenv(labdir.RootVariable, "labs")
	require.True(t, filepath.IsAbs(labdir.Root()))
}

func TestOrdinaryUsersHaveADirectoryOfLabsOfTheirOwn(t *testing.T) {
	t.Setenv(labdir.RootVariable, "")
	t.Setenv("XDG_RUNTIME_DIR", "/home/me/run")
	if os.Geteuid() == 0 {
		require.Equal(t, labdir.DefaultRoot, labdir.Root())
		return
	}
	require.Equal(t, "/home/me/run/plinksim", labdir.Root())
	require.Empty(t, labdir.Fallback())
}

func TestASocketPathThatTheKernelCannotTakeIsNamed(t *testing.T) {
	t.Setenv(labdir.RootVariable, "/"+strings.Repeat("x", 107-len("//shop/control.sock")))
	require.NoError(t, labdir.Of("shop").CheckSocket())
	require.ErrorContains(t, labdir.Of("shops").CheckSocket(), "has 108 characters, and a socket's may have 107")
}

func TestOnlyTheHolderOfALabIsSignalled(t *testing.T) {
	root(t)
	dir := labdir.Of("shop")
	lock, err := dir.Lock()
	require.NoError(t, err)
	start := func(files ...*os.File) *exec.Cmd {
		cmd := exec.Command("sleep", "100")
		cmd.ExtraFiles = files
		require.NoError(t, cmd.Start())
		t.Cleanup(func() { cmd.Process.Kill() })
		return cmd
	}
	looks, err := os.Open(dir.Path("lock"))
	require.NoError(t, err)
	holder, reader := start(lock.File()), start(looks)
	lock.Release()
	looks.Close()
	require.NoError(t, os.WriteFile(dir.Path("pid"), []byte(strconv.Itoa(reader.Process.Pid)), 0o600))

	require.NoError(t, dir.Signal(syscall.SIGTERM))
	require.ErrorContains(t, holder.Wait(), "signal: terminated")
	require.False(t, dir.Running())
	require.NoError(t, reader.Process.Signal(syscall.Signal(0)),
		"one that only reads the file, whatever number is written down")
	require.NoError(t, dir.Signal(syscall.SIGTERM), "nobody holds it")
}

func TestADirectoryOfLabsThatTheUserMadeStays(t *testing.T) {
	labs := root(t)
	require.NoError(t, os.Mkdir(labs, 0o755))
	lock, err := labdir.Of("shop").Lock()
	require.NoError(t, err)
	defer lock.Release()
	require.NoError(t, labdir.Of("shop").Erase())
	require.DirExists(t, labs)
}

// A process that was killed before it made its lab leaves the directory of labs
// empty, and marked from the moment on in which it was made.
func TestADirectoryOfLabsThatWasMadeForNoLabGoes(t *testing.T) {
	labs := root(t)
	require.NoError(t, os.Mkdir(labs, 0o755))
	labdir.Tidy()
	require.DirExists(t, labs, "the user's own")
	require.NoError(t, os.Remove(labs))

	require.NoError(t, os.Mkdir(labs, 0o755|fs.ModeSticky), "as Lock begins")
	labdir.Tidy()
	require.NoDirExists(t, labs)

	require.NoError(t, os.Mkdir(labs, 0o700))
	require.NoError(t, os.Chmod(labs, 0o777|fs.ModeSticky))
	labdir.Tidy()
	require.DirExists(t, labs, "a directory like /tmp is not one of ours")
}

func TestALockMayGoWithItsProcess(t *testing.T) {
	dir := labdir.Dir(filepath.Join(t.TempDir(), "lab"))
	lock, err := dir.Lock()
	require.NoError(t, err)
	lock.HoldUntilExit()
	lock.Release()
	require.True(t, dir.Running())
	_, err = dir.Lock()
	require.ErrorIs(t, err, labdir.ErrLocked)
}
