package alb

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
)

// answerWriter counts what a client is told.
type answerWriter struct {
	http.ResponseWriter
	stats  *counters
	conn   *framed
	status int
}

// Unwrap lets http.ResponseController find the writer below.
func (a *answerWriter) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answerWriter) WriteHeader(status int) {
	if a.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answerWriter) Write(b []byte) (int, error) {
	n, err := a.ResponseWriter.Write(b)
	a.stats.sent.Add(uint64(n))
	return n, err
}

// Hijack is asked for by ReverseProxy when a server has agreed to an upgrade,
// and by nobody else.
func (a *answerWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffered, err := http.NewResponseController(a.ResponseWriter).Hijack()
	if err == nil {
		a.conn.stop()
		a.status = http.StatusSwitchingProtocols
	}
	return conn, buffered, err
}

// fail answers with a page of the load balancer's own, as both clouds do.
func (a *answerWriter) fail(status int, reason string) {
	a.stats.failure(reason)
	text := http.StatusText(status)
	if text == "" {
		text = "Client Closed Request"
	}
	page := fmt.Sprintf("<html>\n<head><title>%[1]d %[2]s</title></head>\n"+
		"<body>\n<center><h1>%[1]d %[2]s</h1></center>\n</body>\n</html>\n", status, text)
	a.Header().Set("Content-Type", "text/html")
	a.WriteHeader(status)
	io.WriteString(a, page)
}

func (a *answerWriter) done() {
	if a.status == 0 {
		a.status = http.StatusOK // what net/http sends where a handler says nothing
	}
	a.stats.status(a.status)
}

// failed answers a request that no server answered.
func (l *Listener) failed(w http.ResponseWriter, r *http.Request, err error) {
	t := tripOf(r.Context())
	status, reason := t.verdict(r.Context(), err)
	l.log.Debug("a request failed", "status", status, "reason", reason, "error", err)
	w.(*answerWriter).fail(status, reason)
}

// verdict says with which status a failure is answered. "ALB status codes"
// (Alibaba Cloud) and "Troubleshoot your Application Load Balancers" (AWS)
// agree: 503 where there is no server, 504 where one does not accept the
// connection or answer in time, 502 where one refuses it, resets it or answers
// what is not HTTP.
func (t *trip) verdict(ctx context.Context, err error) (status int, reason string) {
	var client *clientError
	var unreached *connectError
	switch {
	case t.slow():
		return http.StatusRequestTimeout, "client_timeout"
	case ctx.Err() != nil:
		return t.Profile.ClientGone, "client_gone"
	case errors.As(err, &client):
		return http.StatusBadRequest, "client_error"
	case errors.Is(err, errNoServer):
		return http.StatusServiceUnavailable, "no_server"
	case errors.As(err, &unreached) && timeout(err):
		return http.StatusGatewayTimeout, "connect_timeout"
	case errors.As(err, &unreached):
		return http.StatusBadGateway, "connect_failed"
	case timeout(err):
		return http.StatusGatewayTimeout, "server_timeout"
	}
	return http.StatusBadGateway, "bad_answer"
}

func timeout(err error) bool {
	var netErr net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &netErr) && netErr.Timeout()
}
