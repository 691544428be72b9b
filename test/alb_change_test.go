package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/plinktest"
)

const pairALB = `
name: alb-change
cloud: alibaba
region: cn-hangzhou
vpcs:
  vpc1:
    cidr: 10.0.0.0/16
    subnets: {h: {zone: cn-hangzhou-h, cidr: 10.0.0.0/24}}
    instances: {ecs1: {subnet: h, ip: 10.0.0.10}}
  vpc2:
    cidr: 10.0.0.0/16
    subnets: {h: {zone: cn-hangzhou-h, cidr: 10.0.0.0/24}, i: {zone: cn-hangzhou-i, cidr: 10.0.1.0/24}}
    instances:
      ecs2: {subnet: h, ip: 10.0.0.10, services: [{http: 80, body: ecs2}]}
      ecs3: {subnet: i, ip: 10.0.1.10, services: [{http: 80, body: ecs3}]}
server_groups:
  rs1: {vpc: vpc2, protocol: http, servers: [{instance: ecs2, port: 80}]}
  rs2: {vpc: vpc2, protocol: http, servers: [{instance: ecs3, port: 80}]}
load_balancers:
  alb1:
    type: alb
    vpc: vpc2
    subnets: [h, i]
    listeners:
      - {protocol: http, port: 80, server_group: rs1}
      - {protocol: https, port: 443, server_group: rs1}
endpoint_services:
  svc1: {resources: [alb1], auto_accept: true}
endpoints:
  ep1: {service: svc1, vpc: vpc1, subnets: [h]}
`

func changedALB(old, new string) string { return strings.Replace(pairALB, old, new, 1) }

func apply(t *testing.T, l *plinktest.Lab, text string) {
	t.Helper()
	changed, err := l.Running().Apply(t.Context(), parse(t, text), quiet)
	require.NoError(t, err)
	require.True(t, changed)
}

// A changed file applies to the next request of a connection that is open.
func TestAChangedFileAppliesToAnALBThatRuns(t *testing.T) {
	t.Parallel()
	l := plinktest.UpText(t, pairALB)
	client := &http.Client{
		Transport: &http.Transport{DialContext: l.Instance("ecs1").DialContext},
		Timeout:   5 * time.Second,
	}
	t.Cleanup(client.CloseIdleConnections)
	ask := func(path string) (status int, body string, reused bool) {
		t.Helper()
		trace := &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }}
		req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "GET", "http://"+l.Name("ep1")+path, nil)
		require.NoError(t, err)
		resp, err := client.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, strings.TrimSpace(string(text)), reused
	}
	const listener = "port: 80, server_group: rs1}"
	status, body, _ := ask("/")
	require.Equal(t, 200, status)
	require.Equal(t, "ecs2", body)

	for _, tt := range []struct {
		name, file   string
		status       int
		body         string
		sameListener bool
	}{
		{"another group", changedALB(listener, "port: 80, server_group: rs2}"), 200, "ecs3", true},
		{"a rule", changedALB(listener, "port: 80, server_group: rs2, rules: [{priority: 1, paths: [/*], fixed_response: {status: 403, body: closed}}]}"), 403, "closed", true},
		{"another idle timeout", changedALB(listener, "port: 80, server_group: rs1, idle_timeout: 30s}"), 200, "ecs2", false},
		{"another server in the group", strings.Replace(changedALB(listener, "port: 80, server_group: rs1, idle_timeout: 30s}"), "instance: ecs2, port: 80", "instance: ecs3, port: 80", 1), 200, "ecs3", true},
	} {
		apply(t, l, tt.file)
		status, body, reused := 0, "", false
		// A server that is new in its group is checked first.
		require.Eventually(t, func() bool { status, body, reused = ask("/"); return status != 503 }, 10*time.Second, 20*time.Millisecond)
		require.Equal(t, tt.status, status, tt.name)
		require.Equal(t, tt.body, body, tt.name)
		require.Equal(t, tt.sameListener, reused, tt.name)
	}
}

// A listener that starts again finishes the answers that it has begun.
func TestAListenerThatStartsAgainCutsNoDownload(t *testing.T) {
	t.Parallel()
	l := plinktest.UpText(t, strings.Replace(pairALB, "alb-change", "alb-drain", 1))
	const size = 20 << 20
	resp, err := l.Instance("ecs1").HTTP().Get(fmt.Sprintf("http://%s/bytes/%d", l.Name("ep1"), size))
	require.NoError(t, err)
	defer resp.Body.Close()
	_, err = io.CopyN(io.Discard, resp.Body, 1<<20)
	require.NoError(t, err)

	apply(t, l, strings.Replace(changedALB("port: 80, server_group: rs1}", "port: 80, server_group: rs2, idle_timeout: 30s}"), "alb-change", "alb-drain", 1))
	body, err := get(t, l.Instance("ecs1"), "http://"+l.Name("ep1")+"/")
	require.NoError(t, err)
	require.Equal(t, "ecs3", body, "new requests go the new way")
	rest, err := io.Copy(io.Discard, resp.Body)
	require.NoError(t, err)
	require.EqualValues(t, size, 1<<20+rest)
}

func TestAnALBShowsTheCertificateForTheName(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mine := writeCertificate(t, dir, "mine", "shop.example")
	file := func(certificates string) string {
		text := strings.Replace(pairALB, "alb-change", "alb-certificates", 1)
		return strings.Replace(text, "port: 443, server_group: rs1}", "port: 443, server_group: rs1"+certificates+"}", 1)
	}
	l := plinktest.UpText(t, file(""))
	shown := func(name string) *x509.Certificate {
		t.Helper()
		conn, err := l.Instance("ecs1").DialContext(t.Context(), "tcp", l.Name("ep1.ip")+":443")
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, conn.SetDeadline(time.Now().Add(5*time.Second)))
		client := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: name})
		require.NoError(t, client.Handshake())
		return client.ConnectionState().PeerCertificates[0]
	}
	made := shown(l.Name("ep1"))
	require.NoError(t, made.VerifyHostname(l.Name("ep1")))
	require.NoError(t, made.VerifyHostname(l.Name("ep1@cn-hangzhou-h")))
	require.NoError(t, made.VerifyHostname(l.Name("ep1.ip")))
	require.NoError(t, made.VerifyHostname(l.Name("alb1.ip")))

	_, err := l.Running().Apply(t.Context(), parse(t, file(fmt.Sprintf(", certificates: [{certificate: %s/none.pem, key: %s/mine.key}]", dir, dir))), quiet)
	require.ErrorContains(t, err, `load balancer "alb1": listener https port 443: certificate `+dir+"/none.pem with key ")
	require.Equal(t, made.SerialNumber, shown(l.Name("ep1")).SerialNumber, "nothing has changed")

	apply(t, l, file(fmt.Sprintf(", certificates: [{certificate: %s/mine.pem, key: %s/mine.key}]", dir, dir)))
	require.Equal(t, mine, shown("shop.example").Raw)
	require.Equal(t, mine, shown("other.example").Raw, "other names get the first certificate")
}

// writeCertificate writes NAME.pem and NAME.key, and returns what is in the
// first.
func writeCertificate(t *testing.T, dir, name, host string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(7), DNSNames: []string{host}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	for file, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+file), pem.EncodeToMemory(block), 0o600))
	}
	return der
}
