package bench

import (
	"fmt"
	"io"
	"strings"
)

// goals are what this project wants to reach on two CPUs with the settings that it
// has by itself, by workload and metric: against another path, or alone.
var goals = []struct {
	text             string
	workload, metric string
	to               string // the path that it is compared with; "" is none
	limit            float64
}{
	{"bulk TCP, one stream, at least 0.85 times the kernel's NAT", "bulk TCP, 1 stream", "throughput", viaKernel, 0.85},
	{"CPU time for it at most 1.2 times", "bulk TCP, 1 stream", "CPU time", viaKernel, 1.2},
	{"bulk TCP, four streams, at least 0.85 times", "bulk TCP, 4 streams", "throughput", viaKernel, 0.85},
	{"CPU time for it at most 1.2 times", "bulk TCP, 4 streams", "CPU time", viaKernel, 1.2},
	{"small packets of two senders at least 1.5 times", "UDP, 64-byte frames, 2 senders", "delivered", viaKernel, 1.5},
	{"small packets of one sender at least 0.9 times userspace alone", "UDP, 64-byte frames", "delivered", viaCore, 0.9},
	{"median round trip at most 1.05 times userspace alone", "request/response", "p50", viaCore, 1.05},
	{"connect-request-close at least 0.95 times userspace alone", "connect-request-close", "rate", viaCore, 0.95},
	{"100,000 packets per second arrive", "UDP, 100,000/s", "lost", "", 0},
	{"and in order", "UDP, 100,000/s", "out of order", "", 0},
}

// WriteMarkdown writes the medians and what they are against the goals, for a
// page.
func (r *Report) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s, %d CPUs, %d MB, Linux %s (%s). Medians of %s;\nratios are the medians of the rounds' ratios, with their 95 %% intervals (all rounds where there are less than six).\n\n",
		r.Started.Format("2006-01-02 15:04 MST"), r.Machine.CPU, r.Machine.CPUs, r.Machine.MemoryMB, r.Machine.Kernel, r.Machine.Arch, r.Length())
	b.WriteString("| workload | metric | unit |")
	for _, path := range r.Paths {
		fmt.Fprintf(&b, " %s |", path)
		if path != r.Base() {
			fmt.Fprintf(&b, " %s/%s |", path, r.Base())
		}
	}
	b.WriteString("\n|---|---|---|" + strings.Repeat("---|", 2*len(r.Paths)-1) + "\n")
	for i := range r.Figures {
		f := &r.Figures[i]
		fmt.Fprintf(&b, "| %s | %s | %s |", f.Workload, f.Metric, f.Unit)
		for _, p := range f.Paths {
			fmt.Fprintf(&b, " %s |", p.Number())
			if p.Path != r.Base() {
				fmt.Fprintf(&b, " %s |", p.RatioText())
			}
		}
		b.WriteString("\n")
	}
	b.WriteString("\n| goal | here |\n|---|---|\n")
	for _, g := range goals {
		f := r.find(g.workload, g.metric)
		if f == nil || f.Of(viaCache) == nil || g.to != "" && f.Of(g.to) == nil {
			continue
		}
		fmt.Fprintf(&b, "| %s | %s |\n", g.text, f.against(g.to, g.limit))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// against says how the cache's path does against another one, or alone.
func (f *Figure) against(to string, limit float64) string {
	p := f.Of(viaCache)
	if to == "" {
		if p.Value.Median == limit {
			return "all of them"
		}
		return fmt.Sprintf("%s of them not: **not reached**", p.Number())
	}
	one := Figure{Lower: f.Lower, Paths: []PathFigure{*p, *f.Of(to)}}
	one.summarise(to)
	ratio := &one.Paths[0]
	if ratio.Ratio.Median == 0 || (ratio.Ratio.Median < limit) != f.Lower && ratio.Ratio.Median != limit {
		return ratio.RatioText() + ": **not reached**"
	}
	return ratio.RatioText()
}
