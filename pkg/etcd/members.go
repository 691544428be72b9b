package etcd

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// patience is how long a member may take to answer a question.
const patience = 500 * time.Millisecond

// members are those of etcd, each with a client of its own, so that it is known who is
// asked. One is asked until it fails to answer, then the next one.
type members struct {
	clients []*clientv3.Client

	mu    sync.Mutex
	asked int
	moved chan struct{} // closed when another one is asked
}

// dialMembers opens nothing yet.
func dialMembers(cfg Config) (*members, error) {
	m := &members{moved: make(chan struct{})}
	for _, endpoint := range cfg.Endpoints {
		client, err := clientv3.New(clientv3.Config{
			Endpoints: []string{endpoint}, TLS: cfg.TLS, Logger: zap.NewNop(),
			// The timeout is that of TCP too (TCP_USER_TIMEOUT): what is sent to a member that was
			// cut off is given up after it. gRPC sends a ping not more than every 10 s.
			DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: time.Second,
			DialOptions: []grpc.DialOption{
				grpc.WithNoProxy(), grpc.WithContextDialer(cfg.dial),
				grpc.WithConnectParams(grpc.ConnectParams{
					Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
					MinConnectTimeout: time.Second,
				}),
				// This is in the place of the client's own interceptor, which waits for a member that
				// is gone, and asks again where this package wants to know.
				grpc.WithUnaryInterceptor(func(ctx context.Context, method string, question, answer any,
					conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
					return invoke(ctx, method, question, answer, conn, append(opts, grpc.WaitForReady(false))...)
				}),
			},
		})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("etcd: %w", err), m.close())
		}
		m.clients = append(m.clients, client)
	}
	return m, nil
}

func (m *members) close() (err error) {
	for _, c := range m.clients {
		err = errors.Join(err, c.Close())
	}
	return err
}

// current is the member that is asked, until moved is closed.
func (m *members) current() (client *clientv3.Client, moved <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.clients[m.asked], m.moved
}

// leave lets the next member be asked, where it is still this one that is.
func (m *members) leave(client *clientv3.Client) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.clients[m.asked] == client {
		m.asked = (m.asked + 1) % len(m.clients)
		close(m.moved)
		m.moved = make(chan struct{})
	}
}

// ask asks one member after the other until one answers or ctx ends.
func (m *members) ask(ctx context.Context, question func(context.Context, *clientv3.Client) error) error {
	for tries := 1; ; tries++ {
		client, _ := m.current()
		once, cancel := context.WithTimeout(clientv3.WithRequireLeader(ctx), patience)
		err := question(once, client)
		cancel()
		if err == nil || final(err) {
			return err
		}
		m.leave(client)
		pause := time.Millisecond
		if tries%len(m.clients) == 0 {
			pause = 50 * time.Millisecond
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
		if ctx.Err() != nil {
			return err
		}
	}
}

// final says whether an error is an answer: the same question will have no other one.
func final(err error) bool {
	code := status.Code(err)
	var known rpctypes.EtcdError
	var unreadable *unreadableError
	switch {
	case errors.Is(err, rpctypes.ErrLeaseExist): // the server's choice of a number
		return false
	case errors.As(err, &unreadable):
		return true
	case errors.As(err, &known):
		code = known.Code()
	}
	switch code {
	case codes.InvalidArgument, codes.PermissionDenied, codes.Unauthenticated, codes.FailedPrecondition, codes.NotFound,
		codes.ResourceExhausted, codes.OutOfRange, codes.Unimplemented:
		return true
	}
	return false // also Unknown, which etcd 3.4 says when its own time was not enough
}

func isNoLease(err error) bool { return errors.Is(err, rpctypes.ErrLeaseNotFound) }

// inWords is what an error of gRPC says, without its wrapping.
func inWords(err error) error {
	var known rpctypes.EtcdError
	if errors.As(err, &known) {
		return errors.New(known.Error())
	}
	if st, ok := status.FromError(err); ok && st != nil {
		return errors.New(st.Message())
	}
	return err
}
