package alibaba

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// A program with @alicloud/pop-core comes from nothing to a page; "make ali-clients" installs
// what it needs.
func TestASessionWithPopCore(t *testing.T) {
	if _, err := os.Stat("popcore/node_modules/@alicloud/pop-core"); err != nil && os.Getenv("PLINKSIM_MUST_RUN") == "" {
		t.Skip("@alicloud/pop-core is not installed: \"make ali-clients\" does")
	}
	l := up(t, "ali-popcore")
	told := map[string]any{"address": l.address, "region": region}
	for _, k := range l.keys {
		told[k.Account] = k
	}
	text, err := json.Marshal(told)
	require.NoError(t, err)
	cmd := exec.Command("node", "session.js")
	var errors bytes.Buffer
	cmd.Dir, cmd.Stderr, cmd.Env = "popcore", &errors, append(os.Environ(), "LAB="+string(text))
	out, err := cmd.Output()
	require.NoError(t, err, "%s", &errors)
	made := read(t, out)
	l.reads(made.at("client"), "http://"+made.at("name")+"/", "web")
}
