package topology

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCodes(t *testing.T) {
	codes := Codes("200-299,301")
	for status, want := range map[int]bool{199: false, 200: true, 299: true, 300: false, 301: true, 404: false} {
		require.Equal(t, want, codes.Contains(status), "%d", status)
	}
	require.False(t, Codes("").Contains(200))
}
