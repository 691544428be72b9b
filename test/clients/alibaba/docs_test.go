package alibaba

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var bash = regexp.MustCompile("(?ms)^```bash\n(.*?)^```$")

// The commands of the page that follows the document with its program are run by one shell, in
// their order.
func TestThePageOfTheProgram(t *testing.T) {
	program(t)
	page, err := os.ReadFile("../../../docs/alibaba-reverse-program.md")
	require.NoError(t, err)
	script := "set -eux\nsudo() { \"$@\"; }\n" // the test is root
	for _, block := range bash.FindAllStringSubmatch(string(page), -1) {
		script += block[1]
	}
	state, err := os.MkdirTemp("", "plinksim")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(state)) })
	cmd := exec.Command("bash", "-c", script)
	cmd.Dir = "../../.."
	cmd.Env = append(os.Environ(), "PLINKSIM_STATE_DIR="+filepath.Join(state, "run"))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Regexp(t, `(?m)^\{.*"NatGatewayId":"ngw-bp1\w{17}"`, string(out))
	require.Regexp(t, `(?m)^mysql1\t\d{4}-`, string(out), "the session with the server")
	require.True(t, strings.Contains(string(out), "CreateNatGateway"), "the call is in the log")
	require.NoDirExists(t, filepath.Join(state, "run"), "the page takes down what it brings up:\n%s", out)
}
