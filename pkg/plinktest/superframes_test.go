package plinktest

import (
	"bytes"
	"io"
	gonet "net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// carry sends a megabyte through an echo server and requires it back.
func carry(t *testing.T, from *Instance, address string) {
	t.Helper()
	conn := from.Dial("tcp", address)
	sent := bytes.Repeat([]byte("plinksim"), 1<<17)
	go func() { _, _ = conn.Write(sent) }()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(5*time.Minute)))
	got := make([]byte, len(sent))
	_, err := io.ReadFull(conn, got)
	require.NoError(t, err)
	require.True(t, bytes.Equal(sent, got), "it is what was sent")
}

// dualstack is a shop and a database with both versions of IP, whose instances are in
// other subnets than the endpoint and the load balancer.
func dualstack() *Topology {
	net := NewTopology("rfc", "local")
	subnets := func(v *VPCSpec, v6 string) {
		v.Set("ipv6_cidr", v6+"::/56")
		for i, zone := range []string{"z1", "z2"} {
			number := string(rune('1' + i))
			v.subnets[zone] = zone
			v.Set("subnets/"+zone, map[string]string{
				"zone": zone, "cidr": "10.0." + number + ".0/24", "ipv6_cidr": v6 + ":" + number + "::/64",
			})
		}
	}
	data, shop := net.VPC("data", "10.0.0.0/16"), net.VPC("shop", "10.0.0.0/16")
	subnets(data, "2001:db8:1")
	subnets(shop, "2001:db8:2")
	db := data.Instance("db", "z2").Echo(5432)
	nlb := data.LoadBalancer("nlb", "nlb", "z1")
	nlb.Set("ip_address_type", "dualstack")
	nlb.Set("cross_zone", true)
	nlb.Listen("tcp", 5432, db.At(5432))
	nlb.Listen("tcp", 5433, db.At(5432)).SetGroup("ip_address_type", "ipv6")
	shop.Instance("web", "z2")
	shop.Endpoint("ep", net.Service("data", nlb).AutoAccept()).Set("ip_address_type", "dualstack")
	return net
}

func TestSuperframesPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := dualstack().Up(t, InProcess(), Superframes())
		web := lab.Instance("web")
		for _, address := range []string{"ep.ip:5432", "ep.ipv6:5432", "ep.ip:5433", "ep.ipv6:5433"} {
			before := lab.Status().Dataplane
			carry(t, web, address)
			after := lab.Status().Dataplane
			require.Greater(t, after.Superframes-before.Superframes, uint64(20), address)
			require.Less(t, after.FramesRead-before.FramesRead, uint64(1000), "a megabyte is 700 packets and more, twice")
		}
		repair := lab.Impair("ep", map[string]string{"loss": "2%", "corrupt": "2%", "delay": "5ms"})
		carry(t, web, "ep.ip:5432")
		carry(t, web, "ep.ipv6:5433")
		repair()
		lab.Edit("endpoints/ep/mtu", 1300)
		carry(t, web, "ep.ip:5432")
		carry(t, web, "ep.ipv6:5433")
	})
}

func TestWithoutTheOptionThereAreNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := dualstack().Up(t, InProcess())
		carry(t, lab.Instance("web"), "ep.ip:5432")
		require.Zero(t, lab.Status().Dataplane.Superframes)
	})
}

// BenchmarkBulk is what one connection through an endpoint carries in a process.
func BenchmarkBulk(b *testing.B) {
	b.Run("superframes=no", func(b *testing.B) { bulk(b, InProcess()) })
	b.Run("superframes=yes", func(b *testing.B) { bulk(b, InProcess(), Superframes()) })
}

func bulk(b *testing.B, options ...Option) {
	net, _ := shopAndData()
	net.cloud = "rfc" // without a limit of the bandwidth
	lab := net.Up(b, options...)
	lab.Accept("data", "ep")
	lab.Instance("db").StopServices()
	lab.Instance("db").Serve(5432, func(c gonet.Conn) { _, _ = io.Copy(io.Discard, c) })
	conn := lab.Instance("web").Dial("tcp", "ep:5432")
	chunk := make([]byte, 1<<20)
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		_, err := conn.Write(chunk)
		require.NoError(b, err)
	}
}
