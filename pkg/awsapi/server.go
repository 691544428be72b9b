// Package awsapi answers the clients of AWS for a lab: EC2, Elastic Load Balancing and
// STS as far as a lab has what they speak of. Operations are rows of a table (see
// Operations), each with the parameters that it ignores and why; whatever a request
// has beside those is refused by name. What a call makes is an edit of the lab's
// topology or an operation of its control plane, so packets follow.
//
// What no topology file has, tags and times and the tokens of clients, is in a record
// of its own in the lab's directory: see package cloudapi.
package awsapi

import (
	"cmp"
	"context"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/wire"
)

// window is how far the clock of a client may be off (AWS IAM user guide, "Elements of an
// AWS API request signature").
const window = 5 * time.Minute

// Config is what a Server is made of.
type Config = cloudapi.Config

// Key is an access key of an account.
type Key = cloudapi.Key

// Server answers for one lab. It is an http.Handler.
type Server struct {
	*cloudapi.Server
	gone tombstones

	metadata *metadata
	inVPCs   atomic.Bool // see ServeInVPCs
	scripts  atomic.Bool // see RunScripts
}

// New makes a server, with keys for every account of the lab.
func New(cfg Config) (*Server, error) {
	if cloud := cfg.Lab.Plan().Cloud; !cloud.Profile().AWSAPI {
		return nil, fmt.Errorf("a lab of cloud %s has no API for clients of AWS", cloud)
	}
	base, err := cloudapi.NewServer(cfg, newKey)
	s := &Server{Server: base}
	s.metadata = &metadata{Server: s, secret: cloudapi.RandomBytes(32)}
	return s, err
}

// newKey has the form of AWS's: 20 capitals and digits, and 40 characters (AWS IAM user
// guide, "IAM identifiers", unique ID prefixes).
func newKey(account string, temporary bool) Key {
	prefix := "AKIA"
	if temporary {
		prefix = "ASIA"
	}
	return Key{
		Account: account, ID: prefix + base32.StdEncoding.EncodeToString(cloudapi.RandomBytes(10)),
		Secret: base64.StdEncoding.EncodeToString(cloudapi.RandomBytes(30)),
	}
}

// Serve answers on ln, which should listen on a loopback address, until ctx ends, and
// closes it.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var notifying sync.WaitGroup
	notifying.Go(func() { s.notify(ctx) })
	defer notifying.Wait()
	defer cancel()
	return s.Server.Serve(ctx, ln, s)
}

// ServeHTTP answers one request that came to a loopback address.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handle(w, r, loopbackDoor{}) }

// door is where requests come in.
type door interface {
	// check refuses requests that were meant for another host.
	check(*http.Request) (apiHost, *wire.Error)
	// caller is the instance that asks, "" where none does.
	caller(*http.Request) string
}

// apiHost is what a name of the API stands for.
type apiHost struct {
	service string // that answers there; "": all
	region  string // that requests are signed for; "": that of the lab
}

// loopbackDoor is the API at a loopback address of the machine.
type loopbackDoor struct{}

func (loopbackDoor) check(r *http.Request) (apiHost, *wire.Error) {
	return apiHost{}, cloudapi.CheckHost(r)
}

func (loopbackDoor) caller(*http.Request) string { return "" }

func (s *Server) handle(w http.ResponseWriter, r *http.Request, d door) {
	c := &call{s.NewCall(r.Context()), s}
	c.From = d.caller(r)
	began := s.Now()
	text, refused := s.answer(c, w, r, d)
	if refused != nil {
		text = wire.EncodeError(c.Service, refused, c.ID)
	}
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	w.Header().Set("X-Amzn-Requestid", c.ID)
	c.Respond(w, text, refused, began)
}

// answer is the XML of an answer, or why there is none.
func (s *Server) answer(c *call, w http.ResponseWriter, r *http.Request, d door) ([]byte, *wire.Error) {
	at, err := d.check(r)
	if err != nil {
		return nil, err
	}
	body, done, err := s.Receive(w, r)
	if err != nil {
		return nil, err
	}
	defer done()
	form, err := formOf(r, body)
	if err != nil {
		return nil, err
	}
	c.Action, c.Service = form.Get("Action"), serviceOf(form.Get("Version"))
	if err := s.authenticate(c, r, body, cmp.Or(at.region, s.Lab.Plan().Region)); err != nil {
		return nil, err
	}
	if c.Service != nil && at.service != "" && at.service != c.Service.Name {
		return nil, wire.Errorf("InvalidAction", "The action %s is not valid for this web service.", c.Action)
	}
	row, err := c.find(form)
	if err != nil {
		return nil, err
	}
	return c.run(row, form)
}

func formOf(r *http.Request, body []byte) (url.Values, *wire.Error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.Method != http.MethodPost || r.URL.Path != "/" || err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, wire.Errorf("InvalidRequest",
			"Requests are POST / with a form, as the query protocols of EC2, Elastic Load Balancing and STS have it")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, wire.Errorf("MalformedQueryString", "The form cannot be read: %v", err)
	}
	return form, nil
}

func serviceOf(version string) *wire.Service {
	services := wire.AWS()
	i := slices.IndexFunc(services, func(s *wire.Service) bool { return s.Version == version })
	if i < 0 {
		return nil
	}
	return services[i]
}

// signatureCodes are the codes of EC2 and of the others for what is wrong with a
// signature (Amazon EC2 API Reference, "Error codes"; AWS Security Token Service API
// Reference, "Common errors").
var signatureCodes = map[wire.Fault][2]string{
	wire.Unsigned:      {"MissingAuthenticationToken", "MissingAuthenticationToken"},
	wire.UnknownKey:    {"AuthFailure", "InvalidClientTokenId"},
	wire.BadToken:      {"AuthFailure", "InvalidClientTokenId"},
	wire.BadSignature:  {"SignatureDoesNotMatch", "SignatureDoesNotMatch"},
	wire.OutsideWindow: {"RequestExpired", "RequestExpired"},
	wire.OtherScope:    {"AuthFailure", "SignatureDoesNotMatch"},
}

func (s *Server) authenticate(c *call, r *http.Request, body []byte, region string) *wire.Error {
	plan := s.CurrentPlan()
	// An account may have come with a changed file.
	if err := s.Ring.AddAccounts(plan.Accounts); err != nil {
		return cloudapi.Internal(err)
	}
	v := wire.Verifier{Secret: func(id string) (wire.Secret, bool) { return s.Ring.Secret(id, s.Now()) },
		Region: region, Window: window}
	signed, refused := v.Verify(r, body, s.Now())
	if refused == nil && c.Service != nil && signed.Service != c.Service.Name {
		refused = &wire.SignatureError{Fault: wire.OtherScope, Message: fmt.Sprintf(
			"The request is signed for service %q and is one of %q", signed.Service, c.Service.Name)}
	}
	if refused != nil {
		codes := signatureCodes[refused.Fault]
		code := codes[0]
		if c.Service != nil && c.Service.Protocol != wire.EC2Query {
			code = codes[1]
		}
		status := http.StatusForbidden
		if refused.Fault == wire.UnknownKey && code == "AuthFailure" {
			status = http.StatusUnauthorized
		}
		return &wire.Error{Code: code, Status: status, Message: refused.Message}
	}
	key := s.Ring.Key(signed.AccessKey)
	account, err := plan.Account(key.Account)
	if err != nil {
		return &wire.Error{Code: signatureCodes[wire.UnknownKey][0], Status: http.StatusUnauthorized,
			Message: fmt.Sprintf("The account %q of the access key is not in this lab any more", key.Account)}
	}
	c.Account, c.Key, c.Plan = account, key, plan
	return nil
}
