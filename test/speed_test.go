package test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/api/server"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/machine/kernel"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// manyVPCs is a topology of VPCs with the same addresses, every other one a
// provider, and endpoints from consumers to providers in turn. The first
// provider has a load balancer for new listeners beside its own.
func manyVPCs(name string, vpcs, instances, endpoints int) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "name: %s\ncloud: alibaba\nregion: eu-central-1\nquotas: {endpoints_per_vpc: 0}\nvpcs:\n", name)
	for v := range vpcs {
		fmt.Fprintf(&b, "  v%d:\n    cidr: 10.0.0.0/16\n    subnets: {s: {zone: eu-central-1b, cidr: 10.0.0.0/20}}\n"+
			"    security_groups: {web: {ingress: [{protocol: tcp, source: 0.0.0.0/0}]}, few: {}}\n    instances:\n", v)
		for i := range instances / vpcs {
			services := ""
			if v%2 == 1 && i == 0 {
				services = ", services: [{http: 80, body: hello}, {echo: 7}]"
			}
			group := "web"
			if i == 2 || i == 3 {
				group = "web, few"
			}
			fmt.Fprintf(&b, "      i%d-%d: {subnet: s, security_groups: [%s]%s}\n", v, i, group, services)
		}
	}
	section := func(name, more, format string) {
		fmt.Fprintf(&b, "%s\n%s", name, more)
		for v := 1; v < vpcs; v += 2 {
			fmt.Fprintf(&b, format, v)
		}
	}
	section("server_groups:", "", "  g%[1]d: {vpc: v%[1]d, protocol: tcp, servers: [{instance: i%[1]d-0, port: 80}]}\n"+
		"  e%[1]d: {vpc: v%[1]d, protocol: tcp, servers: [{instance: i%[1]d-0, port: 7}]}\n")
	section("load_balancers:", "  more: {type: clb, vpc: v1, subnets: [s], listeners: []}\n",
		"  lb%[1]d: {type: clb, vpc: v%[1]d, subnets: [s], listeners: [{protocol: tcp, port: 80, server_group: g%[1]d}, "+
			"{protocol: tcp, port: 7, server_group: e%[1]d}]}\n")
	section("endpoint_services:", "  more: {resources: [more], auto_accept: true}\n",
		"  svc%[1]d: {resources: [lb%[1]d], auto_accept: true}\n")
	b.WriteString("endpoints:\n  ep-more: {service: more, vpc: v0, subnets: [s]}\n")
	for e := range endpoints - 1 {
		pair := e % (vpcs / 2)
		consumer := (pair + e/(vpcs/2)) % (vpcs / 2)
		fmt.Fprintf(&b, "  ep%d: {service: svc%d, vpc: v%d, subnets: [s]}\n", e, 2*pair+1, 2*consumer)
	}
	return []byte(b.String())
}

// timedLab is a lab in the kernel with a daemon's socket.
type timedLab struct {
	*lab.Lab
	client http.Client
}

func upTimed(t *testing.T, text []byte) *timedLab {
	t.Helper()
	plan, err := topofile.Parse("topology.yaml", text)
	require.NoError(t, err)
	t.Setenv(labdir.RootVariable, t.TempDir())
	dir := labdir.Of(plan.Name)
	lock, err := dir.Lock()
	require.NoError(t, err)
	t.Cleanup(lock.Release)
	l, err := lab.Start(t.Context(), lab.Config{Plan: plan, Machine: kernel.New(dir), Store: dir})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close(context.Background())) })
	socket, err := server.Listen(dir.Socket())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { (&server.Server{Lab: l}).Serve(ctx, socket) })
	t.Cleanup(func() { cancel(); serving.Wait() })
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", dir.Socket())
	}
	return &timedLab{l, http.Client{Transport: &http.Transport{DialContext: dial}}}
}

// edit makes an edit and gives the time that the daemon took, and its machine's
// part.
func (l *timedLab) edit(t *testing.T, edit topology.Edit) (total, machine time.Duration) {
	t.Helper()
	body, err := json.Marshal(api.EditCall{Edits: []topology.Edit{edit}, WaitSeconds: 30})
	require.NoError(t, err)
	resp, err := l.client.Post("http://plinksim/v1/edit", "application/json", bytes.NewReader(body))
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", text)
	var ms [2]float64
	_, err = fmt.Sscanf(resp.Header.Get("Server-Timing"), "total;dur=%f, machine;dur=%f", &ms[0], &ms[1])
	require.NoError(t, err)
	return time.Duration(ms[0] * 1e6), time.Duration(ms[1] * 1e6)
}

// traffic goes through an endpoint until it is stopped: a stream, and requests
// with a connection for each.
type traffic struct {
	stop           context.CancelFunc
	going          sync.WaitGroup
	bytes, answers int
	errs           [2]error
}

func (l *timedLab) traffic(t *testing.T, from, host string) *traffic {
	t.Helper()
	instance, err := l.Client(from)
	require.NoError(t, err)
	stream, err := instance.DialContext(t.Context(), "tcp", host+":7")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	tr := &traffic{stop: stop}
	tr.going.Go(func() {
		defer stream.Close()
		out, in := bytes.Repeat([]byte{7}, 1000), make([]byte, 1000)
		for ctx.Err() == nil && tr.errs[0] == nil {
			stream.SetDeadline(time.Now().Add(5 * time.Second))
			_, err := stream.Write(out)
			if err == nil {
				_, err = io.ReadFull(stream, in)
			}
			tr.errs[0] = err
			tr.bytes += len(in)
			time.Sleep(time.Millisecond)
		}
	})
	client := http.Client{
		Timeout:   900 * time.Millisecond, // less than a lost SYN takes to come again
		Transport: &http.Transport{DialContext: instance.DialContext, DisableKeepAlives: true},
	}
	tr.going.Go(func() {
		for ctx.Err() == nil {
			resp, err := client.Get("http://" + host + "/")
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			tr.errs[1] = errors.Join(tr.errs[1], err)
			tr.answers++
			time.Sleep(5 * time.Millisecond)
		}
	})
	return tr
}

// requireNothingLost stops the traffic.
func (tr *traffic) requireNothingLost(t *testing.T) {
	t.Helper()
	tr.stop()
	tr.going.Wait()
	require.NoError(t, tr.errs[0], "the stream, after %d bytes", tr.bytes)
	require.NoError(t, tr.errs[1], "the requests, of which there were %d", tr.answers)
	t.Logf("through it all went %d bytes of a stream and %d requests; none was lost", tr.bytes, tr.answers)
}

// Edits of a large lab take milliseconds, and disturb nothing else. The table that is
// printed says how much more they take than those of a small lab.
func TestEditsOfALargeLabTakeMilliseconds(t *testing.T) {
	testenv.NeedRoot(t)
	testenv.NeedTime(t)
	testenv.NeedNoRace(t)
	const rounds, most = 200, 60 * time.Millisecond
	small := upTimed(t, manyVPCs("small", 2, 10, 2))
	large := upTimed(t, manyVPCs("large", 100, 1000, 200))
	tr := large.traffic(t, "i2-1", large.Plan().Endpoints[2].Domain)
	fmt.Fprintf(os.Stderr, "%-9s %25s %25s\n%-9s %12s %12s %12s %12s %12s\n", "", "10 instances", "1,000 instances",
		"edit", "whole", "machine", "whole", "machine", "ratio")
	var slow []string
	for _, kind := range []struct{ name, path, value string }{
		{"rule", "vpcs/v0/security_groups/few/ingress/-", "{protocol: tcp, ports: %d, source: 10.0.0.0/8}"},
		{"listener", "load_balancers/more/listeners/-", "{protocol: tcp, port: %d, server_group: g1}"},
		{"endpoint", "endpoints/new%d", "{service: svc1, vpc: v0, subnets: [s]}"},
		{"instance", "vpcs/v1/instances/new%d", "{subnet: s, security_groups: [web]}"},
	} {
		var wholes, machines [2][]time.Duration
		for n := range rounds {
			edit := topology.Edit{Path: kind.path, Value: kind.value}
			if strings.Contains(kind.path, "%d") {
				edit.Path = fmt.Sprintf(kind.path, n)
			} else {
				edit.Value = fmt.Sprintf(kind.value, 10000+n)
			}
			for i, l := range []*timedLab{small, large} {
				whole, machine := l.edit(t, edit)
				wholes[i], machines[i] = append(wholes[i], whole), append(machines[i], machine)
			}
		}
		fmt.Fprintf(os.Stderr, "%-9s %9.1f ms %9.1f ms %9.1f ms %9.1f ms %12.2f\n", kind.name,
			ms(median(wholes[0])), ms(median(machines[0])), ms(median(wholes[1])), ms(median(machines[1])),
			float64(median(wholes[1]))/float64(median(wholes[0])))
		if median(wholes[1]) > most {
			slow = append(slow, kind.name)
		}
	}
	tr.requireNothingLost(t)
	require.Empty(t, slow, "their median is more than %s", most)
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
