package bench

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/golden"
	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/machine/kernel"
)

// The generators are further runs of the test binary.
func TestMain(m *testing.M) {
	if asked, err := kernel.Enter(os.Args); asked {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(127)
	}
	if len(os.Args) == 2 && os.Args[1] == GeneratorCommand {
		os.Exit(Generate(os.Stdin, os.Stdout))
	}
	os.Exit(m.Run())
}

func needLab(t *testing.T) {
	t.Helper()
	testenv.NeedRoot(t)
	dir, err := os.MkdirTemp("", "bench")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	t.Setenv("PLINKSIM_STATE_DIR", dir+"/run")
	t.Cleanup(func() { require.NoDirExists(t, dir+"/run", "a benchmark leaves nothing") })
}

// A machine that has much else to do may let nothing arrive within a short window: what had
// nothing is measured again in longer ones, which a path that does not pass it fails as well.
func TestEveryWorkloadPassesBothPaths(t *testing.T) {
	needLab(t)
	report, err := Run(t.Context(), Options{Rounds: 1, Seconds: 0.3})
	require.NoError(t, err)
	require.Len(t, report.Runs, len(paths)*len(workloads()))
	for _, f := range report.Figures {
		for _, path := range paths {
			require.Len(t, f.Of(path).Values, 1, f.Workload)
		}
	}
	// What the core forwarded went through the core.
	require.NotZero(t, report.Dataplane["core, bulk TCP, 1 stream"].FramesRead)
	require.Zero(t, report.Dataplane["core, bulk TCP, 1 stream"].FlowCache.Frames)
	require.NotZero(t, report.Dataplane["cache, bulk TCP, 4 streams"].FlowCache.Frames)

	nothing := withoutAny(report)
	for seconds := 1.0; len(nothing) > 0 && seconds < 5; seconds *= 2 {
		t.Logf("measured again for %g s: %q", seconds, nothing)
		report, err = Run(t.Context(), Options{Rounds: 1, Seconds: seconds, Only: regexp.MustCompile("^(" + strings.Join(nothing, "|") + ")$")})
		require.NoError(t, err)
		nothing = withoutAny(report)
	}
	require.Empty(t, nothing, "nothing passes a path")
}

// withoutAny are expressions for the names of the workloads of which nothing passed a path.
func withoutAny(r *Report) (workloads []string) {
	for _, f := range r.Figures {
		name := regexp.QuoteMeta(f.Workload)
		if f.Metric == "lost" || f.Metric == "out of order" || f.Metric == "CPU time" || slices.Contains(workloads, name) {
			continue // may be nothing
		}
		if slices.ContainsFunc(f.Paths, func(p PathFigure) bool { return p.Value.Median <= 0 }) {
			workloads = append(workloads, name)
		}
	}
	return workloads
}

func TestAnInterruptedRunLeavesNothing(t *testing.T) {
	needLab(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	interrupted := errors.New("interrupted")
	_, err := Run(ctx, Options{Rounds: 100, Seconds: 10, Progress: func(done, total int, what string) {
		if done > 0 {
			time.AfterFunc(50*time.Millisecond, func() { cancel(interrupted) })
		}
	}})
	require.ErrorIs(t, err, interrupted)
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options Options
		want    string
	}{
		{"fewer than no rounds", Options{Rounds: -1}, "-1 rounds"},
		{"measurements of an hour", Options{Seconds: 3600}, "3600 seconds"},
		{"no workload of that name", Options{Only: regexp.MustCompile("^x$")}, "no workload"},
		{"no path of that name", Options{Paths: []string{"up"}}, `no path "up"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Run(t.Context(), tt.options)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestQuickTakesLessThanAMinute(t *testing.T) {
	require.Less(t, Options{Rounds: 3, Seconds: 0.3}.Estimate(), 50*time.Second)
}

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		name   string
		values []float64
		want   float64
	}{
		{"of nothing is nothing", nil, 0},
		{"of an odd number is the middle", []float64{9, 1, 5}, 5},
		{"of an even number is between the middle two", []float64{4, 1, 2, 100}, 3},
	} {
		t.Run(tt.name, func(t *testing.T) { require.Equal(t, tt.want, median(tt.values)) })
	}
}

// A ratio is made within a round: a machine that was slow in one of them was
// slow for both paths.
func TestTheRatioIsThatOfTheMedianRound(t *testing.T) {
	two := func(lower bool, core, kernel []float64) *PathFigure {
		f := Figure{Lower: lower, Paths: []PathFigure{{Path: viaCore, Values: core}, {Path: viaKernel, Values: kernel}}}
		f.summarise(viaKernel)
		return f.Of(viaCore)
	}
	p := two(false, []float64{10, 100, 30}, []float64{10, 50, 20})
	require.Equal(t, 1.5, p.Ratio.Median)
	require.Equal(t, "1.50 (1.00 to 2.00)", p.RatioText())
	require.InDelta(t, 0.75, p.Ratio.Confidence, 0.01, "three rounds")
	require.Equal(t, "-", two(false, []float64{0}, []float64{0}).RatioText())
	p = two(false, []float64{1, 2, 3, 4, 5, 6, 7, 8}, []float64{2, 2, 2, 2, 2, 2, 2, 2})
	require.Equal(t, 4.5, p.Value.Median)
	require.LessOrEqual(t, p.Value.Low, 2.0)
	require.GreaterOrEqual(t, p.Value.High, 7.0)
	require.GreaterOrEqual(t, p.Value.Confidence, 0.95)
}

// What may be chance is not called a change.
func TestACompareTellsAChangeFromChance(t *testing.T) {
	report := func(values ...float64) *Report {
		r := newReport(Options{Rounds: len(values), Seconds: 1, Paths: []string{viaCache}, Only: regexp.MustCompile("^connect")})
		for i := range r.Figures {
			r.Figures[i].Paths[0].Values = values
			r.Figures[i].summarise(r.Base())
		}
		return r
	}
	var out bytes.Buffer
	before := report(100, 101, 102, 103, 104, 105)
	require.NoError(t, WriteComparison(&out, before, report(200, 202, 204, 206, 208, 210)))
	require.Regexp(t, `connect-request-close +rate +1/s +cache +102 ± 2 % +205 ± 2 % +\+100.0 % +0.002`, out.String())
	out.Reset()
	require.NoError(t, WriteComparison(&out, before, report(103, 101, 100, 105, 102, 104)))
	require.Regexp(t, `rate .* ~ +1.000`, out.String())
}

func aReport() *Report {
	r := newReport(Options{Rounds: 3, Seconds: 1, Paths: paths})
	for i := range r.Figures {
		f := &r.Figures[i]
		for j := range f.Paths {
			f.Paths[j].Values = []float64{1, 2, 3}
			if f.Paths[j].Path == viaKernel {
				f.Paths[j].Values = []float64{2, 2, 2}
			}
		}
		f.summarise(r.Base())
	}
	return r
}

func TestReportsAreWholeDocuments(t *testing.T) {
	r := aReport()
	var table, svg, page, js bytes.Buffer
	require.NoError(t, r.WriteTable(&table))
	require.Regexp(t, `throughput +Gbit/s +2.00 +1.00 \(0.50 to 1.50\) +2.00 +1.00 \(0.50 to 1.50\) +2.00 +2.00 +1.00`, table.String())
	require.NoError(t, r.WriteSVG(&svg))
	wellFormed(t, svg.String())
	require.NoError(t, r.WriteHTML(&page))
	require.Equal(t, len(r.Figures), strings.Count(page.String(), "is better)</h3>\n<svg "))
	require.NotRegexp(t, `(src|href)=`, page.String(), "the page needs nothing else")
	require.NoError(t, r.WriteJSON(&js))
	again, err := ReadJSON(js.Bytes())
	require.NoError(t, err)
	require.Equal(t, r.Figures, again.Figures)
	var lines bytes.Buffer
	require.NoError(t, r.WriteCSV(&lines))
	require.Contains(t, lines.String(), "connect-request-close,rate,1/s,forward,2,2\n")
	_, err = ReadJSON([]byte(`{"version": 9}`))
	require.EqualError(t, err, "it has version 9, and this program reads 2")
}

// The page tells what was measured, and nothing else.
func TestThePageHasTheFiguresOfTheMeasurement(t *testing.T) {
	js, err := os.ReadFile("../../docs/bench/bench.json")
	require.NoError(t, err)
	r, err := ReadJSON(js)
	require.NoError(t, err)
	require.GreaterOrEqual(t, r.Rounds, 5)
	var figures bytes.Buffer
	require.NoError(t, r.WriteMarkdown(&figures))
	golden.Section(t, "../../docs/bench/README.md", "figures", figures.String())
	var html bytes.Buffer
	require.NoError(t, r.WriteHTML(&html))
	golden.Equal(t, "../../docs/bench/bench.html", html.String())
}

func TestAGoalThatIsNotReachedIsSaid(t *testing.T) {
	r := aReport()
	for i := range r.Figures {
		if f := &r.Figures[i]; f.Metric == "lost" {
			f.Of(viaCache).Values = []float64{0, 0, 0}
			f.summarise(r.Base())
		}
	}
	var page bytes.Buffer
	require.NoError(t, r.WriteMarkdown(&page))
	for _, line := range []string{
		"| bulk TCP, 1 stream | throughput | Gbit/s | 2.00 | 1.00 (0.50 to 1.50) | 2.00 | 1.00 (0.50 to 1.50) | 2.00 | 2.00 | 1.00 (0.50 to 1.50) |",
		"| small packets of two senders at least 1.5 times | 1.00 (0.50 to 1.50): **not reached** |",
		"| CPU time for it at most 1.2 times | 1.00 (0.50 to 1.50) |",
		"| connect-request-close at least 0.95 times userspace alone | 1.00 (1.00 to 1.00) |",
		"| 100,000 packets per second arrive | all of them |",
		"| and in order | 2.00 of them not: **not reached** |",
	} {
		require.Contains(t, page.String(), line+"\n")
	}
}

func wellFormed(t *testing.T, text string) {
	t.Helper()
	for dec := xml.NewDecoder(strings.NewReader(text)); ; {
		_, err := dec.Token()
		if err == io.EOF {
			return
		}
		require.NoError(t, err)
	}
}

// What a generator does not know it says, and goes on.
func TestAGeneratorRefusesStrangeOrders(t *testing.T) {
	var out bytes.Buffer
	require.Zero(t, Generate(strings.NewReader(`{"do":"dance"}{"do":"count"}`), &out))
	require.Equal(t, `{"error":"unknown order \"dance\""}`+"\n"+`{"error":"count what? serve comes first"}`+"\n", out.String())
}
