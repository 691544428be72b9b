package api

import (
	"context"
	"errors"
	"io"
	"net/url"
	"strconv"

	"github.com/plinksim/plinksim/pkg/status"
)

// Capture copies packets as pcapng until ctx ends, which is not an error.
// started is called when the capture has begun.
func (c *Client) Capture(ctx context.Context, opts status.CaptureOptions, started func(io.Reader) error) error {
	query := url.Values{"eni": opts.ENIs, "count": {strconv.Itoa(opts.Count)}, "port": {strconv.Itoa(int(opts.Port))}}
	if opts.Host.IsValid() {
		query.Set("host", opts.Host.String())
	}
	packets, stop, err := c.stream(ctx, "GET", "/v1/capture?"+query.Encode(), nil)
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
