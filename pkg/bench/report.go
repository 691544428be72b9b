package bench

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/perf/benchmath"

	"github.com/plinksim/plinksim/pkg/status"
)

// ReportVersion is the form of a Report in JSON. It changes when a field
// changes its meaning or is removed.
const ReportVersion = 2

// Report is everything that one Run measured.
type Report struct {
	status.Head
	Version int       `json:"version"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`
	Machine Machine   `json:"machine"`
	Rounds  int       `json:"rounds"`
	Workers int       `json:"workers"` // of the core
	Seconds float64   `json:"seconds"` // of one measurement; 0 where that has a length of its own
	Paths   []string  `json:"paths"`
	Figures []Figure  `json:"figures"`
	// Runs lists every measurement in the order in which it was made.
	Runs []RunInfo `json:"runs"`
	// Dataplane are the counters of the labs after the last measurement of each
	// workload, by path and workload.
	Dataplane map[string]status.Dataplane `json:"data_plane,omitempty"`
}

// Figure is one metric of one workload.
type Figure struct {
	Workload string `json:"workload"`
	Doc      string `json:"doc"`
	Metric   string `json:"metric"`
	Unit     string `json:"unit"`
	Lower    bool   `json:"lower_is_better"`
	// Series, Axis and X are where the workload stands among others that differ from it
	// in one quantity, for a curve.
	Series string  `json:"series,omitempty"`
	Axis   string  `json:"axis,omitempty"`
	X      float64 `json:"x,omitempty"`
	// Paths are what was measured, in the order of the Report's.
	Paths []PathFigure `json:"paths"`
}

// PathFigure is what one path did.
type PathFigure struct {
	Path   string    `json:"path"`
	Values []float64 `json:"values"` // by round
	// Value is the median, Ratio that of the rounds' ratios to the base: what
	// disturbed one round disturbed both. 0 where there is nothing to divide by.
	Value Interval `json:"value"`
	Ratio Interval `json:"ratio"`
}

// Interval is a median with the interval that has it at Confidence.
type Interval struct {
	Median     float64 `json:"median"`
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	Confidence float64 `json:"confidence"` // 0.95 where there are enough rounds
}

// sampleOf leaves values in the order of their rounds.
func sampleOf(values []float64) *benchmath.Sample {
	return benchmath.NewSample(slices.Clone(values), &benchmath.DefaultThresholds)
}

// confidence is what intervals should have: six rounds are enough.
const confidence = 0.95

func intervalOf(values []float64) Interval {
	if len(values) == 0 {
		return Interval{}
	}
	s := benchmath.AssumeNothing.Summary(sampleOf(values), confidence)
	i := Interval{s.Center, s.Lo, s.Hi, s.Confidence}
	if math.IsInf(i.Low, 0) || math.IsInf(i.High, 0) { // too few rounds: all of them
		i.Low, i.High = slices.Min(values), slices.Max(values)
		i.Confidence = 1 - math.Pow(0.5, float64(len(values)-1))
	}
	return i
}

// RunInfo is about one measurement.
type RunInfo struct {
	Round    int    `json:"round"`
	Workload string `json:"workload"`
	Path     string `json:"path"`
	// BusyBefore is how many CPUs were busy with something else just before.
	BusyBefore float64 `json:"busy_before"`
	// RingDrops is how many frames the kernel had no slot for, of the core's.
	RingDrops uint64 `json:"ring_drops,omitempty"`
	// Missed is how many frames the receiver of the benchmark itself had no room for:
	// they are not the path's fault.
	Missed uint64 `json:"missed_by_receiver,omitempty"`
	// Latency is of the frames that arrived, in nanoseconds, as HdrHistogram writes it
	// (version 2, compressed, in base64).
	Latency string `json:"latency,omitempty"`
	// Trials are those of a search.
	Trials []Trial `json:"trials,omitempty"`
}

func newReport(o Options) *Report {
	r := &Report{
		Head: status.NewHead(), Version: ReportVersion, Started: time.Now().UTC().Truncate(time.Second), Machine: ThisMachine(),
		Rounds: o.Rounds, Workers: o.Workers, Seconds: o.Seconds, Paths: o.Paths, Dataplane: map[string]status.Dataplane{},
	}
	if len(o.Loads)+len(o.Sessions) == 0 && len(o.Searches) > 0 {
		r.Seconds = 0
	}
	for _, w := range o.chosen() {
		for _, m := range w.metrics {
			f := Figure{Workload: w.name, Doc: w.doc, Metric: m.name, Unit: m.unit, Lower: m.lower,
				Series: w.point.series, Axis: w.point.axis, X: w.point.x}
			for _, path := range o.Paths {
				f.Paths = append(f.Paths, PathFigure{Path: path})
			}
			r.Figures = append(r.Figures, f)
		}
	}
	return r
}

// add takes in one measurement.
func (r *Report) add(round int, w workload, p *path, m *measurement, busyBefore float64) {
	info := RunInfo{Round: round + 1, Workload: w.name, Path: p.name, BusyBefore: busyBefore}
	if p.lab != nil {
		before := r.lastDrops(p.name)
		status := p.lab.Status().Dataplane
		info.RingDrops = status.RingDrops - before
		r.Dataplane[p.name+", "+w.name] = status
	}
	info.Missed, info.Latency, info.Trials = m.load.missed, m.load.encoded, m.trials
	r.Runs = append(r.Runs, info)
	for _, metric := range w.metrics {
		f := r.figure(w.name, metric.name)
		of := f.Of(p.name)
		of.Values = append(of.Values, metric.value(m))
		f.summarise(r.Base())
	}
}

func (r *Report) lastDrops(path string) uint64 {
	var sum uint64
	for _, run := range r.Runs {
		if run.Path == path {
			sum += run.RingDrops
		}
	}
	return sum
}

func (r *Report) figure(workload, metric string) *Figure {
	if f := r.find(workload, metric); f != nil {
		return f
	}
	panic("bench: a measurement of a workload that was not chosen")
}

// Base is the path that others are compared with: the kernel's NAT, or the first.
func (r *Report) Base() string {
	if slices.Contains(r.Paths, viaKernel) || len(r.Paths) == 0 {
		return viaKernel
	}
	return r.Paths[0]
}

// Of is what a path did, nil where it was not measured.
func (f *Figure) Of(path string) *PathFigure {
	for i := range f.Paths {
		if f.Paths[i].Path == path {
			return &f.Paths[i]
		}
	}
	return nil
}

func (f *Figure) summarise(base string) {
	to := f.Of(base)
	for i := range f.Paths {
		p := &f.Paths[i]
		p.Value, p.Ratio = intervalOf(p.Values), Interval{}
		if to == nil {
			continue
		}
		var ratios []float64
		for round := range min(len(p.Values), len(to.Values)) {
			if to.Values[round] != 0 {
				ratios = append(ratios, p.Values[round]/to.Values[round])
			}
		}
		p.Ratio = intervalOf(ratios)
	}
}

// WriteTable writes the medians for people, with the ratios to the base.
func (r *Report) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprint(t, "WORKLOAD\tMETRIC\tUNIT\t")
	for _, path := range r.Paths {
		fmt.Fprintf(t, "%s\t", strings.ToUpper(path))
		if path != r.Base() {
			fmt.Fprint(t, "RATIO\t")
		}
	}
	fmt.Fprintln(t)
	last := ""
	for _, f := range r.Figures {
		name := f.Workload
		if name == last {
			name = ""
		}
		last = f.Workload
		fmt.Fprintf(t, "%s\t%s\t%s\t", name, f.Metric, f.Unit)
		for _, p := range f.Paths {
			fmt.Fprintf(t, "%s\t", p.Number())
			if p.Path != r.Base() {
				fmt.Fprintf(t, "%s\t", p.RatioText())
			}
		}
		fmt.Fprintln(t)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nMedians of %s; ratios to the %s; %s, %d CPUs, Linux %s.\n",
		r.Length(), r.Base(), r.Machine.CPU, r.Machine.CPUs, r.Machine.Kernel)
	return err
}

// Length says how often and how long was measured.
func (r *Report) Length() string {
	if r.Seconds == 0 {
		return fmt.Sprintf("%d rounds", r.Rounds)
	}
	return fmt.Sprintf("%d rounds of %g s", r.Rounds, r.Seconds)
}

// WriteCSV writes a line for every value that was measured.
func (r *Report) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	_ = out.Write([]string{"workload", "metric", "unit", "path", "round", "value"}) // Error tells
	for _, f := range r.Figures {
		for _, p := range f.Paths {
			for round, v := range p.Values {
				_ = out.Write([]string{f.Workload, f.Metric, f.Unit, p.Path, strconv.Itoa(round + 1),
					strconv.FormatFloat(v, 'g', -1, 64)})
			}
		}
	}
	out.Flush()
	return out.Error()
}

// WriteComparison writes what changed between two reports, as benchstat does: medians
// with their intervals, the difference, and how likely it is chance (the U test of
// Mann and Whitney). A difference that may be chance is "~".
func WriteComparison(w io.Writer, before, after *Report) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "WORKLOAD\tMETRIC\tUNIT\tPATH\tBEFORE\tAFTER\tCHANGE\tP\t")
	for i := range before.Figures {
		old := &before.Figures[i]
		for _, was := range old.Paths {
			f := after.find(old.Workload, old.Metric)
			if f == nil || f.Of(was.Path) == nil {
				continue
			}
			is := f.Of(was.Path)
			change, p := difference(was.Values, is.Values)
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", old.Workload, old.Metric, old.Unit, was.Path,
				was.withSpread(), is.withSpread(), change, p)
		}
	}
	return t.Flush()
}

func difference(before, after []float64) (change, p string) {
	if len(before) == 0 || len(after) == 0 {
		return "-", "-"
	}
	c := benchmath.AssumeNothing.Compare(sampleOf(before), sampleOf(after))
	from, to := median(before), median(after)
	p = fmt.Sprintf("%.3f", c.P)
	if c.P > c.Alpha || from == 0 {
		return "~", p
	}
	return fmt.Sprintf("%+.1f %%", 100*(to/from-1)), p
}

func (p *PathFigure) withSpread() string {
	if len(p.Values) == 0 {
		return "-"
	}
	if p.Value.Median == 0 {
		return "0"
	}
	spread := max(p.Value.High-p.Value.Median, p.Value.Median-p.Value.Low) / p.Value.Median
	return fmt.Sprintf("%s ± %.0f %%", p.Number(), 100*spread)
}

func (r *Report) find(workload, metric string) *Figure {
	for i := range r.Figures {
		if r.Figures[i].Workload == workload && r.Figures[i].Metric == metric {
			return &r.Figures[i]
		}
	}
	return nil
}

// median is 0 for an empty list.
func median(values []float64) float64 { return intervalOf(values).Median }

// RatioText is the ratio for people, with its interval.
func (p *PathFigure) RatioText() string {
	if p.Ratio.Median == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)", p.Ratio.Median, p.Ratio.Low, p.Ratio.High)
}

// Number is the median for people.
func (p *PathFigure) Number() string { return number(p.Values, p.Value.Median) }

// number is a figure with three significant digits.
func number(all []float64, v float64) string {
	switch {
	case len(all) == 0:
		return "-"
	case v == 0:
		return "0"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// ReadJSON reads what WriteJSON wrote.
func ReadJSON(text []byte) (*Report, error) {
	var r Report
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, err
	}
	if r.Version != ReportVersion {
		return nil, fmt.Errorf("it has version %d, and this program reads %d", r.Version, ReportVersion)
	}
	return &r, nil
}

// WriteJSON writes the whole report for programs.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}
