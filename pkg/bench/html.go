package bench

import (
	_ "embed" // the page
	"fmt"
	"html/template"
	"io"
	"strings"
)

// WriteHTML writes the report as one page that needs nothing else: a summary with one
// line for each workload, the curves, and for each workload a plot for every figure, with
// one point for each round.
func (r *Report) WriteHTML(w io.Writer) error {
	return page.Execute(w, r)
}

// WriteSVG writes the plots alone, one below the other.
func (r *Report) WriteSVG(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif">`+"\n",
		plotWidth, r.plotsHeight())
	y := 0
	for _, c := range r.Curves() {
		fmt.Fprintf(&b, `<g transform="translate(0 %d)"><text x="4" y="16" font-size="13">%s: %s, %s</text>`+
			`<g transform="translate(0 %d)">%s</g></g>`+"\n",
			y, template.HTMLEscapeString(c.Series), c.Metric(), c.Unit(), plotTitle, c.body())
		y += curveHeight + plotTitle
	}
	for _, f := range r.Figures {
		fmt.Fprintf(&b, `<g transform="translate(0 %d)"><text x="4" y="16" font-size="13">%s: %s, %s</text><g transform="translate(0 %d)">%s</g></g>`+"\n",
			y, template.HTMLEscapeString(f.Workload), f.Metric, f.Unit, plotTitle, plotBody(f))
		y += f.plotHeight() + plotTitle
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (f *Figure) plotHeight() int { return plotAxis + plotRow*len(f.Paths) }

func (r *Report) plotsHeight() (sum int) {
	sum = len(r.Curves()) * (curveHeight + plotTitle)
	for i := range r.Figures {
		sum += r.Figures[i].plotHeight() + plotTitle
	}
	return sum
}

// The size of a plot, in pixels.
const (
	plotWidth = 640
	plotRow   = 26
	plotAxis  = 32
	plotTitle = 24
	plotLeft  = 60
	plotRight = 600
)

// plot is a figure as a whole SVG element.
func plot(f Figure) template.HTML {
	return template.HTML(fmt.Sprintf(`<svg width="%d" height="%d" role="img" font-family="sans-serif"><title>%s: %s in %s</title>%s</svg>`,
		plotWidth, f.plotHeight(), template.HTMLEscapeString(f.Workload), f.Metric, f.Unit, plotBody(f)))
}

// bar shows a ratio between 0 and 2, with its interval.
func bar(p PathFigure) template.HTML {
	const width, height, one = 120, 14, 60
	if p.Ratio.Median == 0 {
		return ""
	}
	x := func(v float64) float64 { return min(v, 2) * one }
	return template.HTML(fmt.Sprintf(`<svg width="%d" height="%d" role="img"><title>%s</title>`+
		`<rect x="0" y="3" width="%.1f" height="8" fill="#1b6ca8" opacity="0.4"/>`+
		`<line x1="%.1f" y1="7" x2="%.1f" y2="7" stroke="#1b6ca8"/><line x1="%d" y1="0" x2="%d" y2="%d" stroke="#222"/></svg>`,
		width, height, p.RatioText(), x(p.Ratio.Median), x(p.Ratio.Low), x(p.Ratio.High), one, one, height))
}

// colours are told apart also by who sees no red or no green.
var colours = []string{"#1b6ca8", "#009e73", "#b85c00", "#555555", "#9b59b6"}

// plotBody draws a line for each path, from zero, with a point for each round, a bar
// at the median and its interval.
func plotBody(f Figure) string {
	top := axisEnd(f)
	x := func(v float64) float64 { return plotLeft + (plotRight-plotLeft)*v/top }
	var b strings.Builder
	bottom := plotRow*len(f.Paths) + 10
	for i := range 5 {
		v := top * float64(i) / 4
		fmt.Fprintf(&b, `<line x1="%.1f" y1="4" x2="%.1f" y2="%d" stroke="#ddd"/><text x="%.1f" y="%d" font-size="11" text-anchor="middle" fill="#555">%.4g</text>`, x(v), x(v), bottom, x(v), bottom+16, v)
	}
	for i, p := range f.Paths {
		y, colour := 20+plotRow*i, colours[i%len(colours)]
		fmt.Fprintf(&b, `<text x="4" y="%d" font-size="12">%s</text>`, y+4, p.Path)
		if len(p.Values) == 0 {
			continue
		}
		at := x(p.Value.Median)
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="12" fill="%s" opacity="0.25"/>`, plotLeft, y-6, at-plotLeft, colour)
		fmt.Fprintf(&b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="%s" stroke-width="2"/>`, at, y-9, at, y+9, colour)
		fmt.Fprintf(&b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="%s"/>`, x(p.Value.Low), y, x(p.Value.High), y, colour)
		for _, v := range p.Values {
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%d" r="3" fill="%s" opacity="0.7"/>`, x(v), y, colour)
		}
	}
	return b.String()
}

// axisEnd is a round number that no value exceeds.
func axisEnd(f Figure) float64 {
	highest := 0.0
	for _, p := range f.Paths {
		for _, v := range p.Values {
			highest = max(highest, v)
		}
	}
	return roundUp(highest)
}

// roundUp is a round number that is not less.
func roundUp(highest float64) float64 {
	end := 1e-6
	for end < highest {
		for _, step := range []float64{1, 2, 4, 8} {
			if end*step >= highest {
				return end * step
			}
		}
		end *= 10
	}
	if highest == 0 {
		return 1
	}
	return end
}

// Group is all figures of a workload.
type Group struct {
	Workload, Doc string
	Figures       []Figure
}

// Groups are the figures by their workloads.
func (r *Report) Groups() []Group {
	var all []Group
	for _, f := range r.Figures {
		if len(all) == 0 || all[len(all)-1].Workload != f.Workload {
			all = append(all, Group{Workload: f.Workload, Doc: f.Doc})
		}
		g := &all[len(all)-1]
		g.Figures = append(g.Figures, f)
	}
	return all
}

// Main is the figure that says most of the workload: its first one.
func (g Group) Main() Figure { return g.Figures[0] }

//go:embed report.html.tmpl
var pageText string

var page = template.Must(template.New("report").Funcs(template.FuncMap{"plot": plot, "bar": bar}).Parse(pageText))
