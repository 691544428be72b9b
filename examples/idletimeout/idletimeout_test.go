package idletimeout_test

import (
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/plinktest"
)

// A connection that lay in a pool for more than 350 s is gone, and its user finds
// out by writing to it. The lab's clock is that of the bubble, so this takes no time.
func TestAConnectionThatWasIdleTooLongIsReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := plinktest.Up(t, "topology.yaml", plinktest.InProcess())
		conn, err := lab.Instance("web").DialContext(t.Context(), "tcp", lab.Name("ep")+":5432")
		require.NoError(t, err)
		defer conn.Close()
		ask := func() error {
			if _, err := conn.Write([]byte("select 1\n")); err != nil {
				return err
			}
			_, err := io.ReadFull(conn, make([]byte, len("select 1\n")))
			return err
		}
		require.NoError(t, ask())
		time.Sleep(349 * time.Second)
		require.NoError(t, ask(), "each packet begins the 350 s again")
		time.Sleep(351 * time.Second)
		require.ErrorIs(t, ask(), syscall.ECONNRESET)
	})
}

// The pool of package net/http keeps connections for as long as it is told.
func TestAPoolHasToForgetConnectionsInTime(t *testing.T) {
	for name, c := range map[string]struct {
		idle  time.Duration // how long the pool keeps a connection
		fails bool
	}{
		"for ever":      {idle: 0, fails: true},
		"five minutes":  {idle: 5 * time.Minute},
		"six minutes":   {idle: 6 * time.Minute, fails: true},
		"http's own 90": {idle: http.DefaultTransport.(*http.Transport).IdleConnTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lab := plinktest.Up(t, "topology.yaml", plinktest.InProcess())
				pool := &http.Transport{DialContext: lab.Instance("web").DialContext, IdleConnTimeout: c.idle}
				defer pool.CloseIdleConnections()
				// A POST, as package net/http tries a GET again by itself.
				post := func() error {
					req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+lab.Name("ep")+"/", strings.NewReader("order"))
					require.NoError(t, err)
					resp, err := pool.RoundTrip(req)
					if err != nil {
						return err
					}
					defer resp.Body.Close()
					_, err = io.Copy(io.Discard, resp.Body)
					return err
				}
				require.NoError(t, post())
				time.Sleep(355 * time.Second)
				if err := post(); c.fails {
					require.ErrorIs(t, err, syscall.ECONNRESET)
				} else {
					require.NoError(t, err)
				}
			})
		})
	}
}
