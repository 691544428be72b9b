package wire

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault is why a signature is refused.
type Fault string

// The faults.
const (
	Unsigned      Fault = "unsigned"       // no signature, or none that can be read
	UnknownKey    Fault = "unknown key"    // nobody has the access key
	BadToken      Fault = "bad token"      // the session token is missing or not the key's
	BadSignature  Fault = "bad signature"  // another secret, or another request
	OutsideWindow Fault = "outside window" // the clocks differ, or the request is old
	OtherScope    Fault = "other scope"    // the signature is for another region or service
)

// SignatureError says what is wrong with a signature.
type SignatureError struct {
	Fault   Fault
	Message string
}

func (e *SignatureError) Error() string { return string(e.Fault) + ": " + e.Message }

// Secret is what belongs to an access key: Token is that of temporary keys.
type Secret struct {
	Key   string
	Token string
}

// Verifier verifies requests that are signed with Signature Version 4 (AWS IAM user
// guide, "Create a signed AWS API request").
type Verifier struct {
	// Secret is what belongs to an access key, false where nobody has it.
	Secret func(accessKey string) (Secret, bool)
	Region string
	// Window is how far a request's time may be from now.
	Window time.Duration
}

// algorithm is the only one: the asymmetric one of Version 4A is for several Regions.
const algorithm = "AWS4-HMAC-SHA256"

// Signed is what a valid signature says.
type Signed struct {
	AccessKey string
	Service   string
}

// Verify checks the signature of a request with its body at a time. It says which key
// signed for which service.
func (v Verifier) Verify(r *http.Request, body []byte, now time.Time) (Signed, *SignatureError) {
	s, err := readSignature(r.Header)
	if err != nil {
		return Signed{}, err
	}
	secret, known := v.Secret(s.key)
	if !known {
		return Signed{}, refuse(UnknownKey, "The access key %s does not exist in this lab", s.key)
	}
	token := r.Header.Get("X-Amz-Security-Token")
	if subtle.ConstantTimeCompare([]byte(token), []byte(secret.Token)) != 1 {
		return Signed{}, refuse(BadToken, "The security token included in the request is invalid")
	}
	canonical, err := s.canonical(r, body)
	if err != nil {
		return Signed{}, err
	}
	if !hmac.Equal(s.signature, s.sign(secret.Key, canonical)) {
		return Signed{}, refuse(BadSignature, "The request signature we calculated does not match the signature you"+
			" provided. Check your AWS Secret Access Key and signing method.")
	}
	// From here on the caller is known, and is told more.
	if off := now.Sub(s.time).Abs(); off > v.Window {
		return Signed{}, refuse(OutsideWindow, "The request was signed at %s, and it is %s: they may be %s apart",
			s.time.Format(amzTime), now.UTC().Format(amzTime), v.Window)
	}
	if s.region != v.Region {
		return Signed{}, refuse(OtherScope, "The request is signed for region %q, and this lab is in region %q",
			s.region, v.Region)
	}
	return Signed{AccessKey: s.key, Service: s.service}, nil
}

func refuse(fault Fault, format string, args ...any) *SignatureError {
	return &SignatureError{fault, fmt.Sprintf(format, args...)}
}

const amzTime = "20060102T150405Z"

// signature is an Authorization header with the time.
type signature struct {
	key, date, region, service string
	time                       time.Time
	headers                    []string // that are signed, lower case
	signature                  []byte
}

func readSignature(h http.Header) (s signature, _ *SignatureError) {
	authorization := h.Get("Authorization")
	if authorization == "" {
		return s, refuse(Unsigned, "Request is missing Authentication Token")
	}
	name, rest, _ := strings.Cut(authorization, " ")
	if name != algorithm {
		return s, refuse(Unsigned, "The request is not signed with %s", algorithm)
	}
	parts := map[string]string{}
	for _, part := range strings.Split(rest, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		parts[key] = value
	}
	scope := strings.Split(parts["Credential"], "/")
	if len(scope) < 5 || scope[len(scope)-1] != "aws4_request" {
		return s, refuse(Unsigned, "Credential must have exactly 5 slash-delimited elements, e.g."+
			" keyid/date/region/service/term")
	}
	n := len(scope)
	s.key, s.date, s.region, s.service = strings.Join(scope[:n-4], "/"), scope[n-4], scope[n-3], scope[n-2]
	s.headers = strings.Split(parts["SignedHeaders"], ";")
	var err error
	if s.signature, err = hex.DecodeString(parts["Signature"]); err != nil || len(s.signature) != sha256.Size {
		return s, refuse(Unsigned, "The signature is not 64 hexadecimal digits")
	}
	if s.time, err = time.Parse(amzTime, h.Get("X-Amz-Date")); err != nil {
		return s, refuse(Unsigned, "X-Amz-Date must be a time such as 20260102T030405Z")
	}
	if s.time.Format("20060102") != s.date {
		return s, refuse(Unsigned, "Date in Credential scope does not match YYYYMMDD from X-Amz-Date")
	}
	for _, needed := range []string{"host", "x-amz-date"} {
		if !slices.Contains(s.headers, needed) {
			return s, refuse(Unsigned, "%s must be one of the SignedHeaders", needed)
		}
	}
	return s, nil
}

// canonical is the request as it is signed.
func (s signature) canonical(r *http.Request, body []byte) (string, *SignatureError) {
	var b strings.Builder
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	fmt.Fprintf(&b, "%s\n%s\n%s\n", r.Method, path, canonicalQuery(r.URL.Query()))
	for i, name := range s.headers {
		if i > 0 && s.headers[i-1] >= name {
			return "", refuse(Unsigned, "SignedHeaders must be sorted")
		}
		value, there := headerOf(r, name)
		if !there {
			return "", refuse(BadSignature, "The header %s is signed, and the request has none", name)
		}
		fmt.Fprintf(&b, "%s:%s\n", name, value)
	}
	sum := sha256.Sum256(body)
	fmt.Fprintf(&b, "\n%s\n%x", strings.Join(s.headers, ";"), sum)
	return b.String(), nil
}

// headerOf is a header as it is signed. Package http keeps two of them elsewhere.
func headerOf(r *http.Request, name string) (string, bool) {
	switch name {
	case "host":
		return r.Host, true
	case "content-length":
		return strconv.FormatInt(r.ContentLength, 10), true
	}
	values := r.Header.Values(name)
	if len(values) == 0 {
		return "", false
	}
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = strings.Join(strings.Fields(v), " ")
	}
	return strings.Join(out, ","), true
}

// canonicalQuery has parameters by their names, and those of one name by their values.
func canonicalQuery(q url.Values) string {
	var pairs []string
	for _, key := range slices.Sorted(maps.Keys(q)) {
		for _, v := range slices.Sorted(slices.Values(q[key])) {
			pairs = append(pairs, escaped(key)+"="+escaped(v))
		}
	}
	return strings.Join(pairs, "&")
}

// escaped is a text in which all but RFC 3986's unreserved characters are escaped.
func escaped(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

func (s signature) sign(secret, canonical string) []byte {
	scope := strings.Join([]string{s.date, s.region, s.service, "aws4_request"}, "/")
	toSign := fmt.Sprintf("%s\n%s\n%s\n%x", algorithm, s.time.Format(amzTime), scope, sha256.Sum256([]byte(canonical)))
	key := []byte("AWS4" + secret)
	for _, part := range []string{s.date, s.region, s.service, "aws4_request"} {
		key = keyed(key, part)
	}
	return keyed(key, toSign)
}

func keyed(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
