package kernel

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Run implements lab.Runner. What the program prints goes to the lab's log
// directory. The kernel ends it when this process ends, however that happens.
func (s *space) Run(argv []string, beside string, ended func(how, log string)) (stop func(), err error) {
	if err := findProgram(beside, argv[0]); err != nil {
		return nil, err
	}
	log, err := s.openLog(argv[0])
	if err != nil {
		return nil, err
	}
	defer log.Close()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, append([]string{EnterCommand, string(s.dir), s.name}, argv...)...)
	cmd.Dir = beside
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}

	started, gone := make(chan error), make(chan struct{})
	go func() {
		defer close(gone)
		// Pdeathsig is sent when the thread that forked ends, so it must not
		// end before the program does.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			ended(exitText(cmd.Wait()), log.Name())
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	return func() { stopGroup(cmd.Process.Pid, gone) }, nil
}

// findProgram says beforehand what a shell would say: afterwards nobody is
// there to hear it.
func findProgram(beside, program string) error {
	if strings.Contains(program, "/") && !filepath.IsAbs(program) {
		program = filepath.Join(beside, program)
	}
	_, err := exec.LookPath(program)
	return err
}

func (s *space) openLog(program string) (*os.File, error) {
	if err := os.MkdirAll(s.dir.Path("log"), 0o700); err != nil {
		return nil, err
	}
	name := s.name + "." + filepath.Base(program) + ".log"
	return os.OpenFile(s.dir.Path("log", name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

// stopGroup ends a program and what it started, if it has not ended yet: its
// number may be another's by then.
func stopGroup(pid int, ended <-chan struct{}) {
	select {
	case <-ended:
		return
	default:
	}
	unix.Kill(-pid, unix.SIGTERM)
	select {
	case <-ended:
	case <-time.After(2 * time.Second):
	}
	unix.Kill(-pid, unix.SIGKILL)
	<-ended
}

// EnterCommand is the first argument with which the plinksim program runs
// another one inside a namespace: EnterCommand DIR NAMESPACE PROGRAM ARG….
const EnterCommand = "__enter"

func exitText(err error) string {
	if err == nil {
		return "exit status 0"
	}
	return err.Error()
}
