package api

import (
	"context"
	"io"
	"net/url"
	"strconv"
)

// LogsCall says what of the logs of an instance's programs is wanted.
type LogsCall struct {
	Instance string // as users write it
	Tail     int    // lines from the end of what there is; -1 is all
	Follow   bool   // and what comes later
}

// Logs copies what the programs of an instance have printed, which may be on another host, to w.
// With Follow it goes on until ctx ends, which is not an error.
func (c *Client) Logs(ctx context.Context, call LogsCall, w io.Writer) error {
	query := url.Values{"instance": {call.Instance}, "tail": {strconv.Itoa(call.Tail)}, "follow": {strconv.FormatBool(call.Follow)}}
	text, stop, err := c.stream(ctx, "GET", "/v1/logs?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	defer stop()
	_, err = io.Copy(w, text)
	if ctx.Err() != nil {
		return nil
	}
	return err
}
