package bench

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
)

// Curve is one metric of workloads that differ in one quantity.
type Curve struct {
	Series, Axis string
	Figures      []*Figure // by X
}

// Curves are those of the report, in the order of its figures.
func (r *Report) Curves() []Curve {
	var all []Curve
	for i := range r.Figures {
		f := &r.Figures[i]
		if f.Series == "" {
			continue
		}
		at := slices.IndexFunc(all, func(c Curve) bool {
			return c.Series == f.Series && c.Axis == f.Axis && c.Metric() == f.Metric
		})
		if at < 0 {
			at = len(all)
			all = append(all, Curve{Series: f.Series, Axis: f.Axis})
		}
		all[at].Figures = append(all[at].Figures, f)
	}
	all = slices.DeleteFunc(all, func(c Curve) bool { return len(c.Figures) < 2 })
	for _, c := range all {
		slices.SortStableFunc(c.Figures, func(a, b *Figure) int { return int(a.X - b.X) })
	}
	return all
}

// Metric is what the curve shows.
func (c Curve) Metric() string { return c.Figures[0].Metric }

// Unit is that of the metric.
func (c Curve) Unit() string { return c.Figures[0].Unit }

const (
	curveHeight = 240
	curveTop    = 24
	curveBottom = 200
)

// scale maps values to pixels: in proportion from zero on, or by their logarithms.
type scale struct {
	low, high float64
	log       bool
	from, to  float64
}

func (s scale) at(v float64) float64 {
	low, high := s.low, s.high
	if s.log {
		v, low, high = math.Log(max(v, s.low)), math.Log(low), math.Log(high)
	}
	if high <= low {
		return s.from
	}
	return s.from + (s.to-s.from)*(v-low)/(high-low)
}

// ticks are round numbers of the scale.
func (s scale) ticks() []float64 {
	var all []float64
	if !s.log {
		for i := range 5 {
			all = append(all, s.low+(s.high-s.low)*float64(i)/4)
		}
		return all
	}
	for v := math.Pow(10, math.Floor(math.Log10(s.low))); v <= s.high*1.001; v *= 10 {
		if v >= s.low*0.999 {
			all = append(all, v)
		}
	}
	return all
}

// scaleOf is logarithmic where the values are far apart.
func scaleOf(values []float64, log bool, from, to float64) scale {
	positive := slices.DeleteFunc(slices.Clone(values), func(v float64) bool { return v <= 0 })
	if len(positive) == 0 {
		return scale{0, 1, false, from, to}
	}
	low, high := slices.Min(positive), slices.Max(positive)
	if log && high > 20*low {
		return scale{math.Pow(10, math.Floor(math.Log10(low))), math.Pow(10, math.Ceil(math.Log10(high))), true, from, to}
	}
	return scale{0, roundUp(high), false, from, to}
}

// body draws a line for each path, with a point at each median and its interval.
func (c Curve) body() string {
	var xs, ys []float64
	for _, f := range c.Figures {
		xs = append(xs, f.X)
		for _, p := range f.Paths {
			if len(p.Values) > 0 {
				ys = append(ys, p.Value.Low, p.Value.High)
			}
		}
	}
	x := scaleOf(xs, true, plotLeft, plotRight)
	y := scaleOf(ys, c.Unit() == "us", curveBottom, curveTop)
	var b strings.Builder
	for _, v := range y.ticks() {
		fmt.Fprintf(&b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/>`, plotLeft, y.at(v), plotRight, y.at(v))
		fmt.Fprintf(&b, `<text x="%d" y="%.1f" font-size="11" text-anchor="end" fill="#555">%.4g</text>`,
			plotLeft-6, y.at(v)+4, v)
	}
	for _, v := range x.ticks() {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" font-size="11" text-anchor="middle" fill="#555">%s</text>`,
			x.at(v), curveBottom+16, thousands(int(v)))
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" font-size="11" text-anchor="middle" fill="#555">%s</text>`,
		(plotLeft+plotRight)/2, curveBottom+32, template.HTMLEscapeString(c.Axis))
	for i, path := range c.Figures[0].Paths {
		colour := colours[i%len(colours)]
		var line []string
		for _, f := range c.Figures {
			p := f.Of(path.Path)
			if p == nil || len(p.Values) == 0 {
				continue
			}
			px, py := x.at(f.X), y.at(p.Value.Median)
			line = append(line, fmt.Sprintf("%.1f,%.1f", px, py))
			fmt.Fprintf(&b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" opacity="0.6"/>`,
				px, y.at(p.Value.Low), px, y.at(p.Value.High), colour)
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`, px, py, colour)
		}
		fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="1.5"/>`, strings.Join(line, " "), colour)
		fmt.Fprintf(&b, `<text x="%d" y="14" font-size="12" fill="%s">%s</text>`, plotLeft+90*i, colour, path.Path)
	}
	return b.String()
}

// Plot is the curve as a whole SVG element.
func (c Curve) Plot() template.HTML {
	return template.HTML(fmt.Sprintf(
		`<svg width="%d" height="%d" role="img" font-family="sans-serif"><title>%s: %s in %s by %s</title>%s</svg>`,
		plotWidth, curveHeight, template.HTMLEscapeString(c.Series), c.Metric(), c.Unit(),
		template.HTMLEscapeString(c.Axis), c.body()))
}
