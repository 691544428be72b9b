package lab

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"github.com/plinksim/plinksim/pkg/dns"
	"github.com/plinksim/plinksim/pkg/topology"
)

// CloudServer is a server of the lab's cloud that answers in every VPC, for example to
// clients of the cloud's API.
type CloudServer struct {
	// At is where: an address that every VPC has, see topology.Plan.OwnAddresses.
	At netip.AddrPort
	// Names lead there, whoever in a VPC asks for them.
	Names []string
	// Secure is whether it speaks TLS, with a certificate for Names that the lab's own
	// authority has signed. Programs on instances trust that, except those that were
	// started before the lab had an authority: see Config.Authority.
	Secure bool
	// Serve answers on ln, which is in the VPC of that name, until ctx ends, and closes ln.
	Serve func(ctx context.Context, vpc string, ln net.Listener) error
}

// cloudServers are those of the lab in each of its VPCs.
type cloudServers struct {
	*process
	running running[*runningCloudServer]

	authority *authority

	mu          sync.Mutex
	servers     []CloudServer
	certificate tls.Certificate // of those that need one
}

type runningCloudServer struct {
	stop func() // ends it and returns when it has ended
}

func (c *cloudServers) all() []CloudServer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.servers
}

// set takes servers in the place of the others, for the lab of that name.
func (c *cloudServers) set(lab string, servers []CloudServer) error {
	var names []string
	for _, s := range servers {
		if s.Secure {
			names = append(names, s.Names...)
		}
	}
	var certificate tls.Certificate
	if len(names) > 0 {
		ca, err := c.authority.prepare(lab)
		if err == nil {
			certificate, err = issue(ca, names)
		}
		if err != nil {
			return fmt.Errorf("make a certificate for the cloud's servers: %w", err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.servers, c.certificate = servers, certificate
	return nil
}

// secure are the settings of those that speak TLS.
func (c *cloudServers) secure() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &tls.Config{Certificates: []tls.Certificate{c.certificate}, MinVersion: tls.VersionTLS12}
}

// names are those that lead to the servers.
func (c *cloudServers) names() (names []dns.Name) {
	for _, s := range c.all() {
		for _, name := range s.Names {
			names = append(names, dns.Name{FQDN: name, Addrs: []dns.Address{{IP: s.At.Addr(), Up: true}}, Alias: true})
		}
	}
	return names
}

func cloudServerKey(vpc *topology.VPC, s CloudServer) string {
	return vpc.Namespace + " " + s.At.String()
}

// stopMissing stops those in VPCs that plan does not have, and those that are not wanted
// any more.
func (c *cloudServers) stopMissing(plan *topology.Plan) {
	keep := map[string]bool{}
	for i := range plan.VPCs {
		for _, s := range c.all() {
			keep[cloudServerKey(&plan.VPCs[i], s)] = true
		}
	}
	for _, running := range c.running.removeOthers(keep) {
		running.stop()
	}
}

// start starts those of plan that do not run.
func (c *cloudServers) start(plan *topology.Plan) error {
	for i := range plan.VPCs {
		vpc := &plan.VPCs[i]
		for _, s := range c.all() {
			key := cloudServerKey(vpc, s)
			if c.running.get(key) != nil {
				continue
			}
			running, err := c.startOne(vpc, s)
			if err != nil {
				return fmt.Errorf("vpc %q: start a server of the cloud at %s: %w", vpc.Name, s.At, err)
			}
			c.running.put(key, running)
		}
	}
	return nil
}

func (c *cloudServers) startOne(vpc *topology.VPC, s CloudServer) (*runningCloudServer, error) {
	space, err := c.spaces.space(vpc.Namespace)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(c.ctx)
	ln, err := space.Listen(ctx, "tcp", s.At.String())
	if err != nil {
		cancel()
		return nil, err
	}
	if s.Secure {
		ln = tls.NewListener(ln, c.secure())
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(ctx, vpc.Name, ln); err != nil && ctx.Err() == nil {
			c.log.Error("a server of the cloud stopped", "vpc", vpc.Name, "address", s.At, "error", err)
		}
	}()
	return &runningCloudServer{stop: func() {
		cancel()
		<-done
	}}, nil
}

// ServeInVPCs lets servers of the cloud answer in every VPC that there is and that
// comes, in the place of those of an earlier call. With an error none answers.
func (l *Lab) ServeInVPCs(servers ...CloudServer) error {
	err := errClosing // unless there is a transition
	_ = l.exclusively(func(t *transition) error {
		err = t.serveInVPCs(servers)
		return nil
	})
	return err
}

func (t *transition) serveInVPCs(servers []CloudServer) error {
	plan := t.Plan()
	none := func() {
		_ = t.cloud.set(plan.Name, nil) // which needs no certificate
		t.cloud.stopMissing(plan)
	}
	none()
	err := t.cloud.set(plan.Name, servers)
	if err == nil {
		err = t.cloud.start(plan)
	}
	if err != nil {
		none()
	}
	return errors.Join(err, t.publishNames())
}
