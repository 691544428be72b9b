package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/rootless"
	"github.com/plinksim/plinksim/pkg/status"
)

// Examine looks at this machine for the user of this process, which must hand
// TryCommand on to Try.
func Examine(ctx context.Context) Report {
	r := Report{Schema: status.Schema, Machine: machine()}
	add := func(checks ...Check) { r.Checks = append(r.Checks, checks...) }
	add(kernelVersion())
	as := "root"
	if os.Geteuid() == 0 {
		r.User = "root"
		if rootless.Arrived() {
			r.User = "root of a user namespace"
		}
		add(capabilities())
	} else {
		r.User, as = "an ordinary user", "user namespace"
		add(userNamespaces(), joining(), users())
	}
	add(stateDirectory(), descriptors(), instances(), neighbours(), memory(), sharedMemory())
	add(tried(ctx)...)
	add(others()...)
	r.conclude(as)
	return r
}

func machine() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "Linux"
	}
	return fmt.Sprintf("Linux %s, %s, %d CPUs", unix.ByteSliceToString(name.Release[:]),
		unix.ByteSliceToString(name.Machine[:]), runtime.NumCPU())
}

// oldest is the first version of Linux that has all that labs use: bridge
// parameters and ingress chains of nftables in each network namespace.
var oldest = [2]int{5, 4}

func kernelVersion() Check {
	var name unix.Utsname
	var major, minor int
	err := unix.Uname(&name)
	release := unix.ByteSliceToString(name.Release[:])
	if _, scanErr := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil || scanErr != nil {
		return ok("kernel", release)
	}
	if major < oldest[0] || major == oldest[0] && minor < oldest[1] {
		return Check{"kernel", Missing, release, "labs use what came with Linux 5.4", "use a newer kernel"}
	}
	return ok("kernel", release)
}

func capabilities() Check {
	err := host.CheckCapabilities(host.SysAdmin, host.NetAdmin, host.NetRaw, host.NetBindService)
	if err == nil {
		return ok("capabilities", "SYS_ADMIN, NET_ADMIN, NET_RAW, NET_BIND_SERVICE")
	}
	return Check{"capabilities", Missing, err.Error(), "root of this container may make no lab", hintOf(err)}
}

func userNamespaces() Check {
	const name = "user namespaces"
	if err := rootless.Check(); err != nil {
		return Check{name, Missing, err.Error(), "only root can have labs in the kernel", hintOf(err)}
	}
	limit := "no limit"
	if text, err := os.ReadFile("/proc/sys/user/max_user_namespaces"); err == nil {
		limit = "at most " + strings.TrimSpace(string(text))
	}
	return ok(name, "ordinary users may make them, "+limit)
}

func joining() Check {
	argv, err := rootless.Join(os.Getpid(), nil)
	if err != nil {
		return Check{"nsenter", Missing, err.Error(), "the daemon and programs cannot get into a lab's namespaces", hintOf(err)}
	}
	return ok("nsenter", argv[0])
}

func users() Check {
	const name = "other users"
	if n := rootless.Users(); n > 1 {
		return ok(name, fmt.Sprintf("a lab has %d users: programs can become others than root", n))
	}
	return Check{name, Warning, "a lab has root alone, outside it is this user",
		"programs that become another user, for example nginx and mariadbd, need an option that keeps them root",
		"install newuidmap and newgidmap (Debian: uidmap), and give the user numbers in /etc/subuid and /etc/subgid: " +
			"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 USER"}
}

func stateDirectory() Check {
	const name = "state directory"
	root := labdir.Root()
	if err := writable(root); err != nil {
		return Check{name, Missing, fmt.Sprintf("%s: %v", root, err), "the files of labs have no place",
			fmt.Sprintf("name another directory: export %s=DIR", labdir.RootVariable)}
	}
	if why := labdir.Fallback(); why != "" {
		return Check{name, Warning, why, "a shell in which it is set looks for labs elsewhere",
			fmt.Sprintf("export XDG_RUNTIME_DIR, or %s=%s", labdir.RootVariable, root)}
	}
	return ok(name, root)
}

// writable says why nothing can be made in a directory, or in the first above it
// that is there.
func writable(dir string) error {
	for {
		made, err := os.MkdirTemp(dir, "plinksim-doctor")
		if err == nil {
			return os.Remove(made)
		}
		if !errors.Is(err, fs.ErrNotExist) || dir == "/" {
			return err
		}
		if _, err := os.Lstat(dir); err == nil {
			return fmt.Errorf("nothing can be made in %s", dir) // as in /proc
		}
		dir = filepath.Dir(dir)
	}
}

// What a lab needs of files: the daemon of a small one has some dozens open, and
// each connection of its built-in services one or two.
const (
	fewestFiles = 256
	goodFiles   = 4096
)

func descriptors() Check {
	const name, unit = "descriptors", "files of a process"
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return Check{Name: name, State: NotTried, Found: err.Error()}
	}
	found := fmt.Sprintf("at most %d %s", limit.Max, unit)
	const remedy = "raise the hard limit: ulimit -Hn 65536, LimitNOFILE=65536 of a unit, docker run --ulimit nofile=65536"
	switch {
	case limit.Max < fewestFiles:
		return Check{name, Missing, found, "the daemon of a lab needs more", remedy}
	case limit.Max < goodFiles:
		return Check{name, Warning, found, "large labs, and built-in services with many connections, need more", remedy}
	}
	return ok(name, found)
}

// goodInstances is how many instances a large lab has.
const goodInstances = 1000

// instances says how many there may be, of all labs of the user: each is a network
// namespace (user_namespaces(7), namespaces(7)).
func instances() Check {
	const name, limits = "instances", "/proc/sys/user/max_net_namespaces"
	most, err := numberIn(limits)
	if errors.Is(err, fs.ErrNotExist) {
		return ok(name, "no limit of network namespaces")
	}
	if err != nil {
		return Check{Name: name, State: NotTried, Found: err.Error()}
	}
	found := fmt.Sprintf("at most %d network namespaces, of which each instance is one", most)
	if most < goodInstances {
		return Check{name, Warning, found, "large labs, and many labs at a time, need more",
			"sudo sysctl user.max_net_namespaces=15000; in a user namespace, in that around it"}
	}
	return ok(name, found)
}

// numberIn is what a file of /proc/sys has.
func numberIn(file string) (int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// defaultNeighbours is how many the kernel has room for where nobody says otherwise
// (arp(7), gc_thresh3).
const defaultNeighbours = 1024

// neighbours says how many addresses the kernel resolves at a time. Its table is one for
// all network namespaces, and only that of the machine has its limit in /proc.
func neighbours() Check {
	const name, limit = "neighbours", "/proc/sys/net/ipv4/neigh/default/gc_thresh3"
	most, err := numberIn(limit)
	if errors.Is(err, fs.ErrNotExist) {
		return Check{Name: name, State: NotTried, Found: "the limit is that of the machine around this network namespace"}
	}
	if err != nil {
		return Check{Name: name, State: NotTried, Found: err.Error()}
	}
	found := fmt.Sprintf("at most %d in all network namespaces, of which each instance that speaks takes two", most)
	if most < defaultNeighbours {
		return Check{name, Warning, found, "where more instances speak at a time, packets are lost: no buffer space available",
			"sudo sysctl net.ipv4.neigh.default.gc_thresh3=16384"}
	}
	return ok(name, found)
}

func memory() Check {
	var kB uint64
	text, err := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(text)) {
		fmt.Sscanf(line, "MemAvailable: %d kB", &kB)
	}
	if err != nil || kB == 0 {
		return Check{Name: "memory", State: NotTried, Found: "/proc/meminfo does not say it"}
	}
	found := fmt.Sprintf("%d MiB are free", kB>>10)
	if kB < 256<<10 {
		return Check{"memory", Warning, found, "a lab of some dozens of instances takes 100 MiB and more",
			"end other programs, or give the machine more"}
	}
	return ok("memory", found)
}

func sharedMemory() Check {
	const name, dir = "/dev/shm", "/dev/shm"
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return Check{name, Warning, err.Error(),
			"programs on instances that share memory, for example PostgreSQL and browsers, do not start",
			"sudo mount -t tmpfs -o mode=1777 tmpfs /dev/shm; docker run --shm-size 64m"}
	}
	return ok(name, "writable")
}

// TryCommand is the first argument with which a program prints what Try finds, as
// JSON.
const TryCommand = "__doctor"

// tried is what Try finds where the user is root.
func tried(ctx context.Context) []Check {
	fail := func(err error) []Check {
		return []Check{{Name: "a lab", State: NotTried, Found: err.Error()}}
	}
	switch {
	case os.Geteuid() == 0 && capabilities().State != OK:
		return fail(errors.New("capabilities are missing"))
	case os.Geteuid() == 0:
		return Try()
	case rootless.Check() != nil:
		return fail(errors.New("there are no user namespaces"))
	}
	self, err := os.Executable()
	if err != nil {
		return fail(err)
	}
	again := exec.CommandContext(ctx, self, TryCommand)
	var out strings.Builder
	again.Stdout = &out
	if err := rootless.Start(again); err != nil {
		return fail(err)
	}
	if err := again.Wait(); err != nil {
		return fail(err)
	}
	var checks []Check
	if err := json.Unmarshal([]byte(out.String()), &checks); err != nil {
		return fail(err)
	}
	return checks
}

// others are programs that change networks, and what they change of the kernel.
func others() []Check {
	var running []string
	for _, program := range []struct{ name, sign string }{
		{"Docker", "/run/docker.sock"}, {"firewalld", "/run/firewalld"}, {"NetworkManager", "/run/NetworkManager"},
	} {
		if _, err := os.Stat(program.sign); err == nil {
			running = append(running, program.name)
		}
	}
	checks := []Check{ok("other programs", "neither Docker, firewalld nor NetworkManager runs here")}
	if len(running) > 0 {
		checks[0].Found = strings.Join(running, ", ") +
			": they work on the machine's own network namespace, in which labs make nothing"
	}
	if text, err := os.ReadFile("/proc/sys/net/bridge/bridge-nf-call-iptables"); err == nil && text[0] == '1' {
		checks = append(checks, ok("br_netfilter",
			"bridged packets pass iptables on this machine, as Docker wants; labs switch that off in their namespaces"))
	}
	if text, err := os.ReadFile("/proc/sys/net/ipv4/conf/all/rp_filter"); err == nil {
		checks = append(checks, ok("rp_filter", strings.TrimSpace(string(text))+" on this machine, 0 in the VPCs of labs"))
	}
	return checks
}

func hintOf(err error) string {
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		return hinted.Hint()
	}
	return ""
}
