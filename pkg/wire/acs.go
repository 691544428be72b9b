package wire

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// ACSRequest is a request to an API of Alibaba Cloud, in whichever shape it came: parameters
// in the query, in a form in the body, or in both.
type ACSRequest struct {
	Action, Version string
	Format          Format
	// Parameters are those of the operation and the common ones.
	Parameters url.Values

	signed signedACS
}

// ReadACS reads a request with its body. It says nothing of the signature.
func ReadACS(r *http.Request, body []byte) (*ACSRequest, *Error) {
	if r.URL.Path != "/" || r.Method != http.MethodPost && r.Method != http.MethodGet {
		return nil, &Error{Code: "InvalidAction.NotFound", Status: http.StatusNotFound,
			Message: "Specified api is not found, please check your url and method."}
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, Errorf("InvalidParameter", "The query cannot be read: %v", err)
	}
	form, refused := bodyForm(r, body)
	if refused != nil {
		return nil, refused
	}
	out := &ACSRequest{Parameters: url.Values{}, Format: JSON}
	for _, values := range []url.Values{query, form} {
		for key, texts := range values {
			out.Parameters[key] = append(out.Parameters[key], texts...)
		}
	}
	if authorization := r.Header.Get("Authorization"); strings.HasPrefix(authorization, "ACS3-") {
		out.Action, out.Version = r.Header.Get("X-Acs-Action"), r.Header.Get("X-Acs-Version")
		if strings.Contains(r.Header.Get("Accept"), "xml") {
			out.Format = XML
		}
		out.signed = &acs3{r: r, body: body, query: query}
		return out, nil
	}
	p := out.Parameters
	out.Action, out.Version = p.Get("Action"), p.Get("Version")
	// Without a word of it an answer is XML (Alibaba Cloud, "Common parameters", Format).
	if !strings.EqualFold(p.Get("Format"), "JSON") {
		out.Format = XML
	}
	out.signed = &rpc1{method: r.Method, parameters: p}
	return out, nil
}

// bodyForm are the parameters in a body.
func bodyForm(r *http.Request, body []byte) (url.Values, *Error) {
	if len(body) == 0 {
		return nil, nil
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, Errorf("UnsupportedContentType", "The body must be a form: application/x-www-form-urlencoded")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, Errorf("InvalidParameter", "The form cannot be read: %v", err)
	}
	return form, nil
}

// signedACS is a request with one of the two signatures.
type signedACS interface {
	// read gives the access key, the session token and the time, and what the signature is.
	read() (key, token, at string, _ *SignatureError)
	// valid says whether the signature is that of a secret.
	valid(secret string) bool
	nonce() string
}

// Nonce is what tells the request from others that are like it; no two that are signed have
// the same.
func (r *ACSRequest) Nonce() string { return r.signed.nonce() }

// ACSVerifier verifies requests that are signed with ACS3-HMAC-SHA256 (Alibaba Cloud SDK
// documentation, "Request syntax and signature method V3") or with HMAC-SHA1 in parameters
// ("RPC mechanism", signature version 1.0).
type ACSVerifier struct {
	// Secret is what belongs to an access key, false where nobody has it.
	Secret func(accessKey string) (Secret, bool)
	// Window is how far a request's time may be from now.
	Window time.Duration
}

// Verify checks the signature of a request at a time, and says which key signed it.
func (v ACSVerifier) Verify(r *ACSRequest, now time.Time) (accessKey string, _ *SignatureError) {
	key, token, at, err := r.signed.read()
	if err != nil {
		return "", err
	}
	signedAt, wrong := time.Parse(timeOfACS, at)
	if wrong != nil {
		return "", refuse(Unsigned, "The time %q of the request must be one such as 2026-01-02T03:04:05Z", at)
	}
	secret, known := v.Secret(key)
	if !known {
		return "", refuse(UnknownKey, "Specified access key is not found.")
	}
	if subtle.ConstantTimeCompare([]byte(token), []byte(secret.Token)) != 1 {
		return "", refuse(BadToken, "Specified SecurityToken mismatch with the AccessKey.")
	}
	if !r.signed.valid(secret.Key) {
		return "", refuse(BadSignature, "Specified signature is not matched with our calculation.")
	}
	if off := now.Sub(signedAt).Abs(); off > v.Window {
		return "", refuse(OutsideWindow, "Specified time stamp or date value is expired: the request was signed at %s,"+
			" and it is %s.", at, now.UTC().Format(timeOfACS))
	}
	return key, nil
}

// acs3 is a request that is signed in headers.
type acs3 struct {
	r     *http.Request
	body  []byte
	query url.Values

	headers   []string // that are signed, lower case
	signature []byte
}

// algorithmOfACS is the one that SDKs use; there are others, with RSA and SM3.
const algorithmOfACS = "ACS3-HMAC-SHA256"

func (s *acs3) read() (key, token, at string, _ *SignatureError) {
	name, rest, _ := strings.Cut(s.r.Header.Get("Authorization"), " ")
	if name != algorithmOfACS {
		return "", "", "", refuse(Unsigned, "The request must be signed with %s", algorithmOfACS)
	}
	parts := map[string]string{}
	for _, p := range strings.Split(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		parts[name] = value
	}
	s.headers = strings.Split(parts["SignedHeaders"], ";")
	var err error
	if s.signature, err = hex.DecodeString(parts["Signature"]); err != nil || len(s.signature) != sha256.Size {
		return "", "", "", refuse(Unsigned, "The signature is not 64 hexadecimal digits")
	}
	for _, needed := range []string{"host", "x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce",
		"x-acs-content-sha256"} {
		if !slices.Contains(s.headers, needed) {
			return "", "", "", refuse(Unsigned, "%s must be one of the SignedHeaders", needed)
		}
	}
	for name := range s.r.Header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-acs-") && !slices.Contains(s.headers, name) {
			return "", "", "", refuse(Unsigned, "%s must be one of the SignedHeaders", name)
		}
	}
	h := s.r.Header
	return parts["Credential"], h.Get("X-Acs-Security-Token"), h.Get("X-Acs-Date"), nil
}

func (s *acs3) nonce() string { return s.r.Header.Get("X-Acs-Signature-Nonce") }

func (s *acs3) valid(secret string) bool {
	payload := fmt.Sprintf("%x", sha256.Sum256(s.body))
	if subtle.ConstantTimeCompare([]byte(payload), []byte(s.r.Header.Get("X-Acs-Content-Sha256"))) != 1 {
		return false
	}
	return hmac.Equal(s.signature, s.sign(secret, payload))
}

func (s *acs3) sign(secret, payload string) []byte {
	var b strings.Builder
	path := s.r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	fmt.Fprintf(&b, "%s\n%s\n%s\n", s.r.Method, path, canonicalQuery(s.query))
	for _, name := range s.headers {
		fmt.Fprintf(&b, "%s:%s\n", name, s.header(name))
	}
	fmt.Fprintf(&b, "\n%s\n%s", strings.Join(s.headers, ";"), payload)
	return keyed([]byte(secret), fmt.Sprintf("%s\n%x", algorithmOfACS, sha256.Sum256([]byte(b.String()))))
}

// header is a header as it is signed: several values are sorted.
func (s *acs3) header(name string) string {
	if name == "host" {
		return s.r.Host
	}
	var out []string
	for _, v := range s.r.Header.Values(name) {
		out = append(out, strings.TrimSpace(v))
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}

// rpc1 is a request that is signed in parameters.
type rpc1 struct {
	method     string
	parameters url.Values
}

func (s *rpc1) read() (key, token, at string, _ *SignatureError) {
	p := s.parameters
	if p.Get("AccessKeyId") == "" || p.Get("Signature") == "" {
		return "", "", "", refuse(Unsigned, "The request signature does not conform to Aliyun standards.")
	}
	if p.Get("SignatureMethod") != "HMAC-SHA1" || p.Get("SignatureVersion") != "1.0" || p.Get("SignatureNonce") == "" {
		return "", "", "", refuse(Unsigned,
			"The request must be signed with SignatureMethod HMAC-SHA1, SignatureVersion 1.0 and a SignatureNonce")
	}
	for name, values := range p {
		if len(values) > 1 {
			return "", "", "", refuse(Unsigned, "The parameter %s is there twice", name)
		}
	}
	return p.Get("AccessKeyId"), p.Get("SecurityToken"), p.Get("Timestamp"), nil
}

func (s *rpc1) nonce() string { return s.parameters.Get("SignatureNonce") }

func (s *rpc1) valid(secret string) bool {
	given, err := base64.StdEncoding.Strict().DecodeString(s.parameters.Get("Signature"))
	return err == nil && hmac.Equal(given, s.sign(secret))
}

func (s *rpc1) sign(secret string) []byte {
	signed := url.Values{}
	for name, values := range s.parameters {
		if name != "Signature" {
			signed[name] = values
		}
	}
	h := hmac.New(sha1.New, []byte(secret+"&"))
	h.Write([]byte(s.method + "&%2F&" + escaped(canonicalQuery(signed))))
	return h.Sum(nil)
}
