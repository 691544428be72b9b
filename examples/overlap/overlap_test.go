package overlap_test

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/plinktest"
)

func get(t *testing.T, from *plinktest.Instance, url string) string {
	t.Helper()
	resp, err := from.HTTP().Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(body)
}

// The same test runs where the lab is in the kernel: leave out InProcess, and the
// bubble.
func TestTwoVPCsWithTheSameAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := plinktest.Up(t, "topology.yaml", plinktest.InProcess())
		client := lab.Instance("client")

		// The address is the neighbour's, whoever else has it elsewhere.
		require.Equal(t, "the neighbour sees 10.0.1.10\n", get(t, client, "http://10.0.1.20/"))

		// Through the endpoint it is the other server, which sees the load balancer.
		lab.Accept("api", "ep")
		require.Equal(t, "the server sees "+lab.Name("nlb@eu-west-1a.ip")+"\n", get(t, client, "http://"+lab.Name("ep")+"/"))
	})
}

func TestNothingPassesBeforeTheProviderAccepts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := plinktest.Up(t, "topology.yaml", plinktest.InProcess())
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := lab.Instance("client").DialContext(ctx, "tcp", lab.Name("ep.ip")+":80")
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}
