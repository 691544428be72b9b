package host

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a process that runs in one of a lab's namespaces.
type Process struct {
	PID       int
	Namespace string
	Command   string // as it was started, "" where the kernel does not say
}

// Processes lists the processes in a lab's namespaces. A process counts where
// its main thread is.
func Processes(dir string) ([]Process, error) {
	names, err := Namespaces(dir)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	return processesIn(dir, names)
}

// inode identifies a namespace.
type inode struct{ dev, ino uint64 }

func inodeOf(path string) (inode, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return inode{}, err
	}
	return inode{uint64(st.Dev), st.Ino}, nil
}

func processesIn(dir string, names []string) ([]Process, error) {
	spaces := map[inode]string{}
	for _, name := range names {
		if id, err := inodeOf(netnsFile(dir, name)); err == nil {
			spaces[id] = name
		}
	}
	if len(spaces) == 0 {
		return nil, nil
	}
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer proc.Close()
	entries, err := proc.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var found []Process
	for _, e := range entries {
		pid, err := strconv.Atoi(e)
		if err != nil {
			continue
		}
		id, err := inodeOf("/proc/" + e + "/ns/net")
		if err != nil {
			continue // it has ended, or it is a zombie
		}
		if name, ok := spaces[id]; ok {
			found = append(found, Process{pid, name, commandOf(pid)})
		}
	}
	slices.SortFunc(found, func(a, b Process) int { return a.PID - b.PID })
	return found, nil
}

func commandOf(pid int) string {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
}

const (
	termGrace = 500 * time.Millisecond // between SIGTERM and SIGKILL
	killGrace = 5 * time.Second        // until a killed process must be gone
)

// killInside ends the processes in the named namespaces of a lab, or in all of
// them where none is named, but never the calling process.
func killInside(dir string, names ...string) error {
	if len(names) == 0 {
		all, err := Namespaces(dir)
		if err != nil {
			return err
		}
		names = all
	}
	// Whoever is killed may have started another one just before.
	for round := 0; ; round++ {
		victims, err := victimsIn(dir, names)
		if err != nil || len(victims) == 0 {
			return err
		}
		if round == 10 {
			victims.close()
			return fmt.Errorf("processes in the lab start new ones faster than they can be killed; the last had the id %d",
				victims[0].pid)
		}
		err = victims.end()
		victims.close()
		if err != nil {
			return err
		}
	}
}

// victim is a process that cannot be mistaken for a later one with its id.
type victim struct {
	pid int
	fd  int // pidfd
}

type victims []victim

func victimsIn(dir string, names []string) (victims, error) {
	processes, err := processesIn(dir, names)
	if err != nil {
		return nil, err
	}
	var vs victims
	for _, p := range processes {
		if p.PID == os.Getpid() {
			continue
		}
		fd, err := unix.PidfdOpen(p.PID, 0)
		if err != nil {
			continue // it has ended
		}
		// The id may have gone to another process since it was looked at.
		id, err1 := inodeOf(fmt.Sprintf("/proc/%d/ns/net", p.PID))
		want, err2 := inodeOf(netnsFile(dir, p.Namespace))
		if err1 != nil || err2 != nil || id != want {
			unix.Close(fd)
			continue
		}
		vs = append(vs, victim{p.PID, fd})
	}
	return vs, nil
}

func (vs victims) end() error {
	vs.signal(unix.SIGTERM)
	vs.signal(unix.SIGCONT) // a stopped process does not hear
	left := vs.wait(termGrace)
	left.signal(unix.SIGKILL)
	if left = left.wait(killGrace); len(left) > 0 {
		return fmt.Errorf("process %[1]d does not end, though it was killed: see /proc/%[1]d/stack for what it waits for",
			left[0].pid)
	}
	return nil
}

func (vs victims) signal(sig unix.Signal) {
	for _, v := range vs {
		// It can only fail because the process has ended.
		_ = unix.PidfdSendSignal(v.fd, sig, nil, 0)
	}
}

// wait returns those that have not ended after a time.
func (vs victims) wait(grace time.Duration) victims {
	deadline := time.Now().Add(grace)
	for {
		var fds []unix.PollFd
		for _, v := range vs {
			fds = append(fds, unix.PollFd{Fd: int32(v.fd), Events: unix.POLLIN})
		}
		left := time.Until(deadline)
		if len(vs) == 0 || left <= 0 {
			return vs
		}
		_, err := unix.Poll(fds, int(left.Milliseconds())+1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return vs
		}
		var alive victims
		for i, v := range vs {
			if fds[i].Revents == 0 {
				alive = append(alive, v)
			}
		}
		vs = alive
	}
}

func (vs victims) close() {
	for _, v := range vs {
		unix.Close(v.fd)
	}
}
