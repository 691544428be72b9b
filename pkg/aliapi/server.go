// Package aliapi answers the clients of Alibaba Cloud for a lab: PrivateLink, VPC, ECS, the
// load balancers and STS as far as a lab has what they speak of. Operations are rows of a
// table (see Operations), each with the parameters that it uses and those that it ignores
// with the reason why. A parameter that the operation has, and that is neither, is refused by
// name; one that the operation does not have is taken for nothing, as the cloud does, and
// noted in the log of calls. What a call makes is an edit of the lab's topology or an
// operation of its control plane, so packets follow.
//
// A product is added in three places. Its operations are listed in tools/alimodel, which
// describes their requests and answers in package wire. It is a line of the table products
// (table.go), with a function that adds its rows: op adds an operation whose parameters are
// the fields of a struct, list one that lists objects. The handlers are in files of their own,
// slb.go or slb_*.go, as methods and functions of a type that embeds *call (see about), and
// make edits with Edit and operations with Operate. Tests hold every row to the description,
// and docs/reference/alibaba-operations.md is made of the table.
package aliapi

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/wire"
)

// window is how far the clock of a client may be off (Alibaba Cloud SDK documentation, "Request
// syntax and signature method V3", x-acs-date).
const window = 15 * time.Minute

// Config is what a Server is made of.
type Config = cloudapi.Config

// Key is an access key of an account.
type Key = cloudapi.Key

// Server answers for one lab. It is an http.Handler.
type Server struct {
	*cloudapi.Server
	nonces nonces
}

// New makes a server, with keys for every account of the lab.
func New(cfg Config) (*Server, error) {
	if cloud := cfg.Lab.Plan().Cloud; !cloud.Profile().AlibabaAPI {
		return nil, fmt.Errorf("a lab of cloud %s has no API for clients of Alibaba Cloud", cloud)
	}
	base, err := cloudapi.NewServer(cfg, newKey)
	return &Server{Server: base}, err
}

// newKey has the form of Alibaba Cloud's keys: LTAI with 20 characters and a secret of 30, and
// STS. before temporary ones (Resource Access Management, "AccessKey pairs"; STS API
// 2015-04-01, AssumeRole, Credentials).
func newKey(account string, temporary bool) Key {
	prefix := "LTAI5t"
	if temporary {
		prefix = "STS."
	}
	return Key{Account: account, ID: prefix + hex.EncodeToString(cloudapi.RandomBytes(9)),
		Secret: hex.EncodeToString(cloudapi.RandomBytes(15))}
}

// Serve answers on ln, which should listen on a loopback address, until ctx ends, and
// closes it.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error { return s.Server.Serve(ctx, ln, s) }

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{Call: s.NewCall(r.Context()), format: wire.JSON}
	c.ID = strings.ToUpper(c.ID)
	began := s.Now()
	text, refused := s.answer(c, w, r)
	if refused != nil {
		text = wire.EncodeErrorACS(refused, c.ID, r.Host, c.format)
	}
	w.Header().Set("Content-Type", c.format.ContentType())
	w.Header().Set("X-Acs-Request-Id", c.ID)
	c.Respond(w, text, refused, began)
}

// answer is the text of an answer, or why there is none.
func (s *Server) answer(c *call, w http.ResponseWriter, r *http.Request) ([]byte, *wire.Error) {
	body, done, err := s.Admit(w, r)
	if err != nil {
		if err.Code == cloudapi.TooMany {
			err.Code, err.Message = "Throttling", "Request was denied due to request throttling."
		}
		return nil, err
	}
	defer done()
	asked, err := wire.ReadACS(r, body)
	if err != nil {
		return nil, err
	}
	c.Action, c.Service, c.format = asked.Action, serviceOf(asked.Version), asked.Format
	if err := s.authenticate(c, asked); err != nil {
		return nil, err
	}
	row, err := c.find(asked.Version)
	if err != nil {
		return nil, err
	}
	return c.run(row, asked)
}

func serviceOf(version string) *wire.Service {
	i := slices.IndexFunc(wire.Alibaba(), func(s *wire.Service) bool { return s.Version == version })
	if i < 0 {
		return nil
	}
	return wire.Alibaba()[i]
}

// signatureCodes are what is wrong with a signature (Alibaba Cloud, "Common error codes" of the
// products' API references).
var signatureCodes = map[wire.Fault]struct {
	code   string
	status int
}{
	wire.Unsigned:      {"IncompleteSignature", http.StatusBadRequest},
	wire.UnknownKey:    {"InvalidAccessKeyId.NotFound", http.StatusNotFound},
	wire.BadToken:      {"InvalidSecurityToken.MismatchWithAccessKey", http.StatusBadRequest},
	wire.BadSignature:  {"SignatureDoesNotMatch", http.StatusBadRequest},
	wire.OutsideWindow: {"InvalidTimeStamp.Expired", http.StatusBadRequest},
}

func (s *Server) authenticate(c *call, asked *wire.ACSRequest) *wire.Error {
	plan := s.CurrentPlan()
	// An account may have come with a changed file.
	if err := s.Ring.AddAccounts(plan.Accounts); err != nil {
		return cloudapi.Internal(err)
	}
	v := wire.ACSVerifier{Secret: func(id string) (wire.Secret, bool) { return s.Ring.Secret(id, s.Now()) },
		Window: window}
	id, refused := v.Verify(asked, s.Now())
	if refused != nil {
		known := signatureCodes[refused.Fault]
		return &wire.Error{Code: known.code, Status: known.status, Message: refused.Message}
	}
	if !s.nonces.use(id, asked.Nonce(), s.Now()) {
		return &wire.Error{Code: "SignatureNonceUsed", Status: http.StatusBadRequest,
			Message: "The request signature nonce has been used."}
	}
	key := s.Ring.Key(id)
	account, err := plan.Account(key.Account)
	if err != nil {
		return &wire.Error{Code: signatureCodes[wire.UnknownKey].code, Status: http.StatusNotFound,
			Message: fmt.Sprintf("The account %q of the access key is not in this lab any more", key.Account)}
	}
	c.Account, c.Key, c.Plan = account, key, plan
	return nil
}
