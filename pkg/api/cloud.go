package api

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// CloudAPI is where a lab answers the clients of its cloud, and with which keys.
type CloudAPI struct {
	Address string     `json:"address"` // HOST:PORT; "" where it does not
	Cloud   string     `json:"cloud"`   // of the lab: aws
	InVPCs  bool       `json:"in_vpcs"` // programs on instances find it under its real names
	Exec    bool       `json:"exec"`    // what clients give instances to run is run, as root of the machine
	Region  string     `json:"region"`
	Keys    []CloudKey `json:"keys"` // one for each account, in the order of the file
}

// CloudKey is an access key of an account with its secret. A temporary one has a token
// and an end.
type CloudKey struct {
	Account   string    `json:"account"`
	AccountID string    `json:"account_id"`
	ID        string    `json:"access_key_id"`
	Secret    string    `json:"secret_access_key"`
	Token     string    `json:"session_token,omitempty"`
	Expires   time.Time `json:"expires,omitzero"`
	Role      string    `json:"role,omitempty"`    // that was assumed
	Session   string    `json:"session,omitempty"` // its name
}

// CloudCall is a call of a client of the cloud.
type CloudCall struct {
	ID      string    `json:"request_id"`
	Time    time.Time `json:"time"`
	Account string    `json:"account,omitempty"` // "" where the signature was refused
	From    string    `json:"from,omitempty"`    // the instance that asked, as VPC/NAME; "" where none did
	Service string    `json:"service,omitempty"`
	Action  string    `json:"action,omitempty"`
	// Refused is the code of the error, with its text behind it; "" where it was done.
	Refused string   `json:"refused,omitempty"`
	Ignored []string `json:"ignored,omitempty"` // parameters, with the reason why they change nothing
	Notes   []string `json:"notes,omitempty"`   // what the API has no word for
	Millis  float64  `json:"millis"`
}

// ServeCloud lets the daemon answer the clients of its cloud as wanted says, now and when
// it is started again. It returns the address with its port.
func (c *Client) ServeCloud(ctx context.Context, wanted CloudAPI) (CloudAPI, error) {
	var at CloudAPI
	return at, c.call(ctx, "POST", "/v1/cloud-api", wanted, &at)
}

// Cloud is where the daemon answers the clients of its cloud.
func (c *Client) Cloud(ctx context.Context) (CloudAPI, error) {
	var at CloudAPI
	return at, c.call(ctx, "GET", "/v1/cloud-api", nil, &at)
}

// CloudCalls are the last calls of the clients of the cloud, the newest at the end.
func (c *Client) CloudCalls(ctx context.Context) ([]CloudCall, error) {
	var calls []CloudCall
	return calls, c.call(ctx, "GET", "/v1/cloud-api/calls", nil, &calls)
}

// ListenCloud listens at a loopback address for the clients of a cloud: HOST:PORT or
// :PORT. Another address is refused, as the daemon may do more than its clients.
func ListenCloud(address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("API address %q: want HOST:PORT, for example 127.0.0.1:4566", address)
	}
	if host == "" || host == "localhost" {
		host = "127.0.0.1"
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("API address %q: want a loopback address, for example 127.0.0.1:4566", address)
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("API address %q: %w", address, err)
	}
	return ln, nil
}
