package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/plinksim/plinksim/pkg/status"
)

// Capture copies packets as pcapng until ctx ends, which is not an error.
// started is called when the capture has begun. Of a topology over several hosts
// it has the packets of all; a host that does not answer is noted in it (pcap.Reader.Note).
func (c *Client) Capture(ctx context.Context, opts status.CaptureOptions, started func(io.Reader) error) error {
	packets, stop, err := c.stream(ctx, "GET", capturePath(opts), nil)
	if err != nil {
		return err
	}
	defer stop()
	err = started(packets)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

func capturePath(opts status.CaptureOptions) string {
	query := url.Values{"eni": opts.ENIs, "count": {strconv.Itoa(opts.Count)}, "port": {strconv.Itoa(int(opts.Port))}}
	if opts.Host.IsValid() {
		query.Set("host", opts.Host.String())
	}
	return "/v1/capture?" + query.Encode()
}

// ClockHeader is a field in the answer to a request for a capture: what the clock of the daemon
// said when the request came, and when the answer went, in nanoseconds since 1970.
const ClockHeader = "Plinksim-Clock"

// captureTimeout is how long another host may take to begin a capture.
const captureTimeout = 2 * time.Second

// CaptureOfHost copies packets of another host alone, until ctx ends or the caller closes it.
// ahead is how far the clock of that host is ahead of this one's.
func (c *Client) CaptureOfHost(ctx context.Context, opts status.CaptureOptions) (packets io.ReadCloser, ahead time.Duration, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	late := time.AfterFunc(captureTimeout, func() { cancel(errSilent(captureTimeout)) })
	var asked, answered atomic.Int64
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest:         func(httptrace.WroteRequestInfo) { asked.Store(time.Now().UnixNano()) },
		GotFirstResponseByte: func() { answered.Store(time.Now().UnixNano()) },
	})
	resp, err := c.do(traced, "GET", capturePath(opts), nil)
	late.Stop()
	if err != nil {
		cancel(nil)
		return nil, 0, err
	}
	ahead, err = clockAhead(resp.Header, asked.Load(), answered.Load())
	stream := struct {
		io.Reader
		io.Closer
	}{resp.Body, ending{resp.Body, func() { cancel(nil) }}}
	if err != nil {
		stream.Close()
		return nil, 0, fmt.Errorf("%s: %w", c.who, err)
	}
	return stream, ahead, nil
}

// ending closes the body of an answer, and ends the request.
type ending struct {
	body io.Closer
	end  func()
}

// Close ends both.
func (e ending) Close() error {
	defer e.end()
	return e.body.Close()
}

// clockAhead compares two clocks by one request and its answer, as NTP does (RFC 5905, 8): the
// ways there and back are taken to last as long as each other. What is less than half of both
// could be the ways alone, and is no difference.
func clockAhead(answer http.Header, asked, answered int64) (time.Duration, error) {
	var came, went int64
	if _, err := fmt.Sscan(answer.Get(ClockHeader), &came, &went); err != nil {
		return 0, fmt.Errorf("its daemon does not say what its clock says: it is another version")
	}
	ahead := ((came - asked) + (went - answered)) / 2
	if bound := ((answered - asked) - (went - came)) / 2; max(ahead, -ahead) <= bound {
		return 0, nil
	}
	return time.Duration(ahead), nil
}
