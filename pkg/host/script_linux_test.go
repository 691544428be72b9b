package host

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/topofile"
)

// inPrivate runs a shell script where "ip netns" finds nothing of the host's:
// in a mount namespace with an empty /run and an empty /etc.
func inPrivate(t *testing.T, script string) string {
	t.Helper()
	testenv.NeedRoot(t)
	testenv.NeedPrograms(t, "ip", "nft", "sysctl", "unshare")
	const prepare = "set -e; mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /etc; mkdir /run/netns; touch /etc/resolv.conf /etc/hosts /etc/nsswitch.conf; "
	cmd := exec.Command("unshare", "--mount", "--net", "--propagation", "private", "sh", "-c", prepare+script)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s", stderr.String())
	require.Empty(t, stderr.String(), "the tools have nothing to complain about")
	return string(out)
}

// dump writes down every namespace as the tools show it, without numbers that
// the kernel gives and the mark by which Firewall knows its own rules.
const dump = `
for ns in $(ls /run/netns | sort); do
	echo "== $ns"
	ip -n $ns -o link show | sed 's/^[0-9]*: //; s/link-netnsid [0-9]*//; s/@if[0-9]*//; s/qlen [0-9]*//; s/ state [A-Z]* / /; s/<[^>]*>//' | sort
	ip -n $ns -o -4 addr show | sed 's/^[0-9]*: //' | sort
	ip -n $ns route show | sed 's/ linkdown//' | sort
	ip netns exec $ns nft --stateless list ruleset | sed 's/ comment "plinksim [0-9a-f]*"//'
	for key in ip_forward conf.all.rp_filter conf.default.rp_filter conf.all.arp_ignore conf.all.send_redirects; do
		ip netns exec $ns sysctl -e net.ipv4.$key
	done
done
`

// What "plinksim plan" prints is for people, who may well paste it into a
// shell: there it makes the same lab. These have every kind of step, and all run with
// PLINKSIM_LONG=1.
func TestTheScriptMakesWhatBuildMakes(t *testing.T) {
	short := []string{"alibaba-alb-zonal", "alibaba-reverse", "aws-dualstack", "groups"}
	files, err := filepath.Glob("../../testdata/topologies/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range append(files, "testdata/groups.yaml") {
		plan, err := topofile.Load(file)
		if err != nil {
			continue // the one that is there to be refused
		}
		t.Run(plan.Name, func(t *testing.T) {
			if !slices.Contains(short, plan.Name) {
				testenv.NeedTime(t)
			}
			script := filepath.Join(t.TempDir(), "plan.sh")
			require.NoError(t, os.WriteFile(script, []byte(Script(plan)), 0o600))
			byTools := inPrivate(t, "sh -e "+script+"\n"+dump)

			dir := built(t, plan)
			byUs := inPrivate(t, "mount --rbind "+netnsDir(dir)+" /run/netns\n"+dump)
			require.Equal(t, byUs, byTools)
			require.Contains(t, byUs, "== "+plan.Dataplane)
		})
	}
}
