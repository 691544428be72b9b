package topology

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRatesAndSharesAreReadAsTheyAreWritten(t *testing.T) {
	for text, want := range map[string]int64{
		"100Mbit": 100e6, "100mbit/s": 100e6, "2.5 Gbit": 2.5e9, "9600bit": 9600, "64kbit": 64e3, "none": 0, "0": 0,
	} {
		got, err := ParseRate(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
		back, err := ParseRate(FormatRate(got))
		require.NoError(t, err)
		require.Equal(t, got, back)
	}
	for _, text := range []string{"", "100", "100MB", "Mbit", "-1Mbit", "NaNMbit", "1bit", "1000Gbit", "InfGbit"} {
		_, err := ParseRate(text)
		require.Error(t, err, text)
	}
	for text, want := range map[string]float64{"1%": 0.01, "0.001%": 0.00001, "100%": 1, "0": 0, "0%": 0, "7 %": 0.07} {
		got, err := ParseShare(text)
		require.NoError(t, err, text)
		require.InDelta(t, want, got, 1e-12, text)
		back, err := ParseShare(FormatShare(got))
		require.NoError(t, err)
		require.InDelta(t, got, back, 1e-12)
	}
	for _, text := range []string{"", "1", "0.5", "-1%", "101%", "NaN%", "%", "one%"} {
		_, err := ParseShare(text)
		require.Error(t, err, text)
	}
	require.Equal(t, "bandwidth 100Mbit, delay 10ms, loss 1%", Impairment{Bandwidth: 100e6, Delay: 10 * time.Millisecond, Loss: 0.01}.String())
	require.Equal(t, "none", Impairment{}.String())
}
