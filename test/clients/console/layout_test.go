package console

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"slices"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// faults are the faults of a page's layout, each in words: texts that leave the window
// (drawings and tables scroll by themselves), texts that lie over each other, texts that
// are cut off, and texts of the drawing that do either.
const faults = `(() => {
	const short = (e) => e.textContent.trim().replace(/\s+/g, " ").slice(0, 50), bad = []
	const closed = "details:not([open]) > :not(summary), .hidden, .skip, select, option, datalist"
	const all = [...document.querySelectorAll("main *, header *")].filter((e) => !e.closest(closed))
	const texts = all.filter((e) => !e.closest("svg") && e.children.length === 0 && e.textContent.trim())
		.map((e) => [e, e.getBoundingClientRect()]).filter(([, r]) => r.width > 1 && r.height > 1)
	for (const [e, r] of texts)
		if (!e.closest(".scroll, .picture") && (r.right > innerWidth + 1 || r.left < -1)) bad.push("outside: " + short(e))
	const over = (list, kind) => {
		for (const [i, [a, x]] of list.entries()) for (const [b, y] of list.slice(i + 1))
			if (x.left + 2 < y.right && y.left + 2 < x.right && x.top + 3 < y.bottom && y.top + 3 < x.bottom)
				bad.push(kind + ": " + short(a) + " / " + short(b))
	}
	over(texts.filter(([e]) => !e.closest(".scroll") && getComputedStyle(e).display !== "inline").slice(0, 400), "over each other")
	for (const e of all) {
		const style = getComputedStyle(e)
		if (["hidden", "clip"].includes(style.overflowX) && e.scrollWidth > e.clientWidth + 1 && e.textContent.trim() && !e.closest("svg"))
			bad.push("cut off: " + short(e))
		if (e.tagName === "INPUT" && e.scrollWidth > e.clientWidth + 1) bad.push("cut off: " + e.value)
	}
	for (const svg of document.querySelectorAll("main svg")) {
		const frame = svg.getBoundingClientRect()
		const drawn = [...svg.querySelectorAll("text")].filter((e) => e.textContent.trim()).map((e) => [e, e.getBoundingClientRect()])
		over(drawn.slice(0, 400), "drawn over each other")
		for (const [e, r] of drawn)
			if (r.left < frame.left - 1 || r.right > frame.right + 1 || r.top < frame.top - 1 || r.bottom > frame.bottom + 1)
				bad.push("outside of the drawing: " + short(e))
	}
	if (document.documentElement.scrollWidth > innerWidth) bad.push("the page scrolls sideways: " + document.documentElement.scrollWidth)
	return bad })()`

// measure holds what is in the window to what can be measured.
func (w *walker) measure(name string) {
	w.t.Helper()
	var bad []string
	w.run("measure "+name, chromedp.Evaluate(faults, &bad))
	w.picture(name)
	require.Empty(w.t, bad, name)
}

// measureAll measures a page light and dark, at the usual width, at 390 pixels, and at 400 %
// of 1280 pixels (WCAG 2.2, 1.4.10), and holds it to axe-core.
func (w *walker) measureAll(name string) {
	w.t.Helper()
	axe, err := os.ReadFile(os.Getenv("AXE"))
	require.NoError(w.t, err, "AXE is the path of axe.min.js")
	for _, scheme := range []string{"dark", "light"} {
		w.run("become "+scheme, chromedp.ActionFunc(func(ctx context.Context) error {
			return emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: scheme}}).Do(ctx)
		}))
		for _, width := range []int64{390, 320, 1280} {
			w.run("become narrow", chromedp.EmulateViewport(width, 900))
			w.measure(fmt.Sprint(name, " ", scheme, " ", width))
		}
		var text string
		w.run("axe "+name, chromedp.Evaluate(string(axe)+";0", nil),
			chromedp.Evaluate(`axe.run().then((r) => JSON.stringify((r.passes.length > 10 ? [] : ["it tested nothing"]).concat(
				r.violations.filter((v) => ["serious", "critical"].includes(v.impact)).map((v) =>
					v.id + ": " + v.help + ": " + v.nodes.map((n) => n.html.slice(0, 120)).slice(0, 3).join(" | ")))))`, &text,
				func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
		var bad []string
		require.NoError(w.t, json.Unmarshal([]byte(text), &bad))
		require.Empty(w.t, bad, "%s, %s: axe-core", name, scheme)
	}
}

// small is a picture of the page's first part, for a document.
func (w *walker) small() []byte {
	w.t.Helper()
	const width, most = 960, 720
	var shot []byte
	w.run("become a picture", chromedp.EmulateViewport(width, most), chromedp.ActionFunc(func(ctx context.Context) error {
		_, _, _, _, _, content, err := page.GetLayoutMetrics().Do(ctx)
		if err != nil {
			return err
		}
		shot, err = page.CaptureScreenshot().WithCaptureBeyondViewport(true).WithClip(&page.Viewport{
			Width: width, Height: min(most, content.Height), Scale: 1}).Do(ctx)
		return err
	}), chromedp.EmulateViewport(1280, 900))
	whole, err := png.Decode(bytes.NewReader(shot))
	require.NoError(w.t, err)
	few := image.NewPaletted(whole.Bounds(), commonest(whole, 128))
	draw.Draw(few, few.Bounds(), whole, whole.Bounds().Min, draw.Src)
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	require.NoError(w.t, encoder.Encode(&out, few))
	return out.Bytes()
}

// commonest are the colours that a picture has most.
func commonest(of image.Image, most int) color.Palette {
	count := map[color.RGBA]int{}
	bounds := of.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			c := color.RGBAModel.Convert(of.At(x, y)).(color.RGBA)
			count[color.RGBA{c.R&^7 | c.R>>5, c.G&^7 | c.G>>5, c.B&^7 | c.B>>5, 255}]++
		}
	}
	colours := slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int {
		return cmp.Or(count[b]-count[a], slices.Compare([]uint8{a.R, a.G, a.B}, []uint8{b.R, b.G, b.B}))
	})
	var out color.Palette
	for _, c := range colours[:min(most, len(colours))] {
		out = append(out, c)
	}
	return out
}
