package awsapi_test

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/awsapi"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/machine/netstack"
	"github.com/plinksim/plinksim/pkg/topofile"
)

// cloud is a lab in the test's process with its API.
type cloud struct {
	t      testing.TB
	lab    *lab.Lab
	store  *lab.MemoryStore
	server *awsapi.Server
	url    string
	now    func() time.Time
	// answers are the last ones of each operation that was done.
	answers map[string][]byte
	// before is asked before a call is sent, and may change its parameters; nil: nobody.
	before func(c *client, service, action string, form url.Values)
}

const empty = "{name: shop, cloud: aws, region: us-east-1, accounts: [provider, consumer], vpcs: {}}"

// up makes a lab of a topology file's text, with its API.
func up(t testing.TB, text string, change ...func(*awsapi.Config)) *cloud {
	t.Helper()
	plan, err := topofile.Parse("topology.yaml", []byte(text))
	require.NoError(t, err)
	c := &cloud{t: t, store: &lab.MemoryStore{}, now: time.Now, answers: map[string][]byte{}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c.lab, err = lab.Start(ctx, lab.Config{Plan: plan, Machine: netstack.New(), Store: c.store})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.lab.Close(context.Background())) })
	c.serve(change...)
	return c
}

// serve makes the API again, as a daemon that takes the lab over.
func (c *cloud) serve(change ...func(*awsapi.Config)) {
	cfg := awsapi.Config{Lab: c.lab, Store: c.store}
	for _, f := range change {
		f(&cfg)
	}
	if cfg.Now != nil {
		c.now = cfg.Now
	}
	server, err := awsapi.New(cfg)
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

// client signs and sends calls.
type client struct {
	*cloud
	key    awsapi.Key
	number string
	region string // that it signs for; that of the lab
	change func(*http.Request)
	// from is an instance that the client runs on, which finds the API under its name;
	// "": it runs beside the lab.
	from string
	at   string // the URL that it calls from there; that of the service
}

// hosts are the names under which a program on an instance looks for the API.
func hosts(service string) string { return "https://" + service + ".us-east-1.amazonaws.com" }

// answer is a tree of XML elements.
type answer struct {
	XMLName xml.Name
	Text    string   `xml:",chardata"`
	Nodes   []answer `xml:",any"`
}

// at is the text of the element that names lead to, each of which takes the first of
// that name; "" where there is none.
func (a answer) at(path string) string {
	found := a.all(path)
	if len(found) == 0 {
		return ""
	}
	return strings.TrimSpace(found[0].Text)
}

func (a answer) all(path string) []answer {
	now := []answer{a}
	for _, name := range strings.Split(path, "/") {
		var next []answer
		for _, one := range now {
			for _, n := range one.Nodes {
				if n.XMLName.Local == name {
					next = append(next, n)
				}
			}
		}
		now = next
	}
	return now
}

// texts are the texts of all elements that names lead to.
func (a answer) texts(path string) []string {
	out := []string{}
	for _, n := range a.all(path) {
		out = append(out, strings.TrimSpace(n.Text))
	}
	return out
}

var versions = map[string]string{"ec2": "2016-11-15", "elasticloadbalancing": "2015-12-01", "sts": "2011-06-15"}

// send sends a call with parameters written as pairs, and gives the status and the body.
func (c *client) send(service, action string, parameters ...string) (int, []byte) {
	c.t.Helper()
	form := url.Values{"Action": {action}, "Version": {versions[service]}}
	require.Zero(c.t, len(parameters)%2, "parameters are pairs")
	for i := 0; i < len(parameters); i += 2 {
		form.Set(parameters[i], parameters[i+1])
	}
	if c.before != nil {
		c.before(c, service, action, form)
	}
	return c.post(service, form.Encode())
}

func (c *client) post(service, body string) (int, []byte) {
	c.t.Helper()
	url, sender := c.url, http.DefaultClient
	if c.from != "" {
		on, err := c.lab.Client(c.from)
		require.NoError(c.t, err)
		url, sender = cmp.Or(c.at, hosts(service)), on.HTTP()
		defer sender.CloseIdleConnections()
	}
	r, err := http.NewRequestWithContext(c.t.Context(), "POST", url+"/", strings.NewReader(body))
	require.NoError(c.t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	region := c.region
	if region == "" {
		region = c.lab.Plan().Region
	}
	sign(r, body, c.key, region, service, c.now())
	if c.change != nil {
		c.change(r)
	}
	resp, err := sender.Do(r)
	require.NoError(c.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	return resp.StatusCode, text
}

// do sends a call that must be done.
func (c *client) do(service, action string, parameters ...string) answer {
	c.t.Helper()
	status, text := c.send(service, action, parameters...)
	require.Equal(c.t, 200, status, "%s: %s", action, text)
	c.answers[service+" "+action] = text
	return parse(c.t, text)
}

func parse(t testing.TB, text []byte) (a answer) {
	t.Helper()
	require.NoError(t, xml.Unmarshal(text, &a), "%s", text)
	return a
}

// refused sends a call that must be refused, and gives the code and the message.
func (c *client) refused(service, action string, parameters ...string) (code, message string) {
	c.t.Helper()
	status, text := c.send(service, action, parameters...)
	require.NotEqual(c.t, 200, status, "%s: %s", action, text)
	require.Less(c.t, status, 500, "%s: %s", action, text)
	return codeOf(parse(c.t, text))
}

func codeOf(a answer) (code, message string) {
	if code = a.at("Errors/Error/Code"); code != "" {
		return code, a.at("Errors/Error/Message")
	}
	return a.at("Error/Code"), a.at("Error/Message")
}

// ec2, elb and code are what tests say most.
func (c *client) ec2(action string, parameters ...string) answer {
	c.t.Helper()
	return c.do("ec2", action, parameters...)
}

func (c *client) elb(action string, parameters ...string) answer {
	c.t.Helper()
	return c.do("elasticloadbalancing", action, parameters...)
}

func (c *client) code(action string, parameters ...string) string {
	c.t.Helper()
	code, _ := c.refused("ec2", action, parameters...)
	return code
}

func (c *client) elbCode(action string, parameters ...string) string {
	c.t.Helper()
	code, _ := c.refused("elasticloadbalancing", action, parameters...)
	return code
}

// sign signs as the AWS IAM user guide, "Create a signed AWS API request", has it: a
// second implementation beside the one that verifies.
func sign(r *http.Request, body string, key awsapi.Key, region, service string, now time.Time) {
	mac := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	at := now.UTC().Format("20060102T150405Z")
	r.Header.Set("X-Amz-Date", at)
	headers := "content-type;host;x-amz-date"
	lines := "content-type:" + r.Header.Get("Content-Type") + "\nhost:" + r.Host + "\nx-amz-date:" + at + "\n"
	if key.Token != "" {
		r.Header.Set("X-Amz-Security-Token", key.Token)
		headers += ";x-amz-security-token"
		lines += "x-amz-security-token:" + key.Token + "\n"
	}
	canonical := fmt.Sprintf("POST\n/\n\n%s\n%s\n%x", lines, headers, sha256.Sum256([]byte(body)))
	scope := at[:8] + "/" + region + "/" + service + "/aws4_request"
	secret := mac(mac(mac(mac([]byte("AWS4"+key.Secret), at[:8]), region), service), "aws4_request")
	signature := mac(secret, fmt.Sprintf("AWS4-HMAC-SHA256\n%s\n%s\n%x", at, scope, sha256.Sum256([]byte(canonical))))
	r.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x",
		key.ID,
		scope, headers, signature))
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

// eventually tries for ten seconds.
func (c *cloud) eventually(what string, try func() bool) {
	c.t.Helper()
	require.Eventually(c.t, try, 10*time.Second, 5*time.Millisecond, what)
}
