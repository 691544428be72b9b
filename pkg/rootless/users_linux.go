package rootless

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// idMap is a map of users or groups with a program that may write it.
type idMap struct {
	program string
	self    int // the user's own number, which becomes 0
	first   int // of those that become 1 and more
	count   int
}

func (m idMap) write(pid int) error {
	args := []string{strconv.Itoa(pid), "0", strconv.Itoa(m.self), "1", "1", strconv.Itoa(m.first), strconv.Itoa(m.count)}
	out, err := exec.Command(m.program, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", m.program, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Users is how many users there are where Start leads to.
func Users() int {
	maps, ok := manyUsers()
	if !ok {
		return 1
	}
	return 1 + maps[0].count
}

// manyUsers are the maps of users and groups, where this user may have more than
// himself.
func manyUsers() (maps [2]idMap, ok bool) {
	if set, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err != nil || set != 0 || os.Geteuid() == 0 {
		return maps, false // newuidmap would get no rights by being started
	}
	name := ""
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	for i, of := range []struct {
		program, list string
		self          int
	}{{"newuidmap", "/etc/subuid", os.Geteuid()}, {"newgidmap", "/etc/subgid", os.Getegid()}} {
		program, err := exec.LookPath(of.program)
		if err != nil {
			return maps, false
		}
		// subgid(5): the line is that of the user here too.
		first, count := rangeOf(of.list, name, os.Geteuid())
		if count == 0 {
			return maps, false
		}
		maps[i] = idMap{program, of.self, first, count}
	}
	return maps, true
}

// rangeOf finds a user's first line in a file as subuid(5) describes it.
func rangeOf(file, name string, uid int) (first, count int) {
	f, err := os.Open(file)
	if err != nil {
		return 0, 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Split(strings.TrimSpace(lines.Text()), ":")
		if len(fields) != 3 || fields[0] != name && fields[0] != strconv.Itoa(uid) {
			continue
		}
		first, err1 := strconv.Atoi(fields[1])
		count, err2 := strconv.Atoi(fields[2])
		if err1 == nil && err2 == nil && first > 0 && count > 0 {
			return first, count
		}
	}
	return 0, 0
}
