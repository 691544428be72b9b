package aliapi_test

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/aliapi"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/machine/netstack"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/wire"
)

// cloud is a lab in the test's process with its API.
type cloud struct {
	t      testing.TB
	lab    *lab.Lab
	store  *lab.MemoryStore
	server *aliapi.Server
	url    string
	now    func() time.Time
	// before is asked before a call is sent, and may change its parameters; nil: nobody.
	before func(c *client, service, action string, parameters url.Values)
}

// nonce is that of the last request.
var nonce atomic.Int64

const empty = "{name: shop, cloud: alibaba, region: eu-central-1, accounts: [provider, consumer], vpcs: {}}"

// up makes a lab of a topology file's text, with its API.
func up(t testing.TB, text string, change ...func(*aliapi.Config)) *cloud {
	t.Helper()
	plan, err := topofile.Parse("topology.yaml", []byte(text))
	require.NoError(t, err)
	c := &cloud{t: t, store: &lab.MemoryStore{}, now: time.Now}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cfg := aliapi.Config{Store: c.store}
	for _, f := range change {
		f(&cfg)
	}
	c.lab, err = lab.Start(ctx, lab.Config{Plan: plan, Machine: netstack.New(), Store: c.store,
		Transition: cfg.Transition})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.lab.Close(context.Background())) })
	c.serve(change...)
	return c
}

// serve makes the API again, as a daemon that takes the lab over.
func (c *cloud) serve(change ...func(*aliapi.Config)) {
	cfg := aliapi.Config{Lab: c.lab, Store: c.store}
	for _, f := range change {
		f(&cfg)
	}
	if cfg.Now != nil {
		c.now = cfg.Now
	}
	server, err := aliapi.New(cfg)
	require.NoError(c.t, err)
	c.server = server
	listener := httptest.NewServer(server)
	c.t.Cleanup(listener.Close)
	c.url = listener.URL
}

// as is a client with the keys of an account.
func (c *cloud) as(account string) *client {
	for _, key := range c.server.Keys() {
		if key.Account == account {
			return &client{cloud: c, key: key, number: key.AccountID}
		}
	}
	c.t.Fatalf("there is no account %q", account)
	return nil
}

// holds opens a connection from an instance and keeps it: a load balancer that is replaced now
// drains until it is released, however long that takes.
func (c *cloud) holds(instance, address string) {
	c.t.Helper()
	from, err := c.lab.Client(instance)
	require.NoError(c.t, err)
	conn, err := from.DialContext(c.t.Context(), "tcp", address)
	require.NoError(c.t, err)
	c.t.Cleanup(func() { conn.Close() })
}

// client signs and sends calls.
type client struct {
	*cloud
	key    aliapi.Key
	number string
	format string // JSON where it is ""
	region string // that of the lab where it is ""
	inBody bool   // all parameters are in the body
	change func(*http.Request)
}

// answer is an object of JSON.
type answer map[string]any

// at is the text that a path leads to, "" where there is nothing: Zones.0.ZoneId.
func (a answer) at(path string) string {
	var now any = map[string]any(a)
	for _, name := range strings.Split(path, ".") {
		switch v := now.(type) {
		case map[string]any:
			now = v[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(v) {
				return ""
			}
			now = v[i]
		default:
			return ""
		}
	}
	switch v := now.(type) {
	case nil:
		return ""
	case json.Number, string, bool:
		return fmt.Sprint(v)
	}
	text, _ := json.Marshal(now)
	return string(text)
}

// texts are the texts of a member of all objects of a list: Endpoints, EndpointId.
func (a answer) texts(list, member string) []string {
	out := []string{}
	for i := 0; a.at(list+"."+strconv.Itoa(i)) != ""; i++ {
		out = append(out, a.at(list+"."+strconv.Itoa(i)+"."+member))
	}
	return out
}

// form is the call with what every call has, signed with HMAC-SHA1 as "RPC mechanism" in the
// documentation of Alibaba Cloud's SDKs has it: a second implementation beside the one that
// verifies.
func (c *client) form(service, action string, parameters url.Values) url.Values {
	form := url.Values{"Action": {action}, "Version": {wire.Find(wire.Alibaba(), service).Version},
		"Format": {cmp.Or(c.format, "JSON")}, "AccessKeyId": {c.key.ID}, "SignatureMethod": {"HMAC-SHA1"},
		"SignatureVersion": {"1.0"}, "SignatureNonce": {strconv.FormatInt(nonce.Add(1), 10)},
		"RegionId": {cmp.Or(c.region, c.lab.Plan().Region)}, "Timestamp": {c.now().UTC().Format("2006-01-02T15:04:05Z")}}
	if c.key.Token != "" {
		form.Set("SecurityToken", c.key.Token)
	}
	maps.Copy(form, parameters)
	var pairs []string
	encode := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
	for _, name := range slices.Sorted(maps.Keys(form)) {
		pairs = append(pairs, encode(name)+"="+encode(form.Get(name)))
	}
	h := hmac.New(sha1.New, []byte(c.key.Secret+"&"))
	h.Write([]byte("POST&%2F&" + encode(strings.Join(pairs, "&"))))
	form.Set("Signature", base64.StdEncoding.EncodeToString(h.Sum(nil)))
	return form
}

// send sends a call with parameters written as pairs, and gives the status and the body.
func (c *client) send(service, action string, parameters ...string) (int, []byte) {
	c.t.Helper()
	require.Zero(c.t, len(parameters)%2, "parameters are pairs")
	values := url.Values{}
	for i := 0; i < len(parameters); i += 2 {
		values.Set(parameters[i], parameters[i+1])
	}
	if c.before != nil {
		c.before(c, service, action, values)
	}
	return c.post(service, action, values)
}

func (c *client) post(service, action string, parameters url.Values) (int, []byte) {
	c.t.Helper()
	query, body := c.form(service, action, parameters).Encode(), ""
	if c.inBody {
		query, body = "", query
	}
	r, err := http.NewRequestWithContext(c.t.Context(), "POST", c.url+"/?"+query, strings.NewReader(body))
	require.NoError(c.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c.change != nil {
		c.change(r)
	}
	resp, err := http.DefaultClient.Do(r)
	require.NoError(c.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	return resp.StatusCode, text
}

func parse(t testing.TB, text []byte) (a answer) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	require.NoError(t, d.Decode(&a), "%s", text)
	return a
}

// do sends a call that must be done.
func (c *client) do(service, action string, parameters ...string) answer {
	c.t.Helper()
	status, text := c.send(service, action, parameters...)
	require.Equal(c.t, 200, status, "%s: %s", action, text)
	a := parse(c.t, text)
	require.Regexp(c.t, `^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$`, a.at("RequestId"))
	return a
}

// refused sends a call that must be refused, and gives the code and the message.
func (c *client) refused(service, action string, parameters ...string) (code, message string) {
	c.t.Helper()
	status, text := c.send(service, action, parameters...)
	require.NotEqual(c.t, 200, status, "%s: %s", action, text)
	require.Less(c.t, status, 500, "%s: %s", action, text)
	a := parse(c.t, text)
	return a.at("Code"), a.at("Message")
}

// link and code are what tests of PrivateLink say most.
func (c *client) link(action string, parameters ...string) answer {
	c.t.Helper()
	return c.do("privatelink", action, parameters...)
}

func (c *client) code(service, action string, parameters ...string) string {
	c.t.Helper()
	code, _ := c.refused(service, action, parameters...)
	return code
}

// get is the page that an instance gets.
func (c *cloud) get(instance, url string) (string, error) {
	client, err := c.lab.Client(instance)
	if err != nil {
		return "", err
	}
	h := client.HTTP()
	h.Timeout = time.Second
	resp, err := h.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return strings.TrimSpace(string(text)), err
}

// reads waits until an instance gets a page, "" for none.
func (c *cloud) reads(instance, url, want string) {
	c.t.Helper()
	require.Eventually(c.t, func() bool {
		got, err := c.get(instance, url)
		return want == "" && err != nil || want != "" && got == want
	}, 10*time.Second, 5*time.Millisecond, "%s: %s", url, want)
}
