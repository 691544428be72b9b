package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/plinksim/plinksim/pkg/status"
)

// ReportVersion is the form of a Report in JSON. It changes when a field
// changes its meaning or is removed.
const ReportVersion = 1

// Report is everything that one Run measured.
type Report struct {
	Version int       `json:"version"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`
	Machine Machine   `json:"machine"`
	Rounds  int       `json:"rounds"`
	Workers int       `json:"workers"` // of the core
	Seconds float64   `json:"seconds"` // of one measurement
	Paths   []string  `json:"paths"`
	Figures []Figure  `json:"figures"`
	// Runs lists every measurement in the order in which it was made.
	Runs []RunInfo `json:"runs"`
	// Dataplane are the counters of the core's lab after the last measurement
	// of each workload.
	Dataplane map[string]status.Dataplane `json:"data_plane,omitempty"`
}

// Figure is one metric of one workload.
type Figure struct {
	Workload string    `json:"workload"`
	Doc      string    `json:"doc"`
	Metric   string    `json:"metric"`
	Unit     string    `json:"unit"`
	Lower    bool      `json:"lower_is_better"`
	Core     []float64 `json:"core"` // by round
	Kernel   []float64 `json:"kernel"`

	CoreMedian   float64 `json:"core_median"`
	KernelMedian float64 `json:"kernel_median"`
	// Ratio is the median of core/kernel of each round: what disturbed one
	// round disturbed both. 0 where there is nothing to divide by.
	Ratio float64 `json:"ratio"`
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
}

func newReport(o Options) *Report {
	r := &Report{
		Version: ReportVersion, Started: time.Now().UTC().Truncate(time.Second), Machine: thisMachine(),
		Rounds: o.Rounds, Workers: o.Workers, Seconds: o.Seconds, Paths: o.Paths, Dataplane: map[string]status.Dataplane{},
	}
	for _, w := range o.chosen() {
		for _, m := range w.metrics {
			r.Figures = append(r.Figures, Figure{Workload: w.name, Doc: w.doc, Metric: m.name, Unit: m.unit,
				Lower: m.lower})
		}
	}
	return r
}

// add takes in one measurement.
func (r *Report) add(round int, w workload, p *path, m *measurement, busyBefore float64) {
	info := RunInfo{Round: round + 1, Workload: w.name, Path: p.name, BusyBefore: busyBefore}
	if p.lab != nil {
		before := r.lastDrops()
		status := p.lab.Status().Dataplane
		info.RingDrops = status.RingDrops - before
		r.Dataplane[w.name] = status
	}
	r.Runs = append(r.Runs, info)
	for _, metric := range w.metrics {
		f := r.figure(w.name, metric.name)
		value := metric.value(m)
		if p.name == viaCore {
			f.Core = append(f.Core, value)
		} else {
			f.Kernel = append(f.Kernel, value)
		}
		f.summarise()
	}
}

func (r *Report) lastDrops() uint64 {
	var sum uint64
	for _, run := range r.Runs {
		sum += run.RingDrops
	}
	return sum
}

func (r *Report) figure(workload, metric string) *Figure {
	for i := range r.Figures {
		if r.Figures[i].Workload == workload && r.Figures[i].Metric == metric {
			return &r.Figures[i]
		}
	}
	panic("bench: a measurement of a workload that was not chosen")
}

func (f *Figure) summarise() {
	f.CoreMedian, f.KernelMedian = median(f.Core), median(f.Kernel)
	var ratios []float64
	for i := range min(len(f.Core), len(f.Kernel)) {
		if f.Kernel[i] != 0 {
			ratios = append(ratios, f.Core[i]/f.Kernel[i])
		}
	}
	f.Ratio = median(ratios)
}

// median is 0 for an empty list.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}

// WriteTable writes the medians for people.
func (r *Report) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "WORKLOAD\tMETRIC\tUNIT\tCORE\tKERNEL\tCORE/KERNEL\t")
	last := ""
	for _, f := range r.Figures {
		name := f.Workload
		if name == last {
			name = ""
		}
		last = f.Workload
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t\n", name, f.Metric, f.Unit, number(f.Core, f.CoreMedian),
			number(f.Kernel, f.KernelMedian), f.ratio())
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nMedians of %d rounds of %g s; %s, %d CPUs, Linux %s.\n",
		r.Rounds, r.Seconds, r.Machine.CPU, r.Machine.CPUs, r.Machine.Kernel)
	return err
}

func (f *Figure) ratio() string {
	if f.Ratio == 0 {
		return "-"
	}
	verdict := "worse"
	if f.Ratio == 1 {
		return "1.00"
	}
	if (f.Ratio > 1) != f.Lower {
		verdict = "better"
	}
	return fmt.Sprintf("%.2f %s", f.Ratio, verdict)
}

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
