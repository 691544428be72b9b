package bench

import (
	_ "embed" // the page
	"fmt"
	"html/template"
	"io"
	"strings"
)

// WriteHTML writes the report as one page that needs nothing else: a table,
// and a plot for every figure with one point for each round.
func (r *Report) WriteHTML(w io.Writer) error {
	return page.Execute(w, r)
}

// WriteSVG writes the plots alone, one below the other.
func (r *Report) WriteSVG(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif">`+"\n",
		plotWidth, (plotHeight+plotTitle)*len(r.Figures))
	for i, f := range r.Figures {
		fmt.Fprintf(&b, `<g transform="translate(0 %d)"><text x="4" y="16" font-size="13">%s: %s, %s</text><g transform="translate(0 %d)">%s</g></g>`+"\n",
			i*(plotHeight+plotTitle), template.HTMLEscapeString(f.Workload), f.Metric, f.Unit, plotTitle, plotBody(f))
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// The size of a plot, in pixels.
const (
	plotWidth  = 640
	plotHeight = 84
	plotTitle  = 24
	plotLeft   = 60
	plotRight  = 600
)

// plot is a figure as a whole SVG element.
func plot(f Figure) template.HTML {
	return template.HTML(fmt.Sprintf(`<svg width="%d" height="%d" role="img" font-family="sans-serif"><title>%s: %s in %s</title>%s</svg>`,
		plotWidth, plotHeight, template.HTMLEscapeString(f.Workload), f.Metric, f.Unit, plotBody(f)))
}

// plotBody draws a line for each path, from zero, with a point for each round
// and a bar at the median.
func plotBody(f Figure) string {
	top := axisEnd(f)
	x := func(v float64) float64 { return plotLeft + (plotRight-plotLeft)*v/top }
	var b strings.Builder
	for i := range 5 {
		v := top * float64(i) / 4
		fmt.Fprintf(&b, `<line x1="%.1f" y1="4" x2="%.1f" y2="62" stroke="#ddd"/><text x="%.1f" y="78" font-size="11" text-anchor="middle" fill="#555">%.4g</text>`, x(v), x(v), x(v), v)
	}
	for _, row := range []struct {
		name, colour string
		y            int
		all          []float64
		median       float64
	}{
		{viaCore, "#1b6ca8", 20, f.Core, f.CoreMedian},
		{viaKernel, "#b85c00", 46, f.Kernel, f.KernelMedian},
	} {
		fmt.Fprintf(&b, `<text x="4" y="%d" font-size="12">%s</text>`, row.y+4, row.name)
		if len(row.all) == 0 {
			continue
		}
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="12" fill="%s" opacity="0.25"/>`,
			plotLeft, row.y-6, x(row.median)-plotLeft, row.colour)
		fmt.Fprintf(&b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="%s" stroke-width="2"/>`,
			x(row.median), row.y-9, x(row.median), row.y+9, row.colour)
		for _, v := range row.all {
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%d" r="3" fill="%s" opacity="0.7"/>`, x(v), row.y, row.colour)
		}
	}
	return b.String()
}

// axisEnd is a round number that no value exceeds.
func axisEnd(f Figure) float64 {
	highest := 0.0
	for _, v := range append(append([]float64{}, f.Core...), f.Kernel...) {
		highest = max(highest, v)
	}
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

//go:embed report.html.tmpl
var pageText string

var page = template.Must(template.New("report").Funcs(template.FuncMap{"plot": plot, "number": number}).Parse(pageText))
