package proxyprotocol_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/examples/proxyprotocol"
	"github.com/plinksim/plinksim/pkg/plinktest"
)

// An ordinary user's labs in the kernel need it.
func TestMain(m *testing.M) { plinktest.Main(m) }

// serve runs the server on an instance until the test ends; log is what it has written.
func serve(t *testing.T, on *plinktest.Instance) (log func() string) {
	t.Helper()
	ln, err := on.Listen(t.Context(), "tcp", ":8080")
	require.NoError(t, err)
	var mu sync.Mutex
	var text bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(writer(func(p []byte) {
		mu.Lock()
		defer mu.Unlock()
		text.Write(p)
	}), nil))
	ended := make(chan error)
	go func() { ended <- proxyprotocol.Serve(ln, logger) }()
	t.Cleanup(func() {
		ln.Close()
		require.ErrorIs(t, <-ended, net.ErrClosed)
	})
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return text.String()
	}
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}

// Two clients with the same address come through two endpoints.
func TestTheServerKnowsWhichCustomerAsks(t *testing.T) {
	plinktest.OnEachMachine(t, func(t *testing.T, machine plinktest.Option) {
		lab := plinktest.Up(t, "topology.yaml", machine)
		log := serve(t, lab.Instance("api"))
		for _, customer := range []string{"red", "blue"} {
			resp, err := lab.Instance(customer + "/web").HTTP().Get("http://" + lab.Name("ep-"+customer) + "/")
			require.NoError(t, err)
			resp.Body.Close()
		}
		lines := strings.Split(strings.TrimSpace(log()), "\n")
		require.Len(t, lines, 2)
		for i, customer := range []string{"red", "blue"} {
			var line struct{ Client, Endpoint string }
			require.NoError(t, json.Unmarshal([]byte(lines[i]), &line))
			require.Regexp(t, `^10\.0\.1\.10:\d+$`, line.Client)
			endpoint, err := lab.Plan().Endpoint("ep-" + customer)
			require.NoError(t, err)
			require.Equal(t, endpoint.ID, line.Endpoint)
		}
	})
}

// Without the NLB there is no header, and no answer.
func TestWhoComesPastTheLoadBalancerIsRefused(t *testing.T) {
	plinktest.OnEachMachine(t, func(t *testing.T, machine plinktest.Option) {
		lab := plinktest.Up(t, "topology.yaml", machine)
		log := serve(t, lab.Instance("api"))
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		conn, err := lab.Instance("api").DialContext(ctx, "tcp", "127.0.0.1:8080")
		require.NoError(t, err)
		defer conn.Close()
		_, err = conn.Write([]byte("GET / HTTP/1.1\r\nHost: api\r\n\r\n"))
		require.NoError(t, err)
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(2*time.Second)))
		answer := make([]byte, 100)
		n, _ := conn.Read(answer)
		require.NotContains(t, string(answer[:n]), "204")
		require.Empty(t, log())
	})
}
