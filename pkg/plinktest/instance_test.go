package plinktest

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

func TestAnEditCanBeUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, _ := shopAndData()
		lab := net.Up(t, InProcess())
		lab.Accept("data", "ep")
		web, before := lab.Instance("web"), textOf(t, lab.Plan())

		undo := lab.Edit("endpoints/ep/mtu", 1400)
		endpoint, err := lab.Plan().Endpoint("ep")
		require.NoError(t, err)
		require.Equal(t, 1400, endpoint.MTU)
		undo()
		require.Equal(t, before, textOf(t, lab.Plan()))

		undo = lab.Edit("load_balancers/nlb/listeners/-", map[string]any{
			"protocol": "tcp", "port": 80, "server_group": "nlb-tcp-5432",
		})
		require.NoError(t, ask(web.Dial("tcp", "ep:80")))
		undo()
		require.Equal(t, before, textOf(t, lab.Plan()))

		r := record(t, func(t testing.TB) { (&Lab{lab: lab.lab, t: t}).Edit("vpcs/data", nil) })
		require.Contains(t, r.fatal, `vpc "data" cannot be deleted: server group "nlb-tcp-5432" and load balancer "nlb" use it: delete`)
	})
}

func TestAServerFailsAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, _ := shopAndData()
		lab := net.Up(t, InProcess())
		lab.Accept("data", "ep")
		web, db := lab.Instance("web"), lab.Instance("db")
		conn := web.Dial("tcp", "ep:5432")
		require.NoError(t, ask(conn))

		start := db.StopServices()
		require.ErrorIs(t, ask(conn), io.EOF, "it is closed")
		_, err := web.DialContext(t.Context(), "tcp", lab.Name("ep.ip")+":5432")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		start()
		require.NoError(t, ask(web.Dial("tcp", "ep:5432")))

		// The same of one that is the test's.
		server := db.Serve(80, Echo)
		conn = web.Dial("tcp", "ep:5432")
		lab.Edit("server_groups/nlb-tcp-5432/servers/instance=db/port", 80)
		require.NoError(t, ask(conn), "sessions stay where they are")
		conn = web.Dial("tcp", "ep:5432")
		require.NoError(t, ask(conn))
		server.Stop()
		require.Error(t, ask(conn))
		_, err = web.DialContext(t.Context(), "tcp", lab.Name("ep.ip")+":5432")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		server.Start()
		server.Start() // it runs already
		require.NoError(t, ask(web.Dial("tcp", "ep:5432")))
		require.Len(t, server.RequireVisits(2), 2)
	})
}

func TestAServerKnowsItsVisitors(t *testing.T) {
	for cloud, region := range map[string]string{"aws": "eu-west-1", "alibaba": "eu-central-1"} {
		t.Run(cloud, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { visit(t, cloud, region) })
		})
	}
}

// As the built-in services: the specification of the protocol wants no guessing.
func TestAServerThatReadsProxyHeadersRefusesConnectionsWithoutOne(t *testing.T) {
	client, server := net.Pipe()
	go func() {
		_, _ = client.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
		client.Close()
	}()
	s := &Server{proxied: true}
	var err error
	s.handle(server, func(c net.Conn) { _, err = c.Read(make([]byte, 1)) })
	require.ErrorIs(t, err, proxyproto.ErrNoProxyProtocol)
	require.Len(t, s.Visits(), 1)
	require.Nil(t, s.Visits()[0].Proxy)
}

func visit(t *testing.T, cloud, region string) {
	net := NewTopology(cloud, region)
	data := net.VPC("data", "10.0.0.0/16").AllowFrom("10.0.0.0/16")
	api := data.Instance("api", region+"a")
	nlb := data.LoadBalancer("nlb", "nlb")
	nlb.Listen("tcp", 80, api.At(80))
	nlb.Listen("tcp", 81, api.At(81)).Set("proxy_protocol", "on_first_ack")
	nlb.Listen("tcp", 82, api.At(82)).Set("proxy_protocol", "on_first_ack_with_payload")
	shop := net.VPC("shop", "10.0.0.0/16")
	shop.Instance("web", region+"a").Set("ip", "10.0.0.77")
	shop.Endpoint("ep", net.Service("data", nlb).AutoAccept())
	lab := net.Up(t, InProcess())

	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })
	plain := lab.Instance("api").ServeHTTP(80, answer)
	proxied := lab.Instance("api").ServeHTTP(81, answer, ReadProxyHeader())
	raw := lab.Instance("api").Serve(82, Echo, ReadProxyHeader())
	require.Equal(t, "hello", lab.Instance("web").Get("http://ep/one?two"))
	require.Equal(t, "hello", lab.Instance("web").Get("http://ep:81/"))
	conn := lab.Instance("web").Dial("tcp", "ep:82")
	require.NoError(t, ask(conn))

	v := plain.RequireVisits(1)[0]
	require.Equal(t, "/one?two", v.Request.URL.String())
	require.Nil(t, v.Proxy)
	require.Empty(t, v.ForwardedFor())
	natIPs := lab.Status().LoadBalancers[0].Nodes[0].NATIPs
	require.Contains(t, natIPs, v.From.Addr(), "the load balancer, not the client")

	endpoint, err := lab.Plan().Endpoint("ep")
	require.NoError(t, err)
	for _, v := range []Visit{proxied.RequireVisits(1)[0], raw.RequireVisits(1)[0]} {
		require.Contains(t, natIPs, v.From.Addr())
		require.NotNil(t, v.Proxy)
		require.Equal(t, 2, v.Proxy.Version)
		require.Equal(t, "10.0.0.77", v.Proxy.Source.Addr().String())
		require.Equal(t, endpoint.ID, v.Proxy.Endpoint())
		require.NotEmpty(t, v.Proxy.TLVs)
	}
	require.Equal(t, conn.LocalAddr().String(), raw.Visits()[0].Proxy.Source.String())
	require.Contains(t, proxied.Visits()[0].String(), ", for 10.0.0.77:")

	r := record(t, func(t testing.TB) {
		s := &Server{on: &Instance{lab: &Lab{lab: lab.lab, t: t}, spec: plain.on.spec}, port: 80, visits: plain.Visits()}
		s.RequireVisits(2)
	})
	require.Contains(t, r.fatal, "server api:80 had 1 visit, want 2:\n  from "+v.From.String()+", GET /one?two\n")
}

func TestAnALBForwardsTheClientsAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := NewTopology("alibaba", "eu-central-1")
		data := net.VPC("data", "10.0.0.0/16")
		api := data.Instance("api", "eu-central-1a")
		alb := data.LoadBalancer("alb", "alb", "eu-central-1a", "eu-central-1b")
		alb.Listen("http", 80, api.At(80))
		shop := net.VPC("shop", "10.0.0.0/16")
		shop.Instance("web", "eu-central-1a")
		shop.Endpoint("ep", net.Service("data", alb).AutoAccept())
		lab := net.Up(t, InProcess())
		server := lab.Instance("api").ServeHTTP(80, http.NotFoundHandler())
		lab.Eventually("the server is healthy", 30*time.Second, func() error {
			_, err := lab.Instance("web").get("http://ep/")
			if err != nil && err.Error() == "status 404 Not Found: 404 page not found" {
				return nil
			}
			return errors.New("not yet")
		})
		visits := server.Visits()
		last := visits[len(visits)-1]
		require.Len(t, last.ForwardedFor(), 1)
		require.True(t, netip.MustParseAddr(last.ForwardedFor()[0]).IsValid())
	})
}

func TestAConnectionThatFailsSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, _ := shopAndData()
		lab := net.Up(t, InProcess())
		fails := func(try func(web *Instance)) string {
			return record(t, func(t testing.TB) { try((&Lab{lab: lab.lab, t: t}).Instance("web")) }).fatal
		}
		require.Equal(t, "web cannot connect to ep:5432: dial tcp "+lab.Name("ep.ip")+":5432: context deadline exceeded\n"+
			"it stops at: connection: data/ep is pendingAcceptance: its provider has not accepted it "+
			"(counted as NotConnected); to let it pass: accept data ep\n"+
			"packets were dropped by: NotConnected 3 (ep@eu-west-1a tcp/5432)",
			fails(func(web *Instance) { web.Dial("tcp", "ep:5432") }))
		require.Contains(t, fails(func(web *Instance) { web.Get("http://ep:5432/") }), "to let it pass: accept data ep\n")

		lab.Accept("data", "ep")
		message := fails(func(web *Instance) { web.Get("http://ep/") })
		require.Contains(t, message, "web cannot get http://ep/: ")
		require.Contains(t, message, "it stops at: listener: ")
		lab.Instance("db").ServeHTTP(5433, http.NotFoundHandler())
		lab.Edit("server_groups/nlb-tcp-5432/servers/instance=db/port", 5433)
		message = fails(func(web *Instance) { web.Get("http://ep:5432/") })
		require.Contains(t, message, "status 404 Not Found: 404 page not found\nnothing of the lab stops its first packet now\n")

		lab.Edit("vpcs/data/security_groups/default/ingress", []any{})
		message = fails(func(web *Instance) { web.Dial("tcp", "ep:5432") })
		require.Contains(t, message, "it stops at: ")
		require.Contains(t, message, "security groups of db ")
	})
}

func TestPacketsAtAnENI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net, _ := shopAndData()
		lab := net.Up(t, InProcess())
		lab.Accept("data", "ep")
		packets := lab.Watch("ep", "nlb")
		conn := lab.Instance("web").Dial("tcp", "ep:5432")
		require.NoError(t, ask(conn))
		syn := packets.RequireCount(1, "the client's SYN", func(p Packet) bool {
			return p.ENI == "ep@"+zoneA && !p.Sent && p.Flags == "S"
		})[0]
		require.Equal(t, conn.LocalAddr().String(), syn.Source.String())
		require.Equal(t, "tcp", syn.Protocol)
		require.Empty(t, syn.Dropped())
		query := packets.Require("the query reaches the server", func(p Packet) bool {
			return p.ENI == "nlb@"+zoneA && p.Sent && string(p.Payload) == "select 1\n"
		})[0]
		require.NotEqual(t, syn.Source.Addr(), query.Source.Addr())
		packets.RequireCount(0, "no reset", func(p Packet) bool { return p.Flags == "R" })

		lab.Reject("data", "ep")
		_, err := conn.Write([]byte("more"))
		require.NoError(t, err)
		lab.RequireVerdict("NotConnected")
		dropped := packets.Require("it is dropped", func(p Packet) bool { return p.Dropped() != "" })[0]
		require.Equal(t, "NotConnected", dropped.Dropped())
		packets.lab = &Lab{lab: lab.lab}
		r := record(t, func(t testing.TB) {
			packets.lab.t = t
			packets.Require("pigs fly", func(p Packet) bool { return false })
		})
		require.Contains(t, r.fatal, "pigs fly: no such packet at ep, nlb\n")
		require.Contains(t, r.fatal, " packets seen, the last 20 are\n")
		require.Contains(t, r.fatal, "> 10.0.0.247:5432 S 0 bytes   came to ep@eu-west-1a as tcp 10.0.0.118:")
		require.Contains(t, r.fatal, " PA 4 bytes   dropped: NotConnected\npackets were dropped by: NotConnected 3 (")
		r = record(t, func(t testing.TB) {
			packets.lab.t = t
			packets.RequireCount(2, "SYNs", func(p Packet) bool { return p.Flags == "S" && !p.Sent })
		})
		require.Contains(t, r.fatal, "SYNs: 1 packet at ep, nlb, want 2\n")
	})
}

func textOf(t *testing.T, plan *topology.Plan) string {
	t.Helper()
	text, err := topofile.TextOf(plan)
	require.NoError(t, err)
	return string(text)
}
