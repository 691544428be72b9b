package kernel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/rootless"
)

// The pins of an ordinary user's lab are mounts in a mount namespace that nobody
// else sees, and that would end with the lab's daemon. The keeper is a process
// that does nothing but live there: whoever takes the lab over, removes it or
// runs a program on an instance joins its namespaces.

// KeeperCommand is the first argument with which the plinksim program calls Keep:
// KeeperCommand DIR.
const KeeperCommand = "__keeper"

// keeperReady is the file on which a keeper says that it is there.
const keeperReady = 3

// Inside is the command line that runs another one where the namespaces of the
// lab in dir are visible. For root that is here. For an ordinary user it starts
// the lab's keeper where none lives; the caller holds the lab's lock.
func Inside(dir labdir.Dir, argv []string) ([]string, error) {
	if os.Geteuid() == 0 {
		return argv, nil
	}
	if dir.Keeper() == 0 {
		if err := errors.Join(endStrays(dir), startKeeper(dir)); err != nil {
			return nil, err
		}
	}
	return Beside(dir, argv)
}

// Beside is as Inside, for a lab that is up.
func Beside(dir labdir.Dir, argv []string) ([]string, error) {
	if os.Geteuid() == 0 {
		return argv, nil
	}
	keeper := dir.Keeper()
	if keeper == 0 {
		return nil, &host.Denied{
			Err:    fmt.Errorf("lab %q has lost the process that kept its namespaces: it was killed", dir.Name()),
			Remedy: fmt.Sprintf("\"plinksim down %s\" removes what is left, \"plinksim up FILE\" makes it again", dir.Name()),
		}
	}
	return rootless.Join(keeper, argv)
}

func startKeeper(dir labdir.Dir) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	listen, ready, err := os.Pipe()
	if err != nil {
		return err
	}
	defer listen.Close()
	keeper := exec.Command(self, KeeperCommand, string(dir))
	keeper.Dir = "/"
	keeper.ExtraFiles = []*os.File{keeperReady - 3: ready}
	keeper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := errors.Join(rootless.Start(keeper), ready.Close()); err != nil {
		return err
	}
	words, err := io.ReadAll(listen)
	if err == nil && string(words) == "ready" {
		return keeper.Process.Release()
	}
	keeper.Wait()
	return fmt.Errorf("start the process that keeps the namespaces of lab %q: it ended: %s", dir.Name(), words)
}

// Keep lives until it is told to end, or the lab's directory is gone, and then
// removes what is left in the namespaces. It returns an exit code.
func Keep(dir labdir.Dir) int {
	rootless.Arrive(false)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	signal.Ignore(syscall.SIGINT, syscall.SIGHUP)
	ready := os.NewFile(keeperReady, "ready")
	if err := dir.LockKeeper(); err != nil {
		fmt.Fprint(ready, err)
		return 1
	}
	fmt.Fprint(ready, "ready")
	ready.Close()
	look := time.NewTicker(2 * time.Second)
	for lives := true; lives; {
		select {
		case <-stop:
			lives = false
		case <-look.C:
			_, err := os.Lstat(string(dir))
			lives = err == nil
		}
	}
	if host.Remove(context.Background(), string(dir)) != nil {
		return 1
	}
	return 0
}

// keeperGrace is longer than a keeper needs to end what is in the namespaces.
const keeperGrace = 10 * time.Second

// EndKeeper ends the lab's keeper, where one lives, and all that is in its
// namespaces.
func EndKeeper(dir labdir.Dir) error {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		keeper, err := dir.SignalKeeper(sig)
		if keeper == nil {
			return err
		}
		ended := await(keeper, keeperGrace)
		keeper.Close()
		if ended {
			return nil
		}
	}
	return fmt.Errorf("the process that keeps the namespaces of lab %q does not end", dir.Name())
}

// endStrays ends the programs of an ordinary user on instances of a lab whose
// keeper and daemon were killed. They have copies of the lab's mounts, and keep
// its namespaces. The caller holds the lab's lock.
func endStrays(dir labdir.Dir) error {
	if os.Geteuid() == 0 {
		return nil // there is no keeper, and the pins are visible
	}
	tables, err := filepath.Glob("/proc/[0-9]*/mountinfo")
	if err != nil {
		return err
	}
	mount := []byte(" " + dir.Path("netns") + " ")
	for _, table := range tables {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(table)))
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue // it has ended
		}
		process := os.NewFile(uintptr(fd), table)
		if text, err := os.ReadFile(table); err == nil && bytes.Contains(text, mount) {
			err = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
			if err == nil && !await(process, keeperGrace) {
				err = fmt.Errorf("process %d, on an instance of lab %q, does not end", pid, dir.Name())
			}
			if err != nil && !errors.Is(err, unix.ESRCH) {
				return errors.Join(err, process.Close())
			}
		}
		process.Close()
	}
	return nil
}

// await says whether the process of a pidfd ends in time.
func await(process *os.File, most time.Duration) bool {
	for deadline := time.Now().Add(most); ; {
		fds := []unix.PollFd{{Fd: int32(process.Fd()), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(max(0, time.Until(deadline)).Milliseconds()))
		if n > 0 {
			return true
		}
		if err != nil && !errors.Is(err, unix.EINTR) || time.Now().After(deadline) {
			return false
		}
	}
}
