package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/golden"
	"github.com/plinksim/plinksim/internal/testenv"
)

// nobody is an ordinary user.
const nobody = 65534

// The scripts in testdata/scripts are stories of what a user types and sees.
// They run the program as it is built, each with a state directory of its own.
// Those that need root say so in their first line: "[!root] stop"; "[!users] stop"
// is for those that become an ordinary user, who is at home in $NOBODY.
func TestScripts(t *testing.T) {
	t.Parallel()
	testenv.NeedNoRace(t)
	bin := testenv.BuildProgram(t, "../..")
	if os.Geteuid() != 0 {
		t.Log("the scripts that make namespaces end at once: they need root")
		require.NotEqual(t, "1", os.Getenv("PLINKSIM_MUST_RUN"), "the scripts that make namespaces need root")
	}
	topologies, err := filepath.Abs("../../testdata/topologies")
	require.NoError(t, err)
	testscript.Run(t, testscript.Params{
		Dir:           "../../testdata/scripts",
		UpdateScripts: golden.Update(),
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "root":
				return os.Geteuid() == 0, nil
			case "users": // that a script may become; a user namespace may have root alone
				return os.Geteuid() == 0 && testenv.HasUser(nobody), nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Setup: func(env *testscript.Env) error {
			// Not below the work directory: a socket's path must be short.
			state, err := os.MkdirTemp("", "plinksim")
			if err != nil {
				return err
			}
			env.Defer(func() { clean(t, bin, state) })
			env.Setenv("PROGRAM", bin)
			if err := os.Chmod(state, 0o755); err != nil { // for scripts that become another user
				return err
			}
			if testenv.HasUser(nobody) {
				home := filepath.Join(state, "nobody")
				env.Setenv("NOBODY", home)
				if err := errors.Join(os.Mkdir(home, 0o700), os.Chown(home, nobody, nobody)); err != nil {
					return err
				}
			}
			env.Setenv("PATH", filepath.Dir(bin)+string(filepath.ListSeparator)+env.Getenv("PATH"))
			env.Setenv("PLINKSIM_STATE_DIR", filepath.Join(state, "run"))
			env.Setenv("TOPOLOGIES", topologies)
			env.Setenv("REPOSITORY", filepath.Dir(filepath.Dir(topologies)))
			env.Setenv("PACKETS", filepath.Join(filepath.Dir(topologies), "packets"))
			return nil
		},
	})
}

// clean takes down what a script that failed left, and fails where one that
// passed left anything.
func clean(t *testing.T, bin, state string) {
	cmd := exec.Command(bin, "down", "--all")
	cmd.Env = append(os.Environ(), "PLINKSIM_STATE_DIR="+filepath.Join(state, "run"))
	out, err := cmd.CombinedOutput()
	if os.Geteuid() == 0 {
		require.NoError(t, err, "%s", out)
		if !t.Failed() {
			require.Contains(t, string(out), "no lab is up", "a script must take its labs down")
			require.NoDirExists(t, filepath.Join(state, "run"), "nothing is left of labs that are down")
		}
	}
	require.NoError(t, os.RemoveAll(state))
}
