package zoneloss_test

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/plinktest"
)

// get asks once, with a timeout that a program would have.
func get(t *testing.T, from *plinktest.Instance, host string) (string, error) {
	t.Helper()
	client := from.HTTP()
	client.Timeout = 2 * time.Second
	resp, err := client.Get("http://" + host + "/")
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// A client that asks for the name each time gets the other zone as soon as the
// answers are without the lost one. One that keeps an address waits for ever.
func TestAClientThatAsksAgainSurvivesTheLossOfAZone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := plinktest.Up(t, "topology.yaml", plinktest.InProcess())
		web, name := lab.Instance("web"), lab.Name("ep")
		lost := lab.Name("ep@eu-west-1a.ip")
		body, err := get(t, web, lost)
		require.NoError(t, err)
		require.Equal(t, "a\n", body)

		repair := lab.Fail("eu-west-1a")
		_, err = get(t, web, lost)
		require.Error(t, err, "whoever keeps the address")

		start := time.Now()
		lab.Eventually("the name leads to the other zone alone", time.Minute, func() error {
			addrs, err := web.Resolver().LookupHost(t.Context(), name)
			if err == nil && (len(addrs) != 1 || addrs[0] == lost) {
				err = fmt.Errorf("it leads to %v", addrs)
			}
			return err
		})
		t.Logf("the answers follow after %s", time.Since(start))
		for range 10 {
			body, err := get(t, web, name)
			require.NoError(t, err)
			require.Equal(t, "b\n", body)
		}

		repair()
		lab.Eventually("the zone is back", time.Minute, func() error {
			_, err := get(t, web, lost)
			return err
		})
	})
}

// A connection that is open when its zone is lost ends in silence: only a timeout
// of the program's own ends the wait.
func TestAnOpenConnectionHearsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := plinktest.Up(t, "topology.yaml", plinktest.InProcess())
		conn, err := lab.Instance("web").DialContext(t.Context(), "tcp", lab.Name("ep@eu-west-1a.ip")+":80")
		require.NoError(t, err)
		defer conn.Close()
		lab.Fail("eu-west-1a")
		_, err = fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: api\r\n\r\n")
		require.NoError(t, err, "it is in the buffer of the own host")
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
		_, err = conn.Read(make([]byte, 1))
		require.ErrorContains(t, err, "timeout")
	})
}

// serve is a server of the test's own on an instance. stop ends it.
func serve(t *testing.T, on *plinktest.Instance, body string) (stop func()) {
	t.Helper()
	ln, err := on.Listen(t.Context(), "tcp", ":8080")
	require.NoError(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) })}
	ended := make(chan error)
	go func() { ended <- server.Serve(ln) }()
	stop = sync.OnceFunc(func() {
		server.Close()
		require.ErrorIs(t, <-ended, http.ErrServerClosed)
	})
	t.Cleanup(stop)
	return stop
}

// A server that has gone goes on getting its share of the sessions until the health
// checks have noticed. Here that takes two of them, 30 s apart.
func TestHealthChecksTakeTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := plinktest.Up(t, "topology.yaml", plinktest.InProcess())
		stop := serve(t, lab.Instance("own-1"), "1")
		serve(t, lab.Instance("own-2"), "2")
		web, at := lab.Instance("web"), lab.Name("ep@eu-west-1a.ip")+":8080"
		lab.Eventually("both servers are healthy", 5*time.Minute, func() error {
			for _, group := range lab.Status().ServerGroups {
				for _, server := range group.Servers {
					if !server.Healthy {
						return fmt.Errorf("%s is %s", server.Instance, server.State)
					}
				}
			}
			return nil
		})

		stop()
		gone := time.Now()
		var last time.Time // that a client met the server that has gone
		failures := 0
		for time.Since(gone) < 2*time.Minute {
			if _, err := get(t, web, at); err != nil {
				require.ErrorIs(t, err, syscall.ECONNREFUSED)
				failures, last = failures+1, time.Now()
			}
			time.Sleep(time.Second)
		}
		t.Logf("%d requests failed, the last after %s", failures, last.Sub(gone))
		require.Greater(t, last.Sub(gone), 20*time.Second)
		require.LessOrEqual(t, last.Sub(gone), time.Minute)
	})
}
