package plinktest

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/status"
)

const pooled = `
name: pooled
cloud: aws
region: eu-west-1
accounts: [a]
vpcs:
  shop:
    cidr: 10.0.0.0/16
    subnets: {s1: {zone: eu-west-1a, cidr: 10.0.1.0/24}}
    instances: {web: {subnet: s1}}
  data:
    cidr: 10.0.0.0/16
    subnets: {d1: {zone: eu-west-1a, cidr: 10.0.1.0/24}}
    security_groups: {default: {ingress: [{protocol: all, source: 10.0.0.0/16}]}}
    instances: {db: {subnet: d1, services: [{echo: 5432}]}}
server_groups:
  db: {vpc: data, protocol: tcp, servers: [{instance: db, port: 5432}]}
load_balancers:
  nlb: {type: nlb, vpc: data, subnets: [d1], listeners: [{protocol: tcp, port: 5432, server_group: db}]}
endpoint_services:
  svc: {resources: [nlb]}
endpoints:
  ep: {service: svc, vpc: shop, subnets: [s1]}
`

// ask sends a line to an echo server.
func ask(conn net.Conn) error {
	if _, err := fmt.Fprintln(conn, "select 1"); err != nil {
		return err
	}
	_, err := bufio.NewReader(conn).ReadString('\n')
	return err
}

// The same test in real time and in a bubble.
func TestALabInThisProcess(t *testing.T) {
	story := func(t *testing.T) *Lab {
		lab := UpText(t, pooled, InProcess())
		lab.Accept("svc", "ep")
		conn, err := lab.Instance("web").DialContext(t.Context(), "tcp", lab.Name("ep")+":5432")
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, ask(conn))
		lab.Reject("svc", "ep")
		require.NoError(t, conn.SetDeadline(time.Now().Add(300*time.Millisecond)))
		require.Error(t, ask(conn))
		return lab
	}
	t.Run("real", func(t *testing.T) { story(t) })
	synctest.Test(t, func(t *testing.T) {
		lab := story(t)
		lab.Accept("svc", "ep")
		conn, err := lab.Instance("web").DialContext(t.Context(), "tcp", lab.Name("ep")+":5432")
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, ask(conn))
		time.Sleep(time.Hour)
		require.ErrorIs(t, ask(conn), syscall.ECONNRESET)
	})
}

// In a process a lab needs no Linux: scripts/cross runs this one in a runtime for
// browsers.
func TestALabInThisProcessPassesItsChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab, checks := Up(t, "../../testdata/topologies/alibaba-clb.yaml", InProcess()), 0
		require.NoError(t, lab.Running().Check(t.Context(), func(c status.Check) {
			checks++
			require.True(t, c.Passed, "%+v", c)
		}))
		require.Equal(t, 10, checks)
	})
}

// recorder is a test that writes down why it ended.
type recorder struct {
	testing.TB
	log, fatal string
	artifacts  string // where they go; then the test has failed
}

func (r *recorder) Failed() bool        { return r.artifacts != "" || r.TB.Failed() }
func (r *recorder) ArtifactDir() string { return r.artifacts }

func (r *recorder) Helper() {}

func (r *recorder) Logf(format string, args ...any) { r.log += fmt.Sprintf(format, args...) }

func (r *recorder) Fatalf(format string, args ...any) {
	r.fatal = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// record says why a test ends; "" where it does not.
func record(t *testing.T, test func(testing.TB)) *recorder {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		test(r)
	}()
	<-done
	return r
}

func TestWhatNeedsTheKernelSaysSo(t *testing.T) {
	const why = `this lab is inside the test's process, which has no namespaces for programs`
	r := record(t, func(t testing.TB) {
		UpText(t, pooled, InProcess()).Instance("web").Command(context.Background(), "curl", "http://10.0.1.1/")
	})
	require.Contains(t, r.fatal, `lab "pooled": run curl: `+why)
	r = record(t, func(t testing.TB) {
		UpText(t, strings.Replace(pooled, "{echo: 5432}", "{command: [nginx]}", 1), InProcess())
	})
	require.Contains(t, r.fatal, `instance "db": service command "nginx": needs a kernel lab`)
}

func TestAnywhereSaysWhereTheLabIs(t *testing.T) {
	r := record(t, func(t testing.TB) {
		lab := UpText(t, pooled, Anywhere())
		lab.Accept("svc", "ep")
		conn, err := lab.Instance("web").DialContext(context.Background(), "tcp", lab.Name("ep")+":5432")
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, ask(conn))
	})
	want := `lab "pooled" is inside this process: `
	if kernelMissing() == "" {
		want = `lab "pooled" is in the kernel, `
	}
	t.Log(r.log)
	require.Contains(t, r.log, want)
	require.Empty(t, r.fatal)
}
