package test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/host"
	"github.com/plinksim/plinksim/pkg/labdir"
)

// command is a command of the program on a host. It and nsenter are one process.
func (h hostMachine) command(args ...string) *exec.Cmd {
	cmd := exec.Command("nsenter", append([]string{"--net=/run/netns/" + h.netns, h.bin}, args...)...)
	cmd.Env = append(os.Environ(), labdir.RootVariable+"="+h.dir)
	return cmd
}

// requireNothingRuns waits until a program has ended on all instances of a host.
func (h hostMachine) requireNothingRuns(program string) {
	h.t.Helper()
	require.Eventually(h.t, func() bool {
		processes, err := host.Processes(filepath.Join(h.dir, h.lab))
		return err == nil && !slices.ContainsFunc(processes, func(p host.Process) bool { return strings.Contains(p.Command, program) })
	}, 10*time.Second, 10*time.Millisecond, "host %s: %s runs on", h.name, program)
}

// An instance is reached from every host as from its own, and a capture has the packets of all.
func TestHostsReachTheInstancesOfEachOther(t *testing.T) {
	t.Parallel()
	testenv.NeedRoot(t)
	testenv.NeedNoRace(t) // the program is built without it
	testenv.NeedPrograms(t, "ip", "nsenter", "unshare", "curl", "nft", "sha256sum", "stty")
	hosts := hostMachines(t, "over-hosts", 1550, "a", "b")
	a, b := hosts[0], hosts[1]
	file := filepath.Join(t.TempDir(), "over.yaml")
	require.NoError(t, os.WriteFile(file, []byte(overHosts), 0o600))
	certificates := t.TempDir()
	a.run("hosts", "certificates", file, "--out", certificates)
	for _, h := range hosts {
		h.run("up", file, "--host", h.name, "--tls", filepath.Join(certificates, h.name))
	}

	execEachOther(t, a, b)
	terminalOfAnotherHost(t, a, b)
	captureBoth(t, a, b)
}

func execEachOther(t *testing.T, a, b hostMachine) {
	for _, tt := range []struct {
		from     hostMachine
		instance string
		address  string
	}{{a, "web-i", "10.0.2.10"}, {b, "web-h", "10.0.1.10"}} {
		// The instance's network, names and environment; both outputs apart; the exit code.
		cmd := tt.from.command("exec", "-e", "WORD=given", tt.instance, "--", "sh", "-c",
			"ip -br address show eth0; uname -n; cat /etc/resolv.conf; echo $PLINKSIM_INSTANCE $WORD; pwd; echo sorry >&2; exit 42")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		require.Equal(t, 42, cmd.ProcessState.ExitCode(), "%v: %s", err, stderr.String())
		require.Equal(t, "sorry\n", stderr.String())
		for _, want := range []string{tt.address + "/24", "\n" + tt.instance + "\n", "nameserver 100.100.2.136", tt.instance + " given\n"} {
			require.Contains(t, string(out), want)
		}
		wd, err := os.Getwd()
		require.NoError(t, err)
		require.Contains(t, string(out), "\n"+wd+"\n", "the directory of the user, as the host has it")
	}
	for _, tt := range []struct {
		program, want string
		code          int
	}{
		{"no-such-program", "plinksim: no-such-program: no such program in PATH\n", 127},
		{"/etc", "plinksim: /etc cannot be executed: it is a directory\n", 126},
	} {
		here, there := a.command("exec", "web-h", "--", tt.program), a.command("exec", "web-i", "--", tt.program)
		one, _ := here.CombinedOutput()
		two, _ := there.CombinedOutput()
		require.Equal(t, tt.want, string(one))
		require.Equal(t, string(one), string(two), "the same as on the own host")
		require.Equal(t, []int{tt.code, tt.code}, []int{here.ProcessState.ExitCode(), there.ProcessState.ExitCode()})
	}

	data := make([]byte, 10<<20)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(data)
	sum := a.command("exec", "web-i", "--", "sha256sum")
	sum.Stdin = bytes.NewReader(data)
	out, err := sum.Output()
	require.NoError(t, err)
	require.Equal(t, fmt.Sprintf("%x  -\n", sha256.Sum256(data)), string(out))

	// A signal to the command is one to the program, and what is killed takes the program along.
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		cmd := a.command("exec", "web-i", "--", "sh", "-c", "echo ready; sleep 4321")
		stdout, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		_, err = io.ReadFull(stdout, make([]byte, len("ready\n")))
		require.NoError(t, err)
		require.NoError(t, cmd.Process.Signal(signal))
		_ = cmd.Wait()
		if signal == syscall.SIGTERM {
			require.Equal(t, 128+15, cmd.ProcessState.ExitCode())
		}
		b.requireNothingRuns("sleep 4321")
	}
}

func terminalOfAnotherHost(t *testing.T, a, b hostMachine) {
	cmd := a.command("exec", "-it", "web-i", "--", "sh", "-c", "stty size; cat -u")
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 33, Cols: 101})
	require.NoError(t, err)
	defer terminal.Close()
	require.NoError(t, terminal.SetReadDeadline(time.Now().Add(20*time.Second)))
	shown, buf := "", make([]byte, 1024)
	await := func(text string) {
		for !strings.Contains(shown, text) {
			n, err := terminal.Read(buf)
			require.NoError(t, err, "%s", shown)
			shown += string(buf[:n])
		}
	}
	await("33 101\r\n")
	// The second line is cat's. A word of the shell before it would be too early: dash loses a ctrl-C that comes
	// between its fork and the program, on any terminal.
	_, err = terminal.Write([]byte("typed\r"))
	require.NoError(t, err)
	await("typed\r\ntyped\r\n")
	_, err = terminal.Write([]byte{3}) // ctrl-C
	require.NoError(t, err)
	late := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	_ = cmd.Wait()
	late.Stop()
	require.Equal(t, 128+2, cmd.ProcessState.ExitCode(), "%s", shown)
	b.requireNothingRuns("cat -u")
}

// captureBoth records calls that begin on either host in turn, and looks for their first packets.
func captureBoth(t *testing.T, a, b hostMachine) {
	path := filepath.Join(t.TempDir(), "both.pcapng")
	capture := a.command("capture", "-w", path, "--port", "80")
	begun, err := capture.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, capture.Start())
	_, err = io.ReadFull(begun, make([]byte, len("plinksim: capturing")))
	require.NoError(t, err)
	var want []string
	for range 3 {
		a.run("exec", "web-h", "--", "curl", "-s", "http://10.0.2.200/") // the endpoint's interface on host b
		b.run("exec", "web-h", "--", "curl", "-s", "http://10.0.1.200/")
		want = append(want, "ep-near@r1-i (host b)", "ep-near@r1-h (host a)")
	}
	require.Eventually(t, func() bool { return len(firstPackets(t, path)) == len(want) }, 10*time.Second, 50*time.Millisecond)
	require.NoError(t, capture.Process.Signal(syscall.SIGINT))
	said, err := io.ReadAll(begun)
	require.NoError(t, err)
	require.NoError(t, capture.Wait(), "%s", said)
	require.NotContains(t, string(said), "host", "nothing is missing")
	require.Equal(t, want, firstPackets(t, path))

	// A host without a daemon is named, and the other's packets are there.
	b.kill()
	capture = a.command("capture", "--count", "2", "--port", "80")
	begun, err = capture.StderrPipe()
	require.NoError(t, err)
	shown, err := capture.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, capture.Start())
	_, err = io.ReadFull(begun, make([]byte, len("plinksim: capturing")))
	require.NoError(t, err)
	a.run("exec", "web-h", "--", "curl", "-s", "http://10.0.1.200/")
	packets, err := io.ReadAll(shown)
	require.NoError(t, err)
	said, err = io.ReadAll(begun)
	require.NoError(t, err)
	require.NoError(t, capture.Wait())
	require.Contains(t, string(said), `plinksim: host "b": its daemon does not answer`)
	require.Len(t, strings.Split(strings.TrimSpace(string(packets)), "\n"), 2, "%s", packets)
	require.Contains(t, a.refused("exec", "web-i", "--", "true"), `host "b": its daemon does not answer`)
}

// firstPackets are the interfaces at which the connections of a capture came in, as Google's library reads them, whose
// times must grow.
func firstPackets(t *testing.T, path string) (interfaces []string) {
	t.Helper()
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	r, err := pcapgo.NewNgReader(file, pcapgo.DefaultNgReaderOptions)
	if errors.Is(err, io.EOF) {
		return nil // nothing is written yet
	}
	require.NoError(t, err)
	last := time.Time{}
	for {
		data, info, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return interfaces
		}
		require.NoError(t, err)
		require.False(t, info.Timestamp.Before(last), "packets are in the order of their times")
		last = info.Timestamp
		of, err := r.Interface(info.InterfaceIndex)
		require.NoError(t, err)
		tcp, _ := gopacket.NewPacket(data, layers.LayerTypeEthernet, gopacket.Default).Layer(layers.LayerTypeTCP).(*layers.TCP)
		if tcp != nil && tcp.SYN && !tcp.ACK && strings.HasPrefix(of.Name, "ep-") {
			host, _, _ := strings.Cut(of.Description, ":")
			interfaces = append(interfaces, of.Name+" ("+host+")")
		}
	}
}
