package topology

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatIsTheNameOfAHost(t *testing.T) {
	for text, want := range map[string]bool{
		"mysql1.com": true, "db": true, "a-b.c1": true,
		"": false, "Mysql1.com": false, "mysql1.com.": false, "-a.com": false, "a..b": false, "a b": false, "a_b": false, "10.0.0.1": false,
		strings.Repeat("a", 64) + ".com": false, strings.Repeat("a.", 127): false,
	} {
		require.Equal(t, want, IsHostName(text), "%q", text)
	}
}
