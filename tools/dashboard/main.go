// Dashboard prints the Grafana dashboard of plinksim as JSON:
//
//	go run . >../../docs/monitoring/dashboard.json
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

func main() {
	built, err := build()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	out.Encode(built)
}

// figure is one panel: what is asked of Prometheus, and what a line is called.
type figure struct {
	title, description, expr, legend, unit string
}

func build() (dashboard.Dashboard, error) {
	const where = `{job=~"$job",endpoint=~"$endpoint",zone=~"$zone"}`
	d := dashboard.NewDashboardBuilder("plinksim").
		Uid("plinksim").Tags([]string{"plinksim", "privatelink"}).
		Description("Endpoints, servers, resolvers and the data plane of a plinksim lab.").
		Refresh("10s").Time("now-15m", "now").Timezone(common.TimeZoneBrowser).
		WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Type("prometheus").Label("Data source")).
		WithVariable(chosen("job", "Job", `label_values(plinksim_lab_info, job)`)).
		WithVariable(chosen("endpoint", "Endpoint", `label_values(plinksim_link_sessions{job=~"$job"}, endpoint)`)).
		WithVariable(chosen("zone", "Zone", `label_values(plinksim_link_sessions{job=~"$job"}, zone)`)).
		WithRow(dashboard.NewRowBuilder("The lab"))
	for _, f := range []figure{
		{"Labs", "Labs that are scraped.", `count(plinksim_lab_info{job=~"$job"})`, "", "short"},
		{"Problems", "Of the lab itself: a state that is not saved, for example.", `sum(plinksim_lab_problems{job=~"$job"})`, "", "short"},
		{"Connected", "Endpoints whose connection is connected.", `sum(plinksim_connection_connected{job=~"$job",endpoint=~"$endpoint"})`, "", "short"},
		{"Unhealthy servers", "Servers that fail their health checks.", `count(plinksim_server_healthy{job=~"$job"} == 0) or vector(0)`, "", "short"},
		{"Sessions", "In the session table.", `sum(plinksim_sessions{job=~"$job"})`, "", "short"},
	} {
		d.WithPanel(stat.NewPanelBuilder().Title(f.title).Description(f.description).Unit(f.unit).
			Datasource(source()).Height(4).Span(4).GraphMode(common.BigValueGraphModeArea).WithTarget(ask(f)))
	}
	for _, row := range []struct {
		title   string
		figures []figure
	}{
		{"Endpoints", []figure{
			{"Throughput", "Of IP packets that links forwarded, by endpoint and direction.",
				`sum by (endpoint, direction) (rate(plinksim_link_bytes_total` + where + `[$__rate_interval])) * 8`, "{{endpoint}} {{direction}}", "bps"},
			{"Packets", "Superframes are counted as the packets they are cut into.",
				`sum by (endpoint, zone) (rate(plinksim_link_segments_total` + where + `[$__rate_interval]))`, "{{endpoint}} {{zone}}", "pps"},
			{"Sessions", "Each holds one NAT port.",
				`sum by (endpoint, zone) (plinksim_link_sessions` + where + `)`, "{{endpoint}} {{zone}}", "short"},
			{"New sessions", "",
				`sum by (endpoint, zone) (rate(plinksim_link_sessions_opened_total` + where + `[$__rate_interval]))`, "{{endpoint}} {{zone}}", "cps"},
			{"Drops", "Packets that were not forwarded, by the reason.",
				`sum by (endpoint, verdict) (rate(plinksim_link_verdicts_total{job=~"$job",endpoint=~"$endpoint",zone=~"$zone",verdict!="Forwarded"}[$__rate_interval]))`, "{{endpoint}} {{verdict}}", "pps"},
			{"NAT ports in use", "The share of a NAT IP's ports towards a target.",
				`plinksim_nat_ports_in_use{job=~"$job"} / plinksim_nat_ports_limit`, "{{nat_ip}} to {{target}}", "percentunit"},
			{"Shaping and faults", "Frames that they dropped.",
				`sum by (endpoint, direction, reason) (rate(plinksim_shaping_dropped_frames_total{job=~"$job",endpoint=~"$endpoint"}[$__rate_interval]))`, "{{endpoint}} {{direction}} {{reason}}", "pps"},
		}},
		{"Servers", []figure{
			{"Healthy", "1 is healthy.", `plinksim_server_healthy{job=~"$job"}`, "{{group}} {{instance}} {{address}}", "short"},
			{"Sessions by server", "", `plinksim_server_sessions{job=~"$job"}`, "{{group}} {{instance}} {{address}}", "short"},
			{"Failed health checks", "", `rate(plinksim_server_failed_checks_total{job=~"$job"}[$__rate_interval])`, "{{group}} {{instance}}", "ops"},
			{"Requests through ALBs", "By the status that the client was told.",
				`sum by (listener, status) (rate(plinksim_alb_requests_total{job=~"$job"}[$__rate_interval]))`, "{{listener}} {{status}}", "reqps"},
			{"Failures of ALBs", "", `sum by (listener, reason) (rate(plinksim_alb_failures_total{job=~"$job"}[$__rate_interval]))`, "{{listener}} {{reason}}", "reqps"},
		}},
		{"Names", []figure{
			{"Answers", "Of the resolvers of VPCs, by code.",
				`sum by (vpc, rcode) (rate(plinksim_dns_answers_total{job=~"$job"}[$__rate_interval]))`, "{{vpc}} {{rcode}}", "reqps"},
			{"Questions to upstreams", "",
				`sum by (vpc, result) (rate(plinksim_dns_upstream_questions_total{job=~"$job"}[$__rate_interval]))`, "{{vpc}} {{result}}", "reqps"},
		}},
		{"Data plane", []figure{
			{"Verdicts", "What became of all packets.", `sum by (verdict) (rate(plinksim_verdicts_total{job=~"$job"}[$__rate_interval]))`, "{{verdict}}", "pps"},
			{"Frames lost by drivers", "", `sum by (worker, reason) (rate(plinksim_worker_dropped_frames_total{job=~"$job"}[$__rate_interval]))`, "{{worker}} {{reason}}", "pps"},
			{"CPU of the daemon", "", `rate(process_cpu_seconds_total{job=~"$job"}[$__rate_interval])`, "{{job}}", "short"},
			{"Memory of the daemon", "", `process_resident_memory_bytes{job=~"$job"}`, "{{job}}", "bytes"},
		}},
	} {
		d.WithRow(dashboard.NewRowBuilder(row.title))
		for _, f := range row.figures {
			d.WithPanel(timeseries.NewPanelBuilder().Title(f.title).Description(f.description).Unit(f.unit).Min(0).
				Datasource(source()).Height(8).Span(8).FillOpacity(10).WithTarget(ask(f)))
		}
	}
	return d.Build()
}

func source() common.DataSourceRef {
	kind, id := "prometheus", "${datasource}"
	return common.DataSourceRef{Type: &kind, Uid: &id}
}

func ask(f figure) *prometheus.DataqueryBuilder {
	return prometheus.NewDataqueryBuilder().Expr(f.expr).LegendFormat(f.legend)
}

// chosen is a variable that has every value until somebody chooses some.
func chosen(name, label, query string) *dashboard.QueryVariableBuilder {
	return dashboard.NewQueryVariableBuilder(name).Label(label).Datasource(source()).
		Query(dashboard.StringOrMap{String: &query}).
		Multi(true).IncludeAll(true).AllValue(".*").
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged)
}
