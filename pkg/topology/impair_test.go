package topology

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestImpairmentsOfADirectionStandAboveThoseOfBothAndTheServices(t *testing.T) {
	const ms = time.Millisecond
	for _, tt := range []struct {
		name, service, endpoint string
		cloud                   string
		want                    Impairments
	}{
		{name: "nothing is said", want: Impairments{
			ToProvider: Impairment{Bandwidth: 1024e6}, ToConsumer: Impairment{Bandwidth: 1024e6},
		}},
		{name: "the profile has no limit", cloud: "rfc", want: Impairments{}},
		{name: "the service has no limit", service: "bandwidth: none, ", want: Impairments{}},
		{name: "the service says 0", service: "bandwidth: 0, ", want: Impairments{}},
		{name: "the endpoint has no limit", endpoint: "impairments: {bandwidth: none}, ", want: Impairments{}},
		{name: "both directions", service: "bandwidth: 100, ",
			endpoint: "impairments: {delay: 10ms, jitter: 2ms, loss: 1%, reorder: 2%, duplicate: 0.5%, corrupt: 0.25%, seed: 7}, ",
			want: Impairments{
				ToProvider: Impairment{Bandwidth: 100e6, Delay: 10 * ms, Jitter: 2 * ms, Loss: 0.01, Reorder: 0.02, Duplicate: 0.005, Corrupt: 0.0025},
				ToConsumer: Impairment{Bandwidth: 100e6, Delay: 10 * ms, Jitter: 2 * ms, Loss: 0.01, Reorder: 0.02, Duplicate: 0.005, Corrupt: 0.0025},
				Seed:       7,
			}},
		{name: "one direction", service: "bandwidth: 100, ",
			endpoint: "impairments: {delay: 10ms, loss: 1%, to_consumer: {loss: 0, delay: 5ms, bandwidth: 2.5Gbit}}, ",
			want: Impairments{
				ToProvider: Impairment{Bandwidth: 100e6, Delay: 10 * ms, Loss: 0.01},
				ToConsumer: Impairment{Bandwidth: 2.5e9, Delay: 5 * ms},
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := strings.Replace(small, "svc1: {", "svc1: {"+tt.service, 1)
			text = strings.Replace(text, "ep1: {", "ep1: {"+tt.endpoint, 1)
			if tt.cloud != "" {
				text = strings.Replace(text, "cloud: alibaba", "cloud: "+tt.cloud, 1)
			}
			plan, err := Parse("topology.yaml", []byte(text))
			require.NoError(t, err)
			require.Equal(t, tt.want, plan.Endpoints[0].Impairments)
		})
	}
}

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
