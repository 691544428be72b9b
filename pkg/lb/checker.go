package lb

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/plinksim/plinksim/pkg/topology"
)

// Checker probes the servers of a group and reports to it what it saw.
type Checker struct {
	Group *Group
	// Dial opens a probe from where the load balancer is. It must obey ctx,
	// and ends with its deadline. The network is tcp or udp.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Changed is told each change of a server's state and what it was before,
	// in the goroutine that probes the server, which waits for it; nil where
	// nobody wants to know.
	Changed func(before State, now ServerHealth)
	// Cut is told which server's sessions are to be removed; nil where nobody
	// can.
	Cut func(server netip.AddrPort)
	// Doubt is told instead where the group opens when all servers fail: whether
	// they do is known when the next packet of a session comes, see Picker.Lost.
	Doubt func(server netip.AddrPort)
}

// Run probes every server that the group has now, each at once and then at the
// check's interval, until ctx ends, and does what becomes due meanwhile. While
// a server was never healthy, its first probes, and those after its zone was not
// to be had, follow each other by a second at most, so that a lab is soon ready. Run returns when every probe has ended.
func (c *Checker) Run(ctx context.Context) {
	config := c.Group.Config()
	var probes sync.WaitGroup
	probes.Go(func() { c.keepTime(ctx) })
	for _, s := range config.Servers {
		if config.HealthCheck.Protocol != topology.NoProtocol {
			probes.Go(func() { c.watch(ctx, config.HealthCheck, s) })
		}
	}
	probes.Wait()
}

func (c *Checker) watch(ctx context.Context, check topology.HealthCheck, s topology.Server) {
	hurry, start := true, time.Now()
	tick := time.NewTicker(pace(check, hurry))
	defer tick.Stop()
	for {
		moved := c.Group.awayChanged()
		result := c.probe(ctx, patience(check, hurry), s)
		if ctx.Err() != nil {
			return // what a probe saw while it was stopped says nothing
		}
		before, now := c.Group.report(addrPort(s), result, time.Now())
		if now.State != before && c.Changed != nil {
			c.Changed(before, now)
		}
		if hurry && (now.Healthy || now.State != Initial && time.Since(start) >= hurryTime) {
			hurry = false
			tick.Reset(pace(check, hurry))
		}
		if !now.Away {
			moved = nil
		}
		select {
		case <-tick.C:
		case <-moved: // nothing reached it, and now something may
			hurry, start = !c.Group.served(addrPort(s)), time.Now()
			tick.Reset(pace(check, hurry))
		case <-ctx.Done():
			return
		}
	}
}

// hurryTime is how long a server that is not healthy from the start is probed
// often: programs take their time to come up, and an interval may be long.
const hurryTime = 10 * time.Second

// pace is the time between the starts of two probes.
func pace(check topology.HealthCheck, hurry bool) time.Duration {
	interval := max(check.Interval, time.Millisecond)
	if hurry {
		return min(interval, time.Second)
	}
	return interval
}

// patience is the check with the timeout that a probe has now. Where silence is
// health, nobody who starts a lab should have to listen to all of it.
func patience(check topology.HealthCheck, hurry bool) topology.HealthCheck {
	if hurry && check.Protocol == topology.UDP && check.Response == "" {
		check.Timeout = min(check.Timeout, quietEnough)
	}
	return check
}
