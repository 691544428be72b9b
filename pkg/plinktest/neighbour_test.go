package plinktest

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A neighbour comes back in the instant in which ARP gives it up, after three requests a
// second apart: what waited for it fails, and what comes then passes. Under the race
// detector this finds what reads of a neighbour without a lock.
func TestANeighbourComesBackWhenItIsGivenUp(t *testing.T) {
	for range 60 {
		synctest.Test(t, func(t *testing.T) {
			net, _ := shopAndData()
			lab := net.Up(t, InProcess())
			lab.Accept("data", "ep")
			web, address := lab.Instance("web"), lab.Name("ep.ip")+":5432"
			repair := lab.Fail("ep")
			var waiting sync.WaitGroup
			for range 4 {
				waiting.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
					defer cancel()
					_, _ = web.DialContext(ctx, "tcp", address)
				})
			}
			time.Sleep(3 * time.Second)
			repair()
			for range 4 {
				waiting.Go(func() {
					conn, err := web.DialContext(t.Context(), "tcp", address)
					if err == nil {
						conn.Close()
					}
				})
			}
			waiting.Wait()
			require.NoError(t, ask(web.Dial("tcp", "ep:5432")))
		})
	}
}
