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
