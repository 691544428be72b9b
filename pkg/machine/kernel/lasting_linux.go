package kernel

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/labdir"
)

// programs are those that a lasting machine runs on the instances: they go on when
// this process ends, and the next one takes them up. There is a file for each while
// it runs, with the numbers that tell it from all other processes.
type programs struct{ dir labdir.Dir }

const programsDir = "programs"

// programRecord is what the file says. PID is 0 while the program is being started:
// whoever finds that looks for it by its mark.
type programRecord struct {
	Name  string `json:"name"`
	PID   int    `json:"pid,omitempty"`
	Start uint64 `json:"start,omitempty"` // ticks since the machine's start (proc_pid_stat(5))
	Log   string `json:"log"`
}

// markVariable is in the environment of a program and of all that it starts.
const markVariable = "PLINKSIM_PROGRAM"

func (p programs) path(name string) string {
	sum := sha256.Sum256([]byte(name))
	return p.dir.Path(programsDir, hex.EncodeToString(sum[:12])+".json")
}

func (p programs) mark(name string) string { return markVariable + "=" + p.path(name) }

// running is the program that an earlier process has started under a name, nil
// where there is none, or none any more. One that was just being started when that
// process was killed is ended: nobody knows it yet.
func (p programs) running(name string) (*taken, error) {
	record, err := readRecord(p.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil || record.PID == 0 {
		return nil, errors.Join(p.endMarked(p.mark(name)), p.forget(name))
	}
	t, err := takeUp(record)
	if t == nil && err == nil {
		err = p.forget(name)
	}
	return t, err
}

func readRecord(path string) (r programRecord, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(text, &r)
}

func (p programs) note(r programRecord) error {
	if err := os.MkdirAll(p.dir.Path(programsDir), 0o700); err != nil {
		return err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	path := p.path(r.Name)
	if err := os.WriteFile(path+".next", text, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".next", path)
}

func (p programs) forget(name string) error {
	err := os.Remove(p.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// EndOthers implements lab.ProgramKeeper.
func (m *Machine) EndOthers(keep func(name string) bool) error {
	if !m.lasting {
		return nil
	}
	p := programs{m.dir}
	files, err := filepath.Glob(p.dir.Path(programsDir, "*.json"))
	if err != nil {
		return err
	}
	var ending sync.WaitGroup
	errs := make([]error, len(files))
	for i, file := range files {
		record, err := readRecord(file)
		if err != nil || keep(record.Name) {
			continue // what cannot be read is looked for when it is to be started
		}
		ending.Go(func() {
			t, err := p.running(record.Name)
			if t != nil {
				t.watch()
				stopGroup(t.pid, t.ended)
				err = p.forget(record.Name)
			}
			errs[i] = err
		})
	}
	ending.Wait()
	return errors.Join(errs...)
}

// taken is a program that an earlier process has started.
type taken struct {
	pid   int
	fd    int // pidfd
	log   string
	ended chan struct{}
}

// takeUp opens the process of a record; nil where that has ended.
func takeUp(r programRecord) (*taken, error) {
	fd, err := unix.PidfdOpen(r.PID, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open process %d: %w", r.PID, err)
	}
	// From here on the number is that process's, or was.
	if start, alive := startOf(r.PID); !alive || start != r.Start {
		return nil, unix.Close(fd)
	}
	return &taken{pid: r.PID, fd: fd, log: r.Log, ended: make(chan struct{})}, nil
}

// watch closes ended when the program has ended. How is known to its parent alone.
func (t *taken) watch() {
	go func() {
		defer close(t.ended)
		defer unix.Close(t.fd)
		for {
			_, err := unix.Poll([]unix.PollFd{{Fd: int32(t.fd), Events: unix.POLLIN}}, -1)
			if !errors.Is(err, unix.EINTR) {
				return
			}
		}
	}()
}

// startOf is when a process started, in ticks, and whether it has not ended.
func startOf(pid int) (start uint64, alive bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	// The name may have blanks and parentheses: it ends with the last one.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	const state, startTime = 0, 19 // of those behind the name
	if len(fields) <= startTime || fields[state] == "Z" || fields[state] == "X" {
		return 0, false
	}
	start, err = strconv.ParseUint(fields[startTime], 10, 64)
	return start, err == nil
}

// endMarked ends the processes in the lab's namespaces that have a mark in their
// environment.
func (p programs) endMarked(mark string) error {
	all, err := host.Processes(string(p.dir))
	if err != nil {
		return err
	}
	for _, process := range all {
		fd, err := unix.PidfdOpen(process.PID, 0)
		if err != nil {
			continue // it has ended
		}
		environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", process.PID))
		if err == nil && bytes.Contains(append(environment, 0), append([]byte(mark), 0)) {
			// It can only fail because the process has ended.
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
		unix.Close(fd)
	}
	return nil
}
