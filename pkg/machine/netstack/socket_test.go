package netstack_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/lab"
)

// two are two instances of a VPC in different subnets.
func two(t testing.TB) (web, far lab.Space) {
	plan := parse(t, shop)
	m := machine(t, plan)
	return spaceOf(t, m, plan, "web"), spaceOf(t, m, plan, "far")
}

// pair is a connection between them.
func pair(t testing.TB) (client, server net.Conn) {
	web, far := two(t)
	ln, err := far.Listen(t.Context(), "tcp", ":80")
	require.NoError(t, err)
	defer ln.Close()
	client, err = web.DialContext(t.Context(), "tcp", "10.0.2.10:80")
	require.NoError(t, err)
	server, err = ln.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { client.Close(); server.Close() })
	return client, server
}

func TestAddressesOfAConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		client, server := pair(t)
		require.Equal(t, "10.0.2.10:80", client.RemoteAddr().String())
		require.Equal(t, "10.0.2.10:80", server.LocalAddr().String())
		require.Equal(t, client.LocalAddr().String(), server.RemoteAddr().String())
		require.Equal(t, "10.0.1.10", client.LocalAddr().(*net.TCPAddr).IP.String())
	})
}

func TestAConnectionThatWasResetBeforeItIsAcceptedHasItsAddresses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		web, far := two(t)
		ln, err := far.Listen(t.Context(), "tcp", ":80")
		require.NoError(t, err)
		defer ln.Close()
		client, err := web.DialContext(t.Context(), "tcp", "10.0.2.10:80")
		require.NoError(t, err)
		require.NoError(t, client.(interface{ SetLinger(int) error }).SetLinger(0))
		require.NoError(t, client.Close())
		time.Sleep(time.Second)
		server, err := ln.Accept()
		require.NoError(t, err)
		defer server.Close()
		require.Equal(t, client.LocalAddr(), server.RemoteAddr())
		require.Equal(t, "10.0.2.10:80", server.LocalAddr().String())
		_, err = server.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
	})
}

func TestManyBytesArriveInOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		client, server := pair(t)
		sent := make([]byte, 5<<20)
		for i := range sent {
			sent[i] = byte(i >> 8)
		}
		go func() {
			client.Write(sent)
			client.(interface{ CloseWrite() error }).CloseWrite()
		}()
		got, err := io.ReadAll(server)
		require.NoError(t, err)
		require.True(t, bytes.Equal(sent, got))
		_, err = server.Write([]byte("the other direction is open"))
		require.NoError(t, err)
	})
}

// Errors are found as those of package net are.
func TestErrors(t *testing.T) {
	bubble(t, func(t *testing.T) {
		web, _ := two(t)
		_, err := web.DialContext(t.Context(), "tcp", "10.0.2.10:81")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		require.EqualError(t, err, "dial tcp 10.0.2.10:81: connect: "+syscall.ECONNREFUSED.Error())

		_, err = web.DialFrom(t.Context(), netip.MustParseAddr("10.0.1.99"), "tcp", "10.0.2.10:81")
		require.ErrorIs(t, err, syscall.EADDRNOTAVAIL)

		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err = web.DialContext(ctx, "tcp", "10.0.2.11:81") // its security group drops that
		require.ErrorIs(t, err, context.DeadlineExceeded)
		var timeout net.Error
		require.ErrorAs(t, err, &timeout)
		require.True(t, timeout.Timeout())

		for _, network := range []string{"tcp6", "unix", "udp6", "ip"} {
			_, err = web.DialContext(t.Context(), network, "10.0.2.10:81")
			require.ErrorAs(t, err, new(net.UnknownNetworkError), network)
			_, err = web.Listen(t.Context(), network, "10.0.1.10:81")
			require.ErrorAs(t, err, new(net.UnknownNetworkError), network)
		}
		_, err = web.DialContext(t.Context(), "tcp", "web.shop.internal:80")
		require.ErrorContains(t, err, "is not an IP address and a port")

		ln, err := web.Listen(t.Context(), "tcp", "10.0.1.10:80")
		require.NoError(t, err)
		_, err = web.Listen(t.Context(), "tcp", "10.0.1.10:80")
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		require.NoError(t, ln.Close())
		require.ErrorIs(t, ln.Close(), net.ErrClosed)
		_, err = ln.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		ln, err = web.Listen(t.Context(), "tcp", "10.0.1.10:80")
		require.NoError(t, err, "the port is free again at once")
		require.NoError(t, ln.Close())
	})
}

func TestAResetIsOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		client, server := pair(t)
		read := make(chan error, 1)
		go func() {
			_, err := client.Read(make([]byte, 10))
			read <- err
		}()
		require.NoError(t, server.(interface{ SetLinger(int) error }).SetLinger(0))
		require.NoError(t, server.Close())
		require.ErrorIs(t, <-read, syscall.ECONNRESET)
		_, err := client.Write([]byte("late"))
		require.Error(t, err)
	})
}

// A connection whose peer does not answer any more times out.
func TestDeadlines(t *testing.T) {
	bubble(t, func(t *testing.T) {
		client, _ := pair(t)
		b := make([]byte, 10)
		require.NoError(t, client.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
		_, err := client.Read(b)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, client.SetReadDeadline(time.Time{}))

		// It may be set while a Read waits, again and again.
		go func() {
			time.Sleep(10 * time.Millisecond)
			client.SetDeadline(time.Now().Add(time.Hour))
			client.SetDeadline(time.Now().Add(10 * time.Millisecond))
		}()
		_, err = client.Read(b)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		time.Sleep(10 * time.Millisecond) // it has a timer of its own
		_, err = client.Write(b)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, client.SetDeadline(time.Time{}))
		_, err = client.Write(b)
		require.NoError(t, err)
	})
}

func TestCloseEndsARead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		client, server := pair(t)
		go func() {
			time.Sleep(10 * time.Millisecond)
			client.Close()
		}()
		_, err := client.Read(make([]byte, 10))
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = client.Write([]byte("late"))
		require.ErrorIs(t, err, net.ErrClosed)
		require.ErrorIs(t, client.SetDeadline(time.Now()), net.ErrClosed)
		_, err = server.Read(make([]byte, 10))
		require.Equal(t, io.EOF, err)
	})
}

func TestDatagrams(t *testing.T) {
	bubble(t, func(t *testing.T) {
		web, far := two(t)
		pc, err := far.ListenPacket(t.Context(), "udp", ":53")
		require.NoError(t, err)
		defer pc.Close()
		conn, err := web.DialContext(t.Context(), "udp", "10.0.2.10:53")
		require.NoError(t, err)
		defer conn.Close()
		long := make([]byte, 4000) // it goes in fragments
		for i := range long {
			long[i] = byte(i)
		}
		_, err = conn.Write(long)
		require.NoError(t, err)
		b := make([]byte, 5000)
		n, from, err := pc.ReadFrom(b)
		require.NoError(t, err)
		require.Equal(t, long, b[:n])
		require.Equal(t, conn.LocalAddr().String(), from.String())
		_, err = pc.WriteTo([]byte("answer"), from)
		require.NoError(t, err)
		n, err = conn.Read(b)
		require.NoError(t, err)
		require.Equal(t, "answer", string(b[:n]))

		// Where nobody listens, an ICMP error wakes the reader.
		nobody, err := web.DialContext(t.Context(), "udp", "10.0.2.10:54")
		require.NoError(t, err)
		defer nobody.Close()
		_, err = nobody.Write([]byte("hello"))
		require.NoError(t, err)
		_, err = nobody.Read(b)
		require.ErrorIs(t, err, syscall.ECONNREFUSED)

		go func() {
			time.Sleep(10 * time.Millisecond)
			pc.Close()
		}()
		_, _, err = pc.ReadFrom(b)
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

// The addresses of the VPC's resolver are reached from every subnet, that of
// 169.254.169.253 and that of the VPC's block.
func TestTheResolverIsReachedFromEverySubnet(t *testing.T) {
	bubble(t, func(t *testing.T) {
		plan := parse(t, shop)
		m := machine(t, plan)
		vpc := plan.MustVPC("shop")
		router, err := m.Space(vpc.Namespace)
		require.NoError(t, err)
		require.NotEmpty(t, vpc.Resolvers)
		for _, addr := range vpc.Resolvers {
			at := netip.AddrPortFrom(addr, 53).String()
			ln, err := router.Listen(t.Context(), "tcp", at)
			require.NoError(t, err)
			pc, err := router.ListenPacket(t.Context(), "udp", at)
			require.NoError(t, err)
			for _, name := range []string{"web", "far"} {
				space := spaceOf(t, m, plan, name)
				conn, err := space.DialContext(t.Context(), "tcp", at)
				require.NoError(t, err, "%s from %s", at, name)
				require.NoError(t, conn.Close())
				asks, err := space.DialContext(t.Context(), "udp", at)
				require.NoError(t, err)
				_, err = asks.Write([]byte("who"))
				require.NoError(t, err)
				_, from, err := pc.ReadFrom(make([]byte, 10))
				require.NoError(t, err)
				_, err = pc.WriteTo([]byte("you"), from)
				require.NoError(t, err)
				_, err = asks.Read(make([]byte, 10))
				require.NoError(t, err, "%s from %s", at, name)
				require.NoError(t, asks.Close())
			}
			require.NoError(t, ln.Close())
			require.NoError(t, pc.Close())
		}
	})
}

// What a stack sends to itself waits for nothing either.
func TestAProgramReachesItsOwnHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		web, _ := two(t)
		for _, at := range []string{"127.0.0.1:80", "10.0.1.10:80", "[::1]:80"} {
			ln, err := web.Listen(t.Context(), "tcp", at)
			require.NoError(t, err)
			start := time.Now()
			for range 20 {
				conn, err := web.DialContext(t.Context(), "tcp", at)
				require.NoError(t, err)
				server, err := ln.Accept()
				require.NoError(t, err)
				go func() {
					defer server.Close()
					io.Copy(server, server)
				}()
				sent := bytes.Repeat([]byte("0123456789"), 100_000)
				go conn.Write(sent)
				got := make([]byte, len(sent))
				_, err = io.ReadFull(conn, got)
				require.NoError(t, err)
				require.True(t, bytes.Equal(sent, got))
				require.NoError(t, conn.Close())
			}
			require.Less(t, time.Since(start), 100*time.Millisecond)
			require.NoError(t, ln.Close())
		}
	})
}
