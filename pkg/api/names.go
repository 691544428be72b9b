package api

import (
	"context"
	"net/url"

	"github.com/plinksim/plinksim/pkg/status"
)

// Query asks the resolver of an instance's VPC, and why.
func (c *Client) Query(ctx context.Context, from, name, qtype string) (status.NameAnswer, error) {
	var a status.NameAnswer
	return a, c.call(ctx, "GET", "/v1/names?"+url.Values{"from": {from}, "name": {name}, "type": {qtype}}.Encode(),
		nil, &a)
}

// WatchedQuery is a question, or how many there were that came too fast.
type WatchedQuery struct {
	status.NameQuery
	Missed uint64 `json:"missed,omitempty"` // before this one
}

// WatchQueries calls each for every question, of one instance or of all where
// from is empty, until ctx ends.
func (c *Client) WatchQueries(ctx context.Context, from string, each func(WatchedQuery) error) error {
	return readLines(ctx, c, "GET", "/v1/queries?"+url.Values{"from": {from}}.Encode(), nil, each)
}
