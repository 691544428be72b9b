package api_test

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/labdir"
)

func TestAClientAsksForPlainAnswers(t *testing.T) {
	root, err := os.MkdirTemp("", "plinksim") // a socket's path must be short
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(root) })
	ln, err := net.Listen("unix", labdir.Dir(root).Socket())
	require.NoError(t, err)
	go http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte(r.URL.Path + " " + r.Header.Get("Accept-Encoding")))
	}))
	t.Cleanup(func() { ln.Close() })
	var answer bytes.Buffer
	require.NoError(t, api.NewClient(labdir.Dir(root)).Metrics(t.Context(), &answer))
	require.Equal(t, "/metrics ", answer.String())
}

// A change that a daemon took and never answered, as it was killed, may have been made; one that
// reached no daemon was not.
func TestAChangeThatIsNotAnsweredSaysWhatIsKnownOfIt(t *testing.T) {
	root, err := os.MkdirTemp("", "plinksim")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(root) })
	c := api.NewClient(labdir.Dir(root))
	ask := map[string]func() error{
		"an operation": func() error { _, err := c.Do(t.Context(), api.Call{}); return err },
		"an edit":      func() error { _, err := c.Edit(t.Context(), api.EditCall{}); return err },
	}
	for name, do := range ask {
		require.ErrorContains(t, do(), "no such file or directory; nothing was changed", name)
	}
	ln, err := net.Listen("unix", labdir.Dir(root).Socket())
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	go http.Serve(ln, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	for name, do := range ask {
		err := do()
		require.ErrorContains(t, err, "its daemon does not answer: EOF; it is not known whether the change was made", name)
		var hint interface{ Hint() string }
		require.ErrorAs(t, err, &hint, name)
		require.Contains(t, hint.Hint(), "plinksim status", name)
	}
}
