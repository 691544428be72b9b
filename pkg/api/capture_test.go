package api

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestClocksAreComparedByTheWayThereAndBack(t *testing.T) {
	const ms = int64(time.Millisecond)
	for _, tt := range []struct {
		name                        string
		asked, came, went, answered int64
		want                        time.Duration
	}{
		{"an hour ahead", 0, 3_600_000*ms + ms, 3_600_000*ms + 3*ms, 4 * ms, time.Hour},
		{"an hour behind", 3_600_000 * ms, ms, 3 * ms, 3_600_000*ms + 4*ms, -time.Hour},
		{"a daemon that is slow to begin", 0, 101 * ms, 600 * ms, 501 * ms, 100 * time.Millisecond},
		{"the same clock, and one way longer than the other", 0, 9 * ms, 9 * ms, 10 * ms, 0},
		{"a difference that the ways could be", 0, 5 * ms, 5 * ms, 9 * ms, 0},
		{"one that they could not be", 0, 11 * ms, 11 * ms, 10 * ms, 6 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := clockAhead(http.Header{ClockHeader: {fmt.Sprint(tt.came, tt.went)}}, tt.asked, tt.answered)
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
	for _, text := range []string{"", "1", "now later"} {
		_, err := clockAhead(http.Header{ClockHeader: {text}}, 0, 1)
		require.ErrorContains(t, err, "another version")
	}
}
