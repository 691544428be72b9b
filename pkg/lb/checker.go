package lb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Checker probes the servers of a group and reports to it what it saw.
type Checker struct {
	Group *Group
	// Dial opens a probe from where the load balancer is. It must obey ctx,
	// and ends with its deadline.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Changed is told each change of a server's health, in the goroutine that
	// probes the server, which waits for it; nil where nobody wants to know.
	Changed func(ServerHealth)
}

// Run probes every server that the group has now, each at once and then at the
// check's interval, until ctx ends. It returns when every probe has ended, and
// at once where the group has no health check.
func (c *Checker) Run(ctx context.Context) {
	config := c.Group.Config()
	if config.HealthCheck.Protocol == "none" {
		return
	}
	var probes sync.WaitGroup
	for _, s := range config.Servers {
		probes.Go(func() { c.watch(ctx, config.HealthCheck, s) })
	}
	probes.Wait()
}

func (c *Checker) watch(ctx context.Context, check topology.HealthCheck, s topology.Server) {
	tick := time.NewTicker(max(check.Interval, time.Millisecond))
	defer tick.Stop()
	for {
		result := c.probe(ctx, check, s)
		if ctx.Err() != nil {
			return // what a probe saw while it was stopped says nothing
		}
		now, changed := c.Group.report(addrPort(s), result, time.Now())
		if changed && c.Changed != nil {
			c.Changed(now)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// probe opens a connection and resets it, as the layer 4 check of Alibaba
// Cloud's CLB does: SYN, SYN-ACK, RST ("Health check overview of CLB"). The
// server's program is not bothered, and no port stays in TIME-WAIT.
func (c *Checker) probe(ctx context.Context, check topology.HealthCheck, s topology.Server) error {
	ctx, cancel := context.WithTimeout(ctx, check.Timeout)
	defer cancel()
	port := check.Port
	if port == 0 {
		port = s.Port
	}
	conn, err := c.Dial(ctx, "tcp", netip.AddrPortFrom(s.IP, port).String())
	if err != nil {
		return reason(err, check.Timeout)
	}
	if tcp, ok := conn.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	return conn.Close()
}

// reason says in few words why a probe failed.
func reason(err error, timeout time.Duration) error {
	var netErr net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return fmt.Errorf("no answer within %s", timeout)
	case errors.Is(err, syscall.ECONNREFUSED):
		return errors.New("connection refused")
	case errors.Is(err, syscall.EHOSTUNREACH):
		return errors.New("host unreachable")
	}
	return err
}
