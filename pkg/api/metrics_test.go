package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/api"
)

func TestMetricsListenWhereTheAddressSays(t *testing.T) {
	for address, want := range map[string]string{
		"0.0.0.0:0":   `^0\.0\.0\.0:[0-9]+$`, // and not on IPv6 as well
		":0":          `^127\.0\.0\.1:[0-9]+$`,
		"localhost:0": `^(127\.0\.0\.1|\[::1\]):[0-9]+$`,
	} {
		ln, err := api.ListenMetrics(address)
		require.NoError(t, err, address)
		require.Regexp(t, want, ln.Addr().String(), address)
		require.NoError(t, ln.Close())
	}
	for _, address := range []string{"127.0.0.1", "127.0.0.1:http:80", ""} {
		_, err := api.ListenMetrics(address)
		require.ErrorContains(t, err, "want HOST:PORT", address)
	}
}
