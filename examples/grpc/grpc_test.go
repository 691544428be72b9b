package grpc_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/plinksim/plinksim/pkg/plinktest"
)

// An ordinary user's labs in the kernel need it.
func TestMain(m *testing.M) { plinktest.Main(m) }

// server is a gRPC server on an instance, with the health service that comes with gRPC.
// calls counts what it was asked.
func server(t *testing.T, on *plinktest.Instance, options ...grpc.ServerOption) (calls *atomic.Int64) {
	t.Helper()
	calls = &atomic.Int64{}
	options = append(options, grpc.UnaryInterceptor(
		func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			calls.Add(1)
			return handle(ctx, req)
		}))
	s := grpc.NewServer(options...)
	healthpb.RegisterHealthServer(s, health.NewServer())
	ln, err := on.Listen(t.Context(), "tcp", ":50051")
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(ln) })
	t.Cleanup(func() { s.Stop(); serving.Wait() })
	return calls
}

// client dials from an instance, as often as gRPC wants to.
func client(t *testing.T, from *plinktest.Instance, address string, options ...grpc.DialOption) healthpb.HealthClient {
	t.Helper()
	options = append(options,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return from.DialContext(ctx, "tcp", address)
		}))
	// passthrough: names are found by the dialer, and so on the instance.
	conn, err := grpc.NewClient("passthrough:///"+address, options...)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return healthpb.NewHealthClient(conn)
}

func call(t *testing.T, c healthpb.HealthClient) error {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := c.Check(ctx, &healthpb.HealthCheckRequest{})
	return err
}

// An NLB forgets a connection that is idle for 350 s. The next call finds that out.
func TestAnIdleConnectionLosesACall(t *testing.T) {
	for name, c := range map[string]struct {
		options []grpc.DialOption
		fails   bool
	}{
		"without keepalive": {
			// Else gRPC closes the connection by itself after half an hour without calls.
			options: []grpc.DialOption{grpc.WithIdleTimeout(0)}, fails: true,
		},
		"with keepalive": {
			options: []grpc.DialOption{grpc.WithIdleTimeout(0), grpc.WithKeepaliveParams(keepalive.ClientParameters{
				Time: 2 * time.Minute, Timeout: 10 * time.Second, PermitWithoutStream: true,
			})},
		},
		"with gRPC's idle timeout": {
			options: []grpc.DialOption{grpc.WithIdleTimeout(5 * time.Minute)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lab := plinktest.Up(t, "topology.yaml", plinktest.InProcess())
				allow := grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
					MinTime: time.Minute, PermitWithoutStream: true,
				})
				server(t, lab.Instance("api-1"), allow)
				server(t, lab.Instance("api-2"), allow)
				c1 := client(t, lab.Instance("web"), lab.Name("ep")+":50051", c.options...)
				require.NoError(t, call(t, c1))
				time.Sleep(20 * time.Minute)
				err := call(t, c1)
				if c.fails {
					require.Equal(t, codes.Unavailable, status.Code(err), "%v", err)
				} else {
					require.NoError(t, err)
				}
				require.NoError(t, call(t, c1), "the next connection is good")
			})
		})
	}
}

// A layer 4 load balancer shares connections and not calls: all calls of a client go to
// one server. A server that ends its connections now and then lets them move.
func TestCallsOfAConnectionStayAtOneServer(t *testing.T) {
	plinktest.OnEachMachine(t, func(t *testing.T, machine plinktest.Option) {
		lab := plinktest.Up(t, "topology.yaml", machine)
		one, two := server(t, lab.Instance("api-1")), server(t, lab.Instance("api-2"))
		c := client(t, lab.Instance("web"), lab.Name("ep")+":50051")
		for range 50 {
			require.NoError(t, call(t, c))
		}
		require.ElementsMatch(t, []int64{0, 50}, []int64{one.Load(), two.Load()})
		lab.RequireSessions("ep", 1)
	})
}

func TestServersThatEndConnectionsShareTheCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := plinktest.Up(t, "topology.yaml", plinktest.InProcess())
		age := grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: time.Minute, MaxConnectionAgeGrace: time.Minute})
		one, two := server(t, lab.Instance("api-1"), age), server(t, lab.Instance("api-2"), age)
		c := client(t, lab.Instance("web"), lab.Name("ep")+":50051")
		for range 1200 { // an hour, and no call is lost
			require.NoError(t, call(t, c))
			time.Sleep(3 * time.Second)
		}
		require.Greater(t, one.Load(), int64(200))
		require.Greater(t, two.Load(), int64(200))
	})
}
