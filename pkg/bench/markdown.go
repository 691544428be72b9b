package bench

import (
	"fmt"
	"io"
	"strings"
)

// goals are what this project wants to reach on two CPUs, by workload and
// metric: the core against the kernel's NAT.
var goals = []struct {
	text             string
	workload, metric string
	reached          func(*Figure) bool
}{
	{"small packets at least 1.5 times the kernel's NAT", "UDP, 64-byte frames", "delivered",
		func(f *Figure) bool { return f.Ratio >= 1.5 }},
	{"bulk TCP, one stream, at least 0.55 times", "bulk TCP, 1 stream", "throughput",
		func(f *Figure) bool { return f.Ratio >= 0.55 }},
	{"median round trip at most 1.3 times", "request/response", "p50", func(f *Figure) bool { return f.Ratio <= 1.3 }},
	{"connect-request-close at least 1.0 times", "connect-request-close", "rate",
		func(f *Figure) bool { return f.Ratio >= 1 }},
	{"100,000 packets per second arrive", "UDP, 100,000/s", "lost", func(f *Figure) bool { return f.CoreMedian == 0 }},
	{"and in order", "UDP, 100,000/s", "out of order", func(f *Figure) bool { return f.CoreMedian == 0 }},
}

// WriteMarkdown writes the medians and what they are against the goals, for a
// page.
func (r *Report) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s, %d CPUs, %d MB, Linux %s (%s). Medians of %d rounds of %g s;\nthe ratio is the median of the rounds' ratios.\n\n",
		r.Started.Format("2006-01-02 15:04 MST"), r.Machine.CPU, r.Machine.CPUs, r.Machine.MemoryMB, r.Machine.Kernel, r.Machine.Arch, r.Rounds, r.Seconds)
	b.WriteString("| workload | metric | unit | core | kernel | core/kernel |\n|---|---|---|---|---|---|\n")
	for i := range r.Figures {
		f := &r.Figures[i]
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n",
			f.Workload, f.Metric, f.Unit, number(f.Core, f.CoreMedian), number(f.Kernel, f.KernelMedian), plainRatio(f))
	}
	b.WriteString("\n| goal | here |\n|---|---|\n")
	for _, g := range goals {
		for i := range r.Figures {
			if f := &r.Figures[i]; f.Workload == g.workload && f.Metric == g.metric && len(f.Core) > 0 {
				fmt.Fprintf(&b, "| %s | %s |\n", g.text, against(f, g.reached(f)))
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func plainRatio(f *Figure) string {
	if f.Ratio == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", f.Ratio)
}

func against(f *Figure, reached bool) string {
	text := plainRatio(f)
	if f.Unit == "packets" {
		text = fmt.Sprintf("%s of them not", number(f.Core, f.CoreMedian))
		if f.CoreMedian == 0 {
			text = "all of them"
		}
	}
	if !reached {
		text += ": **not reached**"
	}
	return text
}
