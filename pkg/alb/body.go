package alb

import (
	"io"
	"net/http"
	"sync"
	"time"
)

// watched is an answer's body, or an upgraded connection, that ends when the
// server has been silent for too long.
type watched struct {
	body    io.ReadCloser
	silence time.Duration
	timer   *time.Timer
	ended   func() // once
}

// upgraded is a watched connection: what the client sends ends a silence too.
type upgraded struct {
	*watched
	io.Writer
}

func watch(resp *http.Response, silence time.Duration, ended func()) io.ReadCloser {
	w := &watched{body: resp.Body, silence: silence, ended: sync.OnceFunc(ended)}
	w.timer = time.AfterFunc(silence, func() {
		w.ended()
		if resp.StatusCode == http.StatusSwitchingProtocols {
			w.body.Close() // nobody else would wake its reader
		}
	})
	if conn, ok := resp.Body.(io.Writer); ok {
		return upgraded{w, conn}
	}
	return w
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.body.Read(b)
	if err == nil {
		w.timer.Reset(w.silence)
	}
	return n, err
}

func (w *watched) Close() error {
	w.timer.Stop()
	w.ended()
	return w.body.Close()
}

func (u upgraded) Write(b []byte) (int, error) {
	n, err := u.Writer.Write(b)
	if err == nil {
		u.timer.Reset(u.silence)
	}
	return n, err
}

func (u upgraded) CloseWrite() error { return closeWrite(u.Writer) }

// clientError is what went wrong with the client's side of a request.
type clientError struct{ err error }

func (e *clientError) Error() string { return "read the request: " + e.err.Error() }

func (e *clientError) Unwrap() error { return e.err }

// clientBody is a request's body whose client must go on sending.
type clientBody struct {
	io.ReadCloser
	control *http.ResponseController
	trip    *trip
}

func (c *clientBody) Read(b []byte) (int, error) {
	deadline := time.Now().Add(c.trip.HTTP.RequestTimeout)
	c.trip.waits.Store(deadline.UnixNano())
	_ = c.control.SetReadDeadline(deadline)
	n, err := c.ReadCloser.Read(b)
	c.trip.stats.received.Add(uint64(n))
	switch {
	case err == nil:
		c.trip.waits.Store(0)
	case err == io.EOF:
		c.trip.waits.Store(0)
		// net/http reads on, to see the client go away, and may wait for that.
		_ = c.control.SetReadDeadline(time.Time{})
	default:
		err = &clientError{err}
	}
	return n, err
}

// slow says whether the client should have sent more of the body by now.
// net/http ends the request's context before it returns from the read, so the
// error alone does not tell.
func (t *trip) slow() bool {
	waits := t.waits.Load()
	return waits != 0 && time.Now().UnixNano() >= waits
}

// buffers are those that bodies are copied through.
type buffers struct{}

var pool = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

func (buffers) Get() []byte { return *pool.Get().(*[]byte) }

func (buffers) Put(b []byte) { pool.Put(&b) }
