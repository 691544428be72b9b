package kernel

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/lab"
)

// Run implements lab.Runner. What the program prints goes to the lab's log
// directory. On a lasting machine the program goes on when this process ends, and
// one that an earlier process has started under the name is taken up. On others the
// kernel ends it when this process ends, however that happens.
func (s *space) Run(program lab.Program, ended func(how, log string)) (stop func(), err error) {
	if !s.lasting {
		_, stop, err = s.start(program, ended)
		return stop, err
	}
	p, name := programs{s.dir}, program.Name
	t, err := p.running(name)
	if err != nil {
		return nil, err
	}
	if t != nil {
		t.watch()
		go func() {
			<-t.ended
			_ = p.forget(name)
			ended("as the daemon that had started it is gone, nobody knows how", t.log)
		}()
		return func() { stopGroup(t.pid, t.ended) }, nil
	}
	record := programRecord{Name: name, Log: s.logPath(program.Argv[0])}
	if err := p.note(record); err != nil {
		return nil, err
	}
	program.Env = append(slices.Clip(program.Env), p.mark(name))
	record.PID, stop, err = s.start(program, func(how, log string) {
		_ = p.forget(name)
		ended(how, log)
	})
	if err != nil {
		return nil, errors.Join(err, p.forget(name))
	}
	// Where it has ended by now, the file goes when somebody looks for the program.
	record.Start, _ = startOf(record.PID)
	if err := p.note(record); err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

func (s *space) start(program lab.Program, ended func(how, log string)) (pid int, stop func(), err error) {
	argv := program.Argv
	if err := findProgram(program.Beside, argv[0]); err != nil {
		return 0, nil, err
	}
	log, err := s.openLog(argv[0])
	if err != nil {
		return 0, nil, err
	}
	defer log.Close()
	self, err := os.Executable()
	if err != nil {
		return 0, nil, err
	}
	cmd := exec.Command(self, append([]string{ServiceCommand, string(s.dir), s.name}, argv...)...)
	env := slices.Concat(host.ServiceEnviron(os.Environ()), host.TrustEnviron(string(s.dir)), program.Env)
	cmd.Dir, cmd.Env = program.Beside, host.LastOfEach(env)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	if !s.lasting {
		cmd.SysProcAttr.Pdeathsig = unix.SIGKILL
	}

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
		return 0, nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	return cmd.Process.Pid, func() { stopGroup(cmd.Process.Pid, gone) }, nil
}

// findProgram says beforehand what a shell would say: afterwards nobody is
// there to hear it.
func findProgram(beside, program string) error {
	if strings.Contains(program, "/") && !filepath.IsAbs(program) {
		program = filepath.Join(beside, program)
	}
	_, err := exec.LookPath(program)
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("there is no program %q on this machine: install it, or write its path", program)
	}
	return err
}

func (s *space) openLog(program string) (*os.File, error) {
	if err := os.MkdirAll(s.dir.Path("log"), 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(s.logPath(program), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

func (s *space) logPath(program string) string {
	return s.dir.Path("log", s.name+"."+filepath.Base(program)+".log")
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

// The first arguments with which the plinksim program, or a test binary, becomes
// another one inside a namespace, for the user, for one of another host, or as a service:
// EnterCommand DIR NAMESPACE PROGRAM ARG….
const (
	EnterCommand   = "__enter"
	tiedCommand    = "__exec"
	ServiceCommand = "__service"
)

// Enter does what the arguments of this process say, where the first of them is
// such a one. It returns where it is not, and where the program
// could not be started; then asked is true.
func Enter(args []string) (asked bool, err error) {
	exec := map[string]func(dir, namespace string, argv, env []string) error{
		EnterCommand: host.Exec, tiedCommand: host.ExecTied, ServiceCommand: host.ExecService,
	}
	if len(args) < 5 || exec[args[1]] == nil {
		return false, nil
	}
	return true, exec[args[1]](args[2], args[3], args[4:], os.Environ())
}

func exitText(err error) string {
	if err == nil {
		return lab.Succeeded
	}
	return err.Error()
}
