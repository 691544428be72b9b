package bench

import (
	"bytes"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/golden"
)

func part(workload string, median float64) *Report {
	values := []float64{median, median, median}
	f := Figure{Workload: workload, Metric: "delivered", Unit: "kpps", Paths: []PathFigure{{Path: viaCore, Values: values}}}
	f.summarise(viaCore)
	return &Report{Version: ReportVersion, Rounds: 3, Paths: []string{viaCore}, Figures: []Figure{f},
		Runs: []RunInfo{{Workload: workload, Path: viaCore, BusyBefore: 0.5}}}
}

func TestPartsOfAMeasurementAreOneReport(t *testing.T) {
	r, err := Merge(part("one", 1), part("two", 2))
	require.NoError(t, err)
	require.Len(t, r.Figures, 2)
	require.Len(t, r.Runs, 2)
	_, err = Merge(part("one", 1), part("one", 2))
	require.ErrorContains(t, err, `two reports have the workload "one"`)
	other := part("two", 2)
	other.Machine.CPUs = 64
	_, err = Merge(part("one", 1), other)
	require.ErrorContains(t, err, "different machines")
	_, err = Merge()
	require.Error(t, err)
}

func TestTwoRunsSayHowFarTheyAreApart(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, WriteRepeated(&out, part("one", 90), part("one", 110), func(*Figure) bool { return true }))
	require.Contains(t, out.String(), "| one | delivered | kpps | 90.0, 110 (20 %) |\n")
	require.Contains(t, out.String(), "other programs had 0.5 CPUs (median; at most 0.5)\n")
	out.Reset()
	require.NoError(t, WriteRepeated(&out, part("one", 5), part("one", 5), func(*Figure) bool { return true }))
	require.Contains(t, out.String(), "| one | delivered | kpps | 5.00 |\n")
}

// The page of loads tells what was measured twice, and nothing else.
func TestThePageOfLoadsHasTheFiguresOfBothRuns(t *testing.T) {
	read := func(name string) *Report {
		js, err := os.ReadFile("../../docs/bench/" + name)
		require.NoError(t, err)
		r, err := ReadJSON(js)
		require.NoError(t, err)
		return r
	}
	for _, part := range []struct {
		name    string
		metrics []string
	}{
		{"search", []string{"throughput", "p50 there"}},
		{"frames", []string{"delivered", "bit rate", "lost"}},
		{"latency", []string{"p50", "p99", "p99.9", "lost"}},
		{"sessions", []string{"opened", "answered", "handshake p50", "requests", "request p99"}},
	} {
		one, two := read(part.name+"-1.json"), read(part.name+"-2.json")
		var figures bytes.Buffer
		require.NoError(t, WriteRepeated(&figures, one, two,
			func(f *Figure) bool { return slices.Contains(part.metrics, f.Metric) }))
		golden.Section(t, "../../docs/bench/loads.md", part.name, figures.String())
	}
}
