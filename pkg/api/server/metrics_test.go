package server

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/alb"
	"github.com/plinksim/plinksim/pkg/compile"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/dataplane"
	"github.com/plinksim/plinksim/pkg/dns"
	"github.com/plinksim/plinksim/pkg/fullnat"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/lb"
)

func someMetrics() lab.Metrics {
	m := lab.Metrics{
		Lab: "shop", Cloud: "alibaba", Region: "eu-central-1", Started: time.Unix(1_000_000, 5e8),
		ENIs:        map[string]dataplane.ENIStats{"ep1@z": {FramesReceived: 7, BytesSent: 9}},
		Connections: []control.Connection{{Service: "svc1", Endpoint: "ep1", State: control.Connected}},
		Groups:      map[string][]lb.ServerHealth{"rs1": {{Instance: "vpc2/ecs2", Server: netip.MustParseAddrPort("192.0.2.1:80"), Checks: 5, Failures: 2}}},
		Resolvers:   map[string]dns.Stats{"vpc1": {UDP: 3, Rcodes: map[string]uint64{"NXDOMAIN": 2}}},
	}
	link := fullnat.LinkStats{Name: "ep1@z tcp/80", Sessions: 4, SessionsOpened: 11, PacketsToProvider: 100}
	link.Verdicts[fullnat.Denied] = 6
	m.Links = map[string]compile.LinkLabels{link.Name: {Endpoint: "ep1", Zone: "z", Protocol: "tcp", Port: "80"}}
	m.Problems = []string{"the state is not saved: disk full"}
	m.Engine.Table = fullnat.Stats{Sessions: 4, Links: []fullnat.LinkStats{link}}
	m.Engine.Table.Verdicts[fullnat.Denied] = 8
	m.Workers = []dataplane.WorkerStats{{Sessions: 4}, {Driver: dataplane.DriverStats{RingDrops: 12}, HandedOver: 14}}
	m.NATPorts = []lab.NATPortUse{{
		ENI: "clb1@z", Protocol: "tcp", NATIP: netip.MustParseAddr("100.64.0.1"), Target: netip.MustParseAddrPort("192.0.2.1:80"), InUse: 4, Limit: 55000,
	}}
	m.Proxies = []lab.ProxyStats{{Name: "alb1@z http/80", Stats: alb.Stats{
		Accepted: 3, Open: 1, Requests: map[int]uint64{200: 14, 503: 1}, Failures: map[string]uint64{"no_server": 1}, BytesSent: 15,
		Backends: []alb.BackendStats{{Group: "rs1", Server: netip.MustParseAddrPort("192.0.2.1:80"), Requests: map[int]uint64{200: 14}, ConnectErrors: 16, Active: 1}},
	}}}
	m.Engine.Shaped.Links = []dataplane.ShapedLinkStats{{Name: "ep1", ToConsumer: dataplane.ShapedStats{Lost: 13}}}
	return m
}

func scrape(t *testing.T) *httptest.ResponseRecorder {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(collector{someMetrics}))
	w := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	require.Equal(t, http.StatusOK, w.Code, w.Body.String())
	return w
}

func TestMetricsTellWhatWasCounted(t *testing.T) {
	text := scrape(t).Body.String()
	for _, line := range []string{
		`plinksim_lab_info{cloud="alibaba",lab="shop",region="eu-central-1"} 1`,
		`plinksim_lab_problems 1`,
		`plinksim_lab_start_time_seconds 1.0000005e+06`,
		`plinksim_eni_frames_total{direction="received",eni="ep1@z"} 7`,
		`plinksim_eni_bytes_total{direction="sent",eni="ep1@z"} 9`,
		`plinksim_link_packets_total{direction="to_provider",endpoint="ep1",link="ep1@z tcp/80",port="80",protocol="tcp",zone="z"} 100`,
		`plinksim_alb_open_connections{listener="alb1@z http/80"} 1`,
		`plinksim_alb_requests_total{listener="alb1@z http/80",status="503"} 1`,
		`plinksim_alb_failures_total{listener="alb1@z http/80",reason="no_server"} 1`,
		`plinksim_alb_body_bytes_total{direction="sent",listener="alb1@z http/80"} 15`,
		`plinksim_alb_server_requests_total{address="192.0.2.1:80",listener="alb1@z http/80",server_group="rs1",status="200"} 14`,
		`plinksim_alb_server_errors_total{address="192.0.2.1:80",listener="alb1@z http/80",reason="connect",server_group="rs1"} 16`,
		`plinksim_alb_server_active_requests{address="192.0.2.1:80",listener="alb1@z http/80",server_group="rs1"} 1`,
		`plinksim_link_sessions{endpoint="ep1",link="ep1@z tcp/80",port="80",protocol="tcp",zone="z"} 4`,
		`plinksim_link_sessions_opened_total{endpoint="ep1",link="ep1@z tcp/80",port="80",protocol="tcp",zone="z"} 11`,
		`plinksim_link_verdicts_total{endpoint="ep1",link="ep1@z tcp/80",port="80",protocol="tcp",verdict="Denied",zone="z"} 6`,
		`plinksim_verdicts_total{verdict="Denied"} 8`,
		`plinksim_verdicts_total{verdict="Malformed"} 0`,
		`plinksim_nat_ports_in_use{eni="clb1@z",nat_ip="100.64.0.1",protocol="tcp",target="192.0.2.1:80"} 4`,
		`plinksim_nat_ports_limit{eni="clb1@z",nat_ip="100.64.0.1",protocol="tcp",target="192.0.2.1:80"} 55000`,
		`plinksim_worker_dropped_frames_total{reason="ring",worker="1"} 12`,
		`plinksim_worker_handed_over_frames_total{worker="1"} 14`,
		`plinksim_worker_sessions{worker="0"} 4`,
		`plinksim_shaping_dropped_frames_total{direction="to_consumer",endpoint="ep1",reason="lost"} 13`,
		`plinksim_connection_connected{endpoint="ep1",service="svc1"} 1`,
		`plinksim_server_healthy{address="192.0.2.1:80",group="rs1",instance="vpc2/ecs2"} 0`,
		`plinksim_server_failed_checks_total{address="192.0.2.1:80",group="rs1",instance="vpc2/ecs2"} 2`,
		`plinksim_dns_answers_total{rcode="NXDOMAIN",vpc="vpc1"} 2`,
	} {
		require.Contains(t, text, line+"\n")
	}
}

func TestMetricsAreNamedByTheConventions(t *testing.T) {
	problems, err := promlint.New(scrape(t).Body).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)
}

func TestMetricsListenOnTheLoopbackInterfaceAndMove(t *testing.T) {
	m := &metrics{handler: http.NotFoundHandler()}
	at, err := m.listen(":0")
	require.NoError(t, err)
	require.True(t, netip.MustParseAddrPort(at).Addr().IsLoopback())
	again, err := m.listen(":0")
	require.NoError(t, err)
	require.Equal(t, at, again, "the same wish changes nothing")
	other, err := m.listen("127.0.0.1:0")
	require.NoError(t, err)
	require.NotEqual(t, at, other)
	_, err = http.Get("http://" + at + "/metrics")
	require.Error(t, err)
	_, err = m.listen("9100")
	require.ErrorContains(t, err, `metrics address "9100": want HOST:PORT`)
	m.stop()
	_, err = m.listen(":0")
	require.Error(t, err)
}

func TestHealthSaysWhatIsWrongWithTheLab(t *testing.T) {
	var problems []string
	m := &metrics{handler: http.NotFoundHandler(), problems: func() []string { return problems }}
	at, err := m.listen(":0")
	require.NoError(t, err)
	defer m.stop()
	ask := func() (int, string) {
		resp, err := http.Get("http://" + at + "/healthz")
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(body)
	}
	code, body := ask()
	require.Equal(t, 200, code)
	require.Equal(t, "ok\n", body)
	problems = []string{"the state is not saved: disk full"}
	code, body = ask()
	require.Equal(t, 503, code)
	require.Equal(t, "the state is not saved: disk full\n", body)
}

// What docs/monitoring asks Prometheus for is there.
func TestTheDashboardAndTheAlertsAskForMetricsThatThereAre(t *testing.T) {
	have := map[string]bool{}
	for _, line := range strings.Split(scrape(t).Body.String(), "\n") {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			have[strings.Fields(name)[0]] = true
		}
	}
	for _, file := range []string{"dashboard.json", "alerts.yml"} {
		text, err := os.ReadFile("../../../docs/monitoring/" + file)
		require.NoError(t, err)
		names := regexp.MustCompile(`\bplinksim_[a-z_]+`).FindAllString(string(text), -1)
		require.NotEmpty(t, names)
		for _, name := range names {
			require.Contains(t, have, name, file)
		}
	}
}
