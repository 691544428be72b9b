package kernel_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/machine/kernel"
)

func TestRemoveRefusesALabThatIsHeld(t *testing.T) {
	t.Setenv(labdir.RootVariable, t.TempDir())
	lock, err := labdir.Of("shop").Lock()
	require.NoError(t, err)
	defer lock.Release()
	require.ErrorIs(t, kernel.Remove(t.Context(), "shop"), labdir.ErrLocked)
}

func TestRemoveLeavesAloneWhatIsNoLab(t *testing.T) {
	labs := t.TempDir()
	t.Setenv(labdir.RootVariable, labs)
	letter := filepath.Join(labs, "home", "letter")
	require.NoError(t, os.Mkdir(filepath.Dir(letter), 0o700))
	require.NoError(t, os.WriteFile(letter, []byte("mine"), 0o600))
	require.NoError(t, kernel.Remove(t.Context(), "home"), "there is no such lab: nothing to do")
	require.ErrorContains(t, kernel.Remove(t.Context(), "../labs"), "is not the name of a lab")
	require.FileExists(t, letter)
}
