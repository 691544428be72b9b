package plinktest

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gopacket/pcapgo"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/status"
)

func TestFaultsEndWhenTheyAreRepaired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := UpText(t, pooled, InProcess())
		lab.Accept("svc", "ep")
		conn, err := lab.Instance("web").DialContext(t.Context(), "tcp", lab.Name("ep.ip")+":5432")
		require.NoError(t, err)
		defer conn.Close()
		took := func() time.Duration {
			start := time.Now()
			require.NoError(t, ask(conn))
			return time.Since(start)
		}
		require.Less(t, took(), 40*time.Millisecond)
		repair := lab.Impair("ep", map[string]string{"delay": "40ms"})
		require.GreaterOrEqual(t, took(), 80*time.Millisecond)
		repair()
		// What was on its way keeps its delay, and what follows stays behind it.
		require.Less(t, took(), 80*time.Millisecond)
		require.Less(t, took(), 40*time.Millisecond)

		repair = lab.Fail("ep")
		answered := make(chan error)
		go func() { answered <- ask(conn) }()
		select {
		case err := <-answered:
			t.Fatal("it passed an interface that is down", err)
		case <-time.After(10 * time.Second):
		}
		repair()
		require.NoError(t, <-answered, "TCP tries again")
	})
}

func TestSessionsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := UpText(t, pooled, InProcess())
		lab.RequireSessions("ep", 0)
		lab.Accept("svc", "ep")
		conn, err := lab.Instance("web").DialContext(t.Context(), "tcp", lab.Name("ep.ip")+":5432")
		require.NoError(t, err)
		session := lab.RequireSessions("ep", 1)[0]
		require.Equal(t, conn.LocalAddr().String(), session.Consumer.String())
		r := record(t, func(t testing.TB) { (&Lab{lab: lab.lab, t: t}).RequireSessions("ep", 2) })
		require.Contains(t, r.fatal, `endpoint "ep" has 1 session, want 2:`+"\n  tcp "+conn.LocalAddr().String())
		require.NoError(t, conn.Close())
		lab.Eventually("the session is forgotten", 10*time.Minute, func() error {
			if len(lab.SessionsOf("ep")) > 0 {
				return errors.New("it is there")
			}
			return nil
		})
		r = record(t, func(t testing.TB) {
			(&Lab{lab: lab.lab, t: t}).Eventually("pigs fly", time.Second, func() error { return errors.New("too heavy") })
		})
		require.Equal(t, "pigs fly: not within 1s: too heavy\nnothing has dropped a packet", r.fatal)
	})
}

// What is left of a test that failed says what went wrong.
func TestAFailedTestLeavesArtifacts(t *testing.T) {
	dir := t.TempDir()
	run := func(dir string) (log string) {
		r := &recorder{artifacts: dir}
		t.Run("test", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r.TB = t
				lab := UpText(r, pooled, InProcess(), CaptureOnFailure())
				// Nobody has accepted the connection.
				ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
				defer cancel()
				_, err := lab.Instance("web").DialContext(ctx, "tcp", lab.Name("ep")+":5432")
				require.Error(t, err)
			})
		})
		return r.log
	}
	log := run(dir)
	require.Contains(t, log, "packets were dropped by: NotConnected 1 (ep@eu-west-1a tcp/5432)\n")
	require.Contains(t, log, "what happened is in "+dir)

	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		return string(text)
	}
	var explanations []status.Explanation
	require.NoError(t, json.Unmarshal([]byte(read("explain.json")), &explanations))
	require.Len(t, explanations, 1)
	require.Equal(t, "web", explanations[0].From)
	require.False(t, explanations[0].Passes)
	require.Contains(t, read("explain.json"), "accept")
	require.Contains(t, read("events.txt"), `endpoint "ep" asks for a connection`)
	require.Contains(t, read("names.txt"), "shop web asks "+strings.Split(read("names.txt"), " ")[4]+" A: NOERROR")
	require.True(t, json.Valid([]byte(read("status.json"))))
	require.True(t, json.Valid([]byte(read("sessions.json"))))
	file, err := os.Open(filepath.Join(dir, "capture.pcapng"))
	require.NoError(t, err)
	defer file.Close()
	packets, err := pcapgo.NewNgReader(file, pcapgo.DefaultNgReaderOptions)
	require.NoError(t, err)
	data, _, err := packets.ReadPacketData()
	require.NoError(t, err)
	require.NotEmpty(t, data)
}

func TestATestThatPassesLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	t.Run("test", func(t *testing.T) {
		UpText(&passes{t, dir}, pooled, InProcess(), CaptureOnFailure())
		require.FileExists(t, filepath.Join(dir, "capture.pcapng"))
	})
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

// passes is a test with a directory of its own.
type passes struct {
	testing.TB
	dir string
}

func (p *passes) ArtifactDir() string { return p.dir }
