package rootless

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Again runs this program again in new namespaces, with the same arguments and
// files, and returns its exit code. The two end together.
func Again() (code int, err error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	again := exec.Command(self, os.Args[1:]...)
	again.Stdin, again.Stdout, again.Stderr = os.Stdin, os.Stdout, os.Stderr
	again.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	// What the terminal sends, both get. What is sent to this process, for example
	// by "go test" when the time is over, is for the other.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP)
	defer signal.Stop(signals)
	runtime.LockOSThread() // the other ends with the thread that has started it
	if err := Start(again); err != nil {
		return 0, err
	}
	go func() {
		for s := range signals {
			if s != syscall.SIGINT || !onTerminal() {
				again.Process.Signal(s)
			}
		}
	}()
	err = again.Wait()
	var exit *exec.ExitError
	if err == nil || errors.As(err, &exit) {
		return exitCode(again.ProcessState), nil
	}
	return 0, err
}

// onTerminal says whether a terminal sends its interrupts to this process and its
// children.
func onTerminal() bool {
	tty, err := unix.Open("/dev/tty", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(tty)
	foreground, err := unix.IoctlGetInt(tty, unix.TIOCGPGRP)
	return err == nil && foreground == unix.Getpgrp()
}

// exitCode is as shells have it for a process that a signal has ended.
func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}
