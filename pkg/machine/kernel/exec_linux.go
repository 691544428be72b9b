package kernel

import (
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/labdir"
)

// Exec is a program that runs on an instance for a user of another host: in a session of its
// own, with pipes or a terminal. It is as if the user had entered the instance on its host.
type Exec struct {
	cmd            *exec.Cmd
	stdin          *os.File
	stdout, stderr *os.File
	terminal       bool
	exited         chan struct{}
	code           int
	end            sync.Once
}

// StartExec starts a program in a namespace of a lab, with that environment, as call says. What
// hinders the program itself is on its standard error, and its exit code says so.
func StartExec(dir labdir.Dir, namespace string, env []string, call api.ExecCall) (*Exec, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	e := &Exec{terminal: call.Terminal != nil, exited: make(chan struct{})}
	e.cmd = exec.Command(self, append([]string{tiedCommand, string(dir), namespace}, call.Argv...)...)
	e.cmd.Env = env
	e.cmd.Dir = "/"
	if info, err := os.Stat(call.Dir); err == nil && info.IsDir() {
		e.cmd.Dir = call.Dir
	}
	e.cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: e.terminal}
	theirs, err := e.connect(call)
	defer func() {
		for _, f := range theirs {
			f.Close()
		}
	}()
	if err == nil {
		err = e.start()
	}
	if err != nil {
		e.closeFiles()
		return nil, err
	}
	return e, nil
}

// connect makes the files of a program, and returns those that it has itself.
func (e *Exec) connect(call api.ExecCall) (theirs []*os.File, err error) {
	pipe := func() (r, w *os.File) {
		if err == nil {
			r, w, err = os.Pipe()
		}
		return r, w
	}
	if e.terminal {
		var tty *os.File
		if e.stdout, tty, err = pty.Open(); err != nil {
			return nil, err
		}
		e.stdin = e.stdout
		theirs = append(theirs, tty)
		e.cmd.Stdin, e.cmd.Stdout, e.cmd.Stderr = tty, tty, tty
		e.Resize(*call.Terminal)
	} else {
		in, stdin := pipe()
		stdout, out := pipe()
		theirs = append(theirs, in, out)
		e.stdin, e.stdout = stdin, stdout
		e.cmd.Stdin, e.cmd.Stdout = in, out
	}
	if !e.terminal || call.ErrorApart {
		stderr, out := pipe()
		theirs = append(theirs, out)
		e.stderr, e.cmd.Stderr = stderr, out
	}
	return theirs, err
}

func (e *Exec) start() error {
	started := make(chan error)
	go func() {
		// The program ends with the thread that forked (host.ExecTied), so that must not end
		// before the program does.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := e.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		_ = e.cmd.Wait() // the state says more
		e.code = e.cmd.ProcessState.ExitCode()
		if status, ok := e.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			e.code = 128 + int(status.Signal()) // as shells say it (POSIX.1-2024, 2.8.2)
		}
		close(e.exited)
	}()
	return <-started
}

// Stdin is where the program's input is written to.
func (e *Exec) Stdin() io.Writer { return e.stdin }

// CloseStdin ends the program's input: that of a terminal by the character for it.
func (e *Exec) CloseStdin() {
	if e.terminal {
		_, _ = e.stdin.Write([]byte{4}) // VEOF (POSIX.1-2024, 11.1.9); where it is another, nothing ends
		return
	}
	e.stdin.Close()
}

// Stdout is what the program writes, or its terminal shows.
func (e *Exec) Stdout() *os.File { return e.stdout }

// Stderr is what the program writes to standard error, nil where its terminal shows that.
func (e *Exec) Stderr() *os.File { return e.stderr }

// Signal sends a signal to the program and what it has started in its process group.
func (e *Exec) Signal(number byte) {
	select {
	case <-e.exited: // its number may be another's
	default:
		_ = unix.Kill(-e.cmd.Process.Pid, unix.Signal(number))
	}
}

// Resize says how large the user's terminal is.
func (e *Exec) Resize(size api.TerminalSize) {
	if e.terminal {
		_ = pty.Setsize(e.stdout, &pty.Winsize{Rows: size.Rows, Cols: size.Columns})
	}
}

// Wait waits until the program has ended, and returns its exit code.
func (e *Exec) Wait() int {
	<-e.exited
	return e.code
}

// hangUpTime is how long programs have to end when their user is gone.
const hangUpTime = 500 * time.Millisecond

// Close ends the program where it runs, with all of its session, as a terminal does that is gone: what has made a
// session of its own meanwhile stays. It returns when the program has ended.
func (e *Exec) Close() {
	e.end.Do(func() {
		select {
		case <-e.exited:
		default:
			e.hangUp()
		}
		e.closeFiles()
	})
}

func (e *Exec) hangUp() {
	session := e.cmd.Process.Pid
	signalSession(session, unix.SIGHUP, unix.SIGCONT) // a stopped process does not hear
	deadline := time.Now().Add(hangUpTime)
	for time.Now().Before(deadline) && len(inSession(session)) > 0 {
		time.Sleep(5 * time.Millisecond)
	}
	for len(inSession(session)) > 0 {
		signalSession(session, unix.SIGKILL)
		time.Sleep(time.Millisecond)
	}
	<-e.exited
}

func signalSession(session int, signals ...unix.Signal) {
	for _, pid := range inSession(session) {
		for _, s := range signals {
			_ = unix.Kill(pid, s) // it can only fail because the process has ended
		}
	}
}

// inSession are the processes of a session that have not ended. While there are any, no
// other session has its number (Linux, credentials(7)).
func inSession(session int) (pids []int) {
	proc, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer proc.Close()
	names, _ := proc.Readdirnames(-1)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		text, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue // it has ended
		}
		// The name, in brackets, may have anything in it: state, ppid, pgrp and session are behind the last one.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) > 3 && fields[3] == strconv.Itoa(session) && !slices.Contains([]string{"Z", "X"}, fields[0]) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (e *Exec) closeFiles() {
	for _, f := range []*os.File{e.stdin, e.stdout, e.stderr} {
		if f != nil {
			f.Close()
		}
	}
}
