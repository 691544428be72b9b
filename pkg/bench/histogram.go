package bench

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// maxLatency is the longest time that a histogram tells from others; longer ones count
// as this.
const maxLatency = 10 * time.Second

// histogram is of times, in nanoseconds, with three significant digits.
type histogram struct{ h *hdrhistogram.Histogram }

func newHistogram() histogram {
	return histogram{hdrhistogram.New(1, maxLatency.Nanoseconds(), 3)}
}

func (h histogram) add(nanoseconds int64) {
	_ = h.h.RecordValue(min(max(nanoseconds, 0), maxLatency.Nanoseconds())) // in its range
}

// microseconds is the time that a share of the values, in percent, does not exceed.
func (h histogram) microseconds(percent float64) float64 {
	if h.h == nil || h.h.TotalCount() == 0 {
		return 0
	}
	return float64(h.h.ValueAtPercentile(percent)) / 1e3
}

func (h histogram) minimum() float64 {
	if h.h == nil || h.h.TotalCount() == 0 {
		return 0
	}
	return float64(h.h.Min()) / 1e3
}

// encode is the histogram as programs of other languages read it: the compressed form of
// HdrHistogram, version 2, in base64.
func (h histogram) encode() ([]byte, error) {
	return h.h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
}

// merge adds what encode made.
func (h histogram) merge(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	other, err := hdrhistogram.Decode(text)
	if err != nil {
		return fmt.Errorf("a histogram: %w", err)
	}
	h.h.Merge(other)
	return nil
}
