package server

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/plinksim/plinksim/pkg/api"
)

// Logging is how a daemon writes its log. Its level and its format may change while
// the daemon runs; all loggers that were derived from it follow. It is safe for concurrent use.
type Logging struct {
	w   io.Writer
	lab string
	now atomic.Pointer[written]
}

// written is a log of one level and format.
type written struct {
	api.Log
	handler slog.Handler
}

// NewLogging writes to w, which is written to line by line. In JSON each line has the lab's name.
func NewLogging(w io.Writer, lab string, how api.Log) (*Logging, error) {
	l := &Logging{w: w, lab: lab}
	return l, l.Set(how)
}

// Set changes what is not empty in how.
func (l *Logging) Set(how api.Log) error {
	if err := how.Check(); err != nil {
		return err
	}
	if before := l.now.Load(); before != nil {
		how = api.Log{Level: cmp.Or(how.Level, before.Level), Format: cmp.Or(how.Format, before.Format)}
	}
	how = api.Log{Level: cmp.Or(how.Level, api.LogInfo), Format: cmp.Or(how.Format, api.LogText)}
	var level slog.Level
	if err := level.UnmarshalText([]byte(how.Level)); err != nil {
		return err
	}
	opts := &slog.HandlerOptions{Level: level}
	handler := slog.Handler(slog.NewTextHandler(l.w, opts))
	if how.Format == api.LogJSON {
		handler = slog.NewJSONHandler(l.w, opts).WithAttrs([]slog.Attr{slog.String("lab", l.lab)})
	}
	l.now.Store(&written{how, handler})
	return nil
}

// Now is how the log is written.
func (l *Logging) Now() api.Log { return l.now.Load().Log }

// Logger is a logger that follows what Set says.
func (l *Logging) Logger() *slog.Logger { return slog.New(following{logging: l}) }

// following is a handler with what a logger was derived with.
type following struct {
	logging *Logging
	derive  func(slog.Handler) slog.Handler // nil: as it is
}

func (f following) handler() slog.Handler {
	h := f.logging.now.Load().handler
	if f.derive != nil {
		h = f.derive(h)
	}
	return h
}

func (f following) Enabled(ctx context.Context, level slog.Level) bool {
	return f.logging.now.Load().handler.Enabled(ctx, level)
}

func (f following) Handle(ctx context.Context, r slog.Record) error {
	return f.handler().Handle(ctx, r)
}

func (f following) WithAttrs(attrs []slog.Attr) slog.Handler {
	return f.then(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

func (f following) WithGroup(name string) slog.Handler {
	return f.then(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (f following) then(next func(slog.Handler) slog.Handler) slog.Handler {
	before := f.derive
	if before == nil {
		return following{f.logging, next}
	}
	return following{f.logging, func(h slog.Handler) slog.Handler { return next(before(h)) }}
}

// logging changes how the log is written, and answers how it is.
func (s *Server) logging(w http.ResponseWriter, r *http.Request) {
	var how api.Log
	err := json.NewDecoder(r.Body).Decode(&how)
	if err == nil && s.Logging == nil {
		err = fmt.Errorf("this lab's log cannot be changed")
	}
	if err == nil {
		err = s.Logging.Set(how)
	}
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	answer(w, s.Logging.Now())
}

// logged is a handler that tells the log of each request when it is answered, a stream when it ends.
func (s *Server) logged(next http.Handler) http.Handler {
	if s.Log == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.Log.Enabled(r.Context(), slog.LevelDebug) {
			next.ServeHTTP(w, r)
			return
		}
		begin, seen := time.Now(), &statusSeen{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(seen, r)
		s.Log.Debug("a client was answered", "method", r.Method, "path", r.URL.Path, "status", seen.status,
			"took", time.Since(begin))
	})
}

// statusSeen remembers the status of an answer.
type statusSeen struct {
	http.ResponseWriter
	status int
}

func (w *statusSeen) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController, by which streams flush.
func (w *statusSeen) Unwrap() http.ResponseWriter { return w.ResponseWriter }
