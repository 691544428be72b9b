package api

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestStepsAreReportedSeldom(t *testing.T) {
	at := time.Unix(0, 0)
	var said []string
	tell := seldom(func(done, total int, what string) { said = append(said, fmt.Sprint(done, total, what)) },
		func() time.Time { return at })
	tell(0, 0, "a stage")
	for i := range 1000 {
		tell(i+1, 1000, "step")
		at = at.Add(time.Millisecond)
	}
	tell(0, 0, "another")
	require.Equal(t, []string{"0 0a stage", "1 1000step", "51 1000step"}, said[:3])
	require.Equal(t, []string{"1000 1000step", "0 0another"}, said[len(said)-2:])
	require.Len(t, said, 1+1+19+1+1)
}
