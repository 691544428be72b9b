package wire

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/golden"
)

var verifierOfACS = ACSVerifier{Secret: secretOfAll, Window: time.Minute}

// timeOfACSRequest is when a recorded request was signed.
func timeOfACSRequest(t testing.TB, r *ACSRequest) time.Time {
	_, _, at, refused := r.signed.read()
	require.Nil(t, refused)
	when, err := time.Parse(timeOfACS, at)
	require.NoError(t, err)
	return when
}

// The recorded requests are of alibaba-cloud-sdk-go 1.63.107 (v1-classic-sdk), tea-rpc 1.2.0
// (v1-tea-rpc-terraform), darabonba-openapi 2.1.13 (v3-darabonba) and the aliyun CLI; each
// access key has the secret "secret".
func TestRecordedRequestsOfAlibabaAreVerifiedAndDecoded(t *testing.T) {
	var out strings.Builder
	names, requests, bodies := recordedIn(t, "testdata/alibaba")
	require.Greater(t, len(names), 19)
	for i, r := range requests {
		asked, refused := ReadACS(r, bodies[i])
		require.Nil(t, refused, names[i])
		key, wrong := verifierOfACS.Verify(asked, timeOfACSRequest(t, asked))
		require.Nil(t, wrong, names[i])
		at := slices.IndexFunc(Alibaba(), func(s *Service) bool { return s.Version == asked.Version })
		require.GreaterOrEqual(t, at, 0, names[i])
		op := Alibaba()[at].Operations[asked.Action]
		require.NotNil(t, op, names[i])
		values, unknown, refused := DecodeACS(op, asked.Parameters)
		require.Nil(t, refused, names[i])
		text, err := json.Marshal(values)
		require.NoError(t, err)
		fmt.Fprintf(&out, "%s %s %s %s\n\t%s %s\n", names[i], key, op.Name, asked.Format, text, unknown)
	}
	golden.Equal(t, "testdata/alibaba.txt", out.String())
}

func TestAnotherSecretDoesNotVerify(t *testing.T) {
	_, requests, bodies := recordedIn(t, "testdata/alibaba")
	for i, r := range requests {
		asked, refused := ReadACS(r, bodies[i])
		require.Nil(t, refused)
		now := timeOfACSRequest(t, asked)
		for _, row := range []struct {
			verifier ACSVerifier
			now      time.Time
			want     Fault
		}{
			{ACSVerifier{func(string) (Secret, bool) { return Secret{Key: "Secret"}, true }, time.Minute}, now,
				BadSignature},
			{ACSVerifier{func(string) (Secret, bool) { return Secret{}, false }, time.Minute}, now, UnknownKey},
			{ACSVerifier{func(string) (Secret, bool) { return Secret{Key: "secret", Token: "t"}, true }, time.Minute}, now,
				BadToken},
			{verifierOfACS, now.Add(61 * time.Second), OutsideWindow},
			{verifierOfACS, now.Add(-61 * time.Second), OutsideWindow},
		} {
			_, wrong := row.verifier.Verify(asked, row.now)
			require.NotNil(t, wrong)
			require.Equal(t, row.want, wrong.Fault)
		}
	}
}

// flipped are a text with one byte changed, at every place.
func flipped(text string) (out []string) {
	for i := range len(text) {
		b := []byte(text)
		b[i] ^= 1
		out = append(out, string(b))
	}
	return out
}

// One byte that differs in what is signed, at every place of it: the method, the host, names
// and values of parameters in the query and in the body, and headers.
func TestAByteThatDiffersDoesNotVerify(t *testing.T) {
	names, requests, bodies := recordedIn(t, "testdata/alibaba")
	tried := 0
	for i, original := range requests {
		asked, refused := ReadACS(original, bodies[i])
		require.Nil(t, refused)
		now := timeOfACSRequest(t, asked)
		try := func(what string, change func(r *http.Request), body []byte) {
			r := original.Clone(t.Context())
			change(r)
			asked, refused := ReadACS(r, body)
			if refused != nil {
				return
			}
			tried++
			_, wrong := verifierOfACS.Verify(asked, now)
			require.NotNil(t, wrong, "%s: %s", names[i], what)
		}
		nothing := func(*http.Request) {}
		try("method", func(r *http.Request) { r.Method = "GET" }, bodies[i])
		for _, query := range flipped(original.URL.RawQuery) {
			before, err := url.ParseQuery(query)
			if err != nil || before.Encode() == original.URL.Query().Encode() {
				continue // %2f and %2F
			}
			try("query "+query, func(r *http.Request) { r.URL.RawQuery = query }, bodies[i])
		}
		v3 := original.Header.Get("Authorization") != ""
		for _, body := range flipped(string(bodies[i])) {
			form, err := url.ParseQuery(body)
			before, _ := url.ParseQuery(string(bodies[i]))
			if err != nil || !v3 && form.Encode() == before.Encode() {
				continue
			}
			try("body "+body, nothing, []byte(body))
		}
		if !v3 {
			continue
		}
		for _, host := range flipped(original.Host) {
			try("host "+host, func(r *http.Request) { r.Host = host }, bodies[i])
		}
		for name := range original.Header {
			if !strings.HasPrefix(name, "X-Acs-") {
				continue
			}
			for _, value := range flipped(original.Header.Get(name)) {
				try(name+" "+value, func(r *http.Request) { r.Header.Set(name, value) }, bodies[i])
			}
		}
		try("a header that is not signed", func(r *http.Request) { r.Header.Set("X-Acs-Other", "x") }, bodies[i])
		try("a body", nothing, []byte("x"))
	}
	require.Greater(t, tried, 5000)
}

// The example of darabonba-openapi's own test (alibabacloud-go/darabonba-openapi,
// utils/client_test.go) but for its method and path, which it leaves out.
func TestTheExampleOfASignatureV3(t *testing.T) {
	s := &acs3{r: &http.Request{Method: "POST", URL: &url.URL{Path: "/"}, Host: "127.0.0.1:8080", Header: http.Header{
		"X-Acs-Action": {"GetVpcEndpointAttribute"}, "X-Acs-Version": {"2020-04-15"},
		"X-Acs-Date": {"2026-11-20T00:00:00Z"}, "X-Acs-Signature-Nonce": {"0123456789abcdef"},
		"X-Acs-Content-Sha256": {"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
	}}, query: url.Values{"EndpointId": {"ep-hp33b2e43fays7s8aaaa"}, "RegionId": {"cn-huhehaote"}},
		headers: []string{"host", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-signature-nonce",
			"x-acs-version"}}
	require.Equal(t, "b68b430b11f0d3328e7efea993b89ba3cf1dd52748679952bd6eb4f1a632349f",
		hex.EncodeToString(s.sign("testsecret", s.r.Header.Get("X-Acs-Content-Sha256"))))
}

// The example of "RPC mechanism" in the documentation of Alibaba Cloud's SDKs.
func TestTheExampleOfASignatureV1(t *testing.T) {
	s := &rpc1{method: "GET", parameters: url.Values{
		"AccessKeyId": {"testid"}, "Action": {"DescribeRegions"}, "Format": {"XML"}, "SignatureMethod": {"HMAC-SHA1"},
		"SignatureNonce": {"3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf"}, "SignatureVersion": {"1.0"},
		"Timestamp": {"2016-02-23T12:46:24Z"}, "Version": {"2014-05-26"},
	}}
	require.Equal(t, "OLeaidS1JvxuMvnyHOwuJ+uX5qY=", base64.StdEncoding.EncodeToString(s.sign("testsecret")))
}

func operationOfACS(t testing.TB, service, name string) *Operation {
	t.Helper()
	s := Find(Alibaba(), service)
	require.NotNil(t, s)
	require.NotNil(t, s.Operations[name])
	return s.Operations[name]
}

func decodeACS(t testing.TB, op *Operation, pairs ...string) (Values, []string, *Error) {
	t.Helper()
	form := url.Values{"RegionId": {"eu-central-1"}}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return DecodeACS(op, form)
}

// A list is the same flat and as JSON.
func TestAListIsFlatOrJSON(t *testing.T) {
	op := operationOfACS(t, "nlb", "CreateLoadBalancer")
	flat, unknown, err := decodeACS(t, op, "ZoneMappings.1.ZoneId", "b", "ZoneMappings.1.VSwitchId", "vsw-2",
		"ZoneMappings.2.ZoneId", "c", "DeletionProtectionConfig.Reason", "x")
	require.Nil(t, err)
	require.Empty(t, unknown)
	asJSON, unknown, err := decodeACS(t, op, "ZoneMappings", `[{"ZoneId":"b","VSwitchId":"vsw-2"},{"ZoneId":"c"}]`,
		"DeletionProtectionConfig", `{"Reason":"x"}`)
	require.Nil(t, err)
	require.Empty(t, unknown)
	require.Equal(t, flat, asJSON)
	lower, _, err := decodeACS(t, operationOfACS(t, "privatelink", "AddZoneToVpcEndpoint"), "EndpointId", "e", "ZoneId",
		"z", "VSwitchId", "v", "ip", "10.0.0.1")
	require.Nil(t, err)
	require.Equal(t, "10.0.0.1", lower["Ip"])
}

func TestWhatAlibabaToleratesAndWhatNot(t *testing.T) {
	op := operationOfACS(t, "privatelink", "EnableVpcEndpointConnection")
	values, unknown, err := decodeACS(t, op, "ServiceId", "s", "EndpointId", "e", "Bandwidth", "200", "Color", "red",
		"EndpointId.1", "x", "DryRun", "")
	require.Nil(t, err)
	require.Equal(t, []string{"EndpointId.1", "Color"}, unknown)
	require.Equal(t, Values{"RegionId": "eu-central-1", "ServiceId": "s", "EndpointId": "e", "Bandwidth": int64(200)},
		values)
	for _, row := range []struct {
		name, code string
		pairs      []string
	}{
		{"a parameter is missing", "MissingServiceId", []string{"EndpointId", "e"}},
		{"a number is a word", "InvalidParameter", []string{"EndpointId", "e", "ServiceId", "s", "Bandwidth", "much"}},
		{"a truth is a word", "InvalidParameter", []string{"EndpointId", "e", "ServiceId", "s", "DryRun", "maybe"}},
		{"a parameter is there twice", "InvalidParameter", []string{"EndpointId", "e", "ServiceId", "s", "ServiceId", "t"}},
	} {
		_, _, err := decodeACS(t, op, row.pairs...)
		require.NotNil(t, err, row.name)
		require.Equal(t, row.code, err.Code, row.name)
	}
	create := operationOfACS(t, "nlb", "CreateLoadBalancer")
	for _, text := range []string{"[{", "x", strings.Repeat("[", 40) + strings.Repeat("]", 40), `[{}] [{}]`} {
		_, _, err := decodeACS(t, create, "ZoneMappings", text)
		require.NotNil(t, err, text)
	}
}

func TestAnswersOfAlibabaAreJSONOrXML(t *testing.T) {
	op := operationOfACS(t, "privatelink", "ListVpcEndpointConnections")
	answer := M{"TotalCount": 1, "MaxResults": 50, "Connections": []M{{"EndpointId": "ep-1", "Bandwidth": 1024,
		"ModifiedTime": time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), "Zones": []M{{"ZoneId": "b"}, {"ZoneId": "<c>"}}}}}
	text, err := EncodeACS(op, answer, "R-1", JSON)
	require.NoError(t, err)
	require.JSONEq(t, `{"RequestId":"R-1","Connections":[{"Bandwidth":1024,"EndpointId":"ep-1","ModifiedTime":`+
		`"2026-01-02T03:04:05Z","Zones":[{"ZoneId":"b"},{"ZoneId":"<c>"}]}],"MaxResults":50,"TotalCount":"1"}`,
		string(text))
	text, err = EncodeACS(op, answer, "R-1", XML)
	require.NoError(t, err)
	require.Equal(t, xml.Header+"<ListVpcEndpointConnectionsResponse><RequestId>R-1</RequestId><Connections>"+
		"<Bandwidth>1024</Bandwidth><EndpointId>ep-1</EndpointId><ModifiedTime>2026-01-02T03:04:05Z</ModifiedTime><Zones>"+
		"<ZoneId>b</ZoneId></Zones><Zones><ZoneId>&lt;c&gt;</ZoneId></Zones></Connections><MaxResults>50</MaxResults>"+
		"<TotalCount>1</TotalCount></ListVpcEndpointConnectionsResponse>", string(text))
	_, err = EncodeACS(op, M{"Color": "red"}, "R-1", JSON)
	require.ErrorContains(t, err, "ListVpcEndpointConnections has no Color")
	_, err = EncodeACS(op, M{"MaxResults": "many"}, "R-1", JSON)
	require.Error(t, err)
	require.JSONEq(t, `{"RequestId":"R-2","HostId":"h","Code":"EndpointNotFound","Message":"no"}`,
		string(EncodeErrorACS(Errorf("EndpointNotFound", "no"), "R-2", "h", JSON)))
}

// What a client sends is read or refused, and a signature that is not one of the key never
// verifies.
func FuzzACSRequest(f *testing.F) {
	_, requests, bodies := recordedIn(f, "testdata/alibaba")
	for i, r := range requests {
		var b bytes.Buffer
		_ = r.Write(&b)
		f.Add(b.Bytes(), bodies[i])
	}
	f.Fuzz(func(t *testing.T, head, body []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
		if err != nil {
			return
		}
		asked, refused := ReadACS(r, body)
		if refused != nil {
			return
		}
		v := ACSVerifier{Secret: func(string) (Secret, bool) { return Secret{Key: "of nobody"}, true }, Window: time.Hour}
		if _, wrong := v.Verify(asked, time.Date(2026, 11, 29, 11, 21, 0, 0, time.UTC)); wrong == nil {
			t.Fatalf("%q verifies", head)
		}
	})
}

// Whatever a form has, it is decoded or refused, and what was decoded can be told apart.
func FuzzDecodeACS(f *testing.F) {
	f.Add("nlb", "CreateLoadBalancer", `ZoneMappings=[{"ZoneId":"b"}]&ZoneMappings.2.ZoneId=c`)
	f.Add("privatelink", "CreateVpcEndpoint", "VpcId=v&Zone.1.ip=10.0.0.1&Zone.9.ZoneId=a&Zone.x=1")
	f.Add("ecs", "RunInstances", "Tag.1.Key=a&Tag.1.Value=b&Amount=1")
	f.Fuzz(func(t *testing.T, service, name, text string) {
		s := Find(Alibaba(), service)
		if s == nil || s.Operations[name] == nil {
			return
		}
		form, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		values, _, refused := DecodeACS(s.Operations[name], form)
		if refused == nil {
			values.Hash()
		}
	})
}
