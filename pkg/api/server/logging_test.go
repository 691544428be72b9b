package server_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/api/server"
)

func TestTheLogFollowsItsLevelAndItsFormat(t *testing.T) {
	var out bytes.Buffer
	logging, err := server.NewLogging(&out, "shop", api.Log{})
	require.NoError(t, err)
	require.Equal(t, api.Log{Level: "info", Format: "text"}, logging.Now())
	log := logging.Logger()
	derived := log.With("listener", "http/80").WithGroup("server").With("port", 8080)
	said := func() string {
		defer out.Reset()
		log.Debug("one")
		derived.Debug("two", "weight", 1)
		log.Warn("three", "zone", "a")
		return out.String()
	}
	require.Regexp(t, `^time=\S+ level=WARN msg=three zone=a\n$`, said())

	require.NoError(t, logging.Set(api.Log{Level: "debug"}))
	require.Regexp(t, `^time=\S+ level=DEBUG msg=one\n`+
		`time=\S+ level=DEBUG msg=two listener=http/80 server.port=8080 server.weight=1\n`+
		`time=\S+ level=WARN msg=three zone=a\n$`, said())

	require.NoError(t, logging.Set(api.Log{Format: "json"}))
	require.Equal(t, api.Log{Level: "debug", Format: "json"}, logging.Now())
	lines := json.NewDecoder(bytes.NewReader([]byte(said())))
	var got []map[string]any
	for lines.More() {
		var line map[string]any
		require.NoError(t, lines.Decode(&line))
		require.NotEmpty(t, line[slog.TimeKey])
		delete(line, slog.TimeKey)
		got = append(got, line)
	}
	require.Equal(t, []map[string]any{
		{"level": "DEBUG", "msg": "one", "lab": "shop"},
		{"level": "DEBUG", "msg": "two", "lab": "shop", "listener": "http/80",
			"server": map[string]any{"port": 8080.0, "weight": 1.0}},
		{"level": "WARN", "msg": "three", "lab": "shop", "zone": "a"},
	}, got)

	require.NoError(t, logging.Set(api.Log{Level: "error"}))
	require.Empty(t, said())
	require.EqualError(t, logging.Set(api.Log{Level: "loud"}), `log level "loud": want debug, info, warn or error`)
	require.EqualError(t, logging.Set(api.Log{Format: "xml"}), `log format "xml": want text or json`)
	require.Equal(t, api.Log{Level: "error", Format: "json"}, logging.Now())
}
