package host

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// inside is a command that runs a program with Exec.
func inside(dir, namespace string, argv ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", argv...)
	cmd.Env = append(os.Environ(), execEnv+"="+dir+":"+namespace)
	return cmd
}

// startReady starts a command and waits for its first line.
func startReady(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	_, err = bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
}

// sleeper is a program that runs in a namespace until it is ended.
func sleeper(t testing.TB, dir, namespace string) *exec.Cmd {
	t.Helper()
	cmd := inside(dir, namespace, "sh", "-c", "echo ready; exec sleep 1000")
	startReady(t, cmd)
	return cmd
}

func output(t *testing.T, cmd *exec.Cmd) (stdout string, code int) {
	t.Helper()
	var buf, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &buf, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return stderr.String(), exit.ExitCode()
	}
	require.NoError(t, err, stderr.String())
	return buf.String(), 0
}

func TestExecShowsTheInstance(t *testing.T) {
	dir := built(t, twoVPCs())
	before, err := os.ReadFile("/etc/resolv.conf")
	require.NoError(t, err)
	for _, tt := range []struct {
		name string
		argv []string
		want string
	}{
		{"its DNS servers", []string{"cat", "/etc/resolv.conf"},
			"nameserver 100.100.2.136\nnameserver 100.100.2.138\nsearch vpc1.internal\n"},
		{"its names", []string{"cat", "/etc/hosts"}, "127.0.0.1\tlocalhost\n10.10.2.1\tecs1.vpc1.internal ecs1\n"},
		{"its host name", []string{"uname", "-n"}, "ecs1\n"},
		{"its devices in /sys", []string{"cat", "/sys/class/net/eth0/address"}, "02:00:0a:0a:02:01\n"},
		{"the environment it was given", []string{"sh", "-c", "echo $IN"}, "vpc1.ecs1\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, code := output(t, inside(dir, "vpc1.ecs1", tt.argv...))
			require.Zero(t, code, got)
			require.Equal(t, tt.want, got)
		})
	}
	after, err := os.ReadFile("/etc/resolv.conf")
	require.NoError(t, err)
	require.Equal(t, before, after, "the host's own is as it was")
}

// What answers with the host's names by a socket is hidden. The test makes a
// /run that only its own programs see, with files in place of the sockets.
func TestExecHidesTheNameServicesOfTheHost(t *testing.T) {
	dir := built(t, twoVPCs())
	const prepare = `mount -t tmpfs tmpfs /run; mkdir -p /run/nscd /run/systemd/resolve
echo host >/run/nscd/socket; echo host >/run/systemd/resolve/io.systemd.Resolve; echo host >/run/systemd/resolve/stub-resolv.conf; exec "$@"`
	program := inside(dir, "vpc1.ecs1", "sh", "-c", "ls /run/nscd; cat /run/systemd/resolve/io.systemd.Resolve /run/systemd/resolve/stub-resolv.conf")
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command("unshare", append([]string{"--mount", "sh", "-ec", prepare, "sh", self}, program.Args[1:]...)...)
	cmd.Env = program.Env
	got, code := output(t, cmd)
	require.Zero(t, code, got)
	require.Equal(t, "host\n", got, "only the file beside the socket is left, for links to it")
}

func TestExecInAVPCShowsTheHostsFiles(t *testing.T) {
	dir := built(t, twoVPCs())
	want, err := os.ReadFile("/etc/resolv.conf")
	require.NoError(t, err)
	got, code := output(t, inside(dir, "vpc1", "cat", "/etc/resolv.conf"))
	require.Zero(t, code)
	require.Equal(t, string(want), got)
}

func TestProgramsSeeAChangeOfTheirFiles(t *testing.T) {
	old, plan := twoVPCs(), twoVPCs()
	plan.VPCs[0].Resolvers = plan.VPCs[0].Resolvers[:1]
	dir := built(t, old)
	runs := sleeper(t, dir, "vpc1.ecs1")
	require.NoError(t, Change(t.Context(), dir, old, plan, nil))
	seen, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(runs.Process.Pid), "root/etc/resolv.conf"))
	require.NoError(t, err)
	require.Equal(t, "nameserver 100.100.2.136\nsearch vpc1.internal\n", string(seen))
}

func TestExecSaysWhyItCannot(t *testing.T) {
	dir := built(t, twoVPCs())
	plain := filepath.Join(t.TempDir(), "plain")
	require.NoError(t, os.WriteFile(plain, []byte("text"), 0o644))
	garbage := filepath.Join(t.TempDir(), "garbage")
	require.NoError(t, os.WriteFile(garbage, []byte("text"), 0o755))
	for _, tt := range []struct {
		name, namespace, program string
		code                     int
		message                  string
	}{
		{"a program that is nowhere in PATH", "vpc1.ecs1", "no-such-program", 127, "no-such-program: no such program in PATH"},
		{"a path to nothing", "vpc1.ecs1", "/no/such/program", 127, "/no/such/program: no such program"},
		{"a file without execute permission", "vpc1.ecs1", plain, 126, plain + " cannot be executed: it has no execute permission"},
		{"a directory", "vpc1.ecs1", "/etc", 126, "/etc cannot be executed: it is a directory"},
		{"a file of an unknown format", "vpc1.ecs1", garbage, 126, garbage + " cannot be executed: exec format error"},
		{"a namespace that is not there", "vpc1.ecs7", "true", 1, "vpc1.ecs7: the namespace file does not exist"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, code := output(t, inside(dir, tt.namespace, tt.program))
			require.Equal(t, tt.code, code, got)
			require.Contains(t, got, tt.message)
		})
	}
}
