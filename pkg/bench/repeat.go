package bench

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/plinksim/plinksim/pkg/status"
)

// Merge puts reports of one machine together that measured different workloads, so that
// parts can be measured one at a time. The oldest report gives the date.
func Merge(reports ...*Report) (*Report, error) {
	if len(reports) == 0 {
		return nil, errors.New("no report")
	}
	all := *reports[0]
	all.Figures, all.Runs = slices.Clone(all.Figures), slices.Clone(all.Runs)
	all.Dataplane = map[string]status.Dataplane{}
	maps.Copy(all.Dataplane, reports[0].Dataplane)
	for _, r := range reports[1:] {
		if r.Machine != all.Machine || r.Workers != all.Workers || !slices.Equal(r.Paths, all.Paths) {
			return nil, errors.New("the reports are of different machines, paths or workers: compare them with --compare")
		}
		for _, f := range r.Figures {
			if all.find(f.Workload, f.Metric) != nil {
				return nil, fmt.Errorf("two reports have the workload %q: compare them with --compare", f.Workload)
			}
			all.Figures = append(all.Figures, f)
		}
		all.Runs = append(all.Runs, r.Runs...)
		maps.Copy(all.Dataplane, r.Dataplane)
		if r.Started.Before(all.Started) {
			all.Started = r.Started
		}
		if r.Ended.After(all.Ended) {
			all.Ended = r.Ended
		}
		all.Rounds, all.Seconds = min(all.Rounds, r.Rounds), min(all.Seconds, r.Seconds)
	}
	return &all, nil
}

// Busy is how many CPUs were busy with something else just before a measurement: the median
// and the most.
func (r *Report) Busy() (median, most float64) {
	var all []float64
	for _, run := range r.Runs {
		all = append(all, run.BusyBefore)
		most = max(most, run.BusyBefore)
	}
	return intervalOf(all).Median, most
}

// WriteRepeated writes the medians of two reports of the same workloads side by side, with how
// far they are apart, for a page. keep chooses the figures.
func WriteRepeated(w io.Writer, one, two *Report, keep func(f *Figure) bool) error {
	var b strings.Builder
	for i, r := range []*Report{one, two} {
		median, most := r.Busy()
		fmt.Fprintf(&b, "%d. %s, %d rounds; just before a measurement other programs had %.1f CPUs (median; at most %.1f)\n",
			i+1, r.Started.Format("2006-01-02 15:04 MST"), r.Rounds, median, most)
	}
	b.WriteString("\n| workload | metric | unit |")
	for _, path := range one.Paths {
		fmt.Fprintf(&b, " %s |", path)
	}
	b.WriteString("\n|---|---|---|" + strings.Repeat("---|", len(one.Paths)) + "\n")
	for i := range one.Figures {
		f := &one.Figures[i]
		g := two.find(f.Workload, f.Metric)
		if g == nil || !keep(f) {
			continue
		}
		fmt.Fprintf(&b, "| %s | %s | %s |", f.Workload, f.Metric, f.Unit)
		for _, path := range one.Paths {
			fmt.Fprintf(&b, " %s |", apart(f.Of(path), g.Of(path)))
		}
		b.WriteString("\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// apart are two medians, and their distance as a share of their mean.
func apart(p, q *PathFigure) string {
	if p == nil || q == nil || len(p.Values) == 0 || len(q.Values) == 0 {
		return "-"
	}
	a, b := p.Value.Median, q.Value.Median
	if a == b {
		return p.Number()
	}
	return fmt.Sprintf("%s, %s (%.0f %%)", p.Number(), q.Number(), 200*max(a-b, b-a)/(a+b))
}
