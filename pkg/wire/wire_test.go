package wire

import (
	"bufio"
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/golden"
)

// The recorded requests are of AWS CLI 1.45.11 (cli-) and of aws-sdk-go-v2 1.48.0
// (go-); each access key has the secret "secret".
func recorded(t testing.TB) (names []string, requests []*http.Request, bodies [][]byte) {
	t.Helper()
	return recordedIn(t, "testdata/requests")
}

func recordedIn(t testing.TB, dir string) (names []string, requests []*http.Request, bodies [][]byte) {
	t.Helper()
	files, err := filepath.Glob(dir + "/*.req")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(text)))
		require.NoError(t, err, file)
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err, file)
		names, requests, bodies = append(names, filepath.Base(file)), append(requests, r), append(bodies, body)
	}
	return names, requests, bodies
}

func secretOfAll(string) (Secret, bool) { return Secret{Key: "secret"}, true }

func timeOf(t testing.TB, r *http.Request) time.Time {
	at, err := time.Parse(amzTime, r.Header.Get("X-Amz-Date"))
	require.NoError(t, err)
	return at
}

func TestRecordedRequestsAreVerifiedAndDecoded(t *testing.T) {
	var out strings.Builder
	names, requests, bodies := recorded(t)
	for i, r := range requests {
		v := Verifier{Secret: secretOfAll, Region: "us-east-1", Window: time.Minute}
		signed, err := v.Verify(r, bodies[i], timeOf(t, r))
		require.Nil(t, err, names[i])
		s := Find(AWS(), signed.Service)
		require.NotNil(t, s, names[i])
		form, parseErr := url.ParseQuery(string(bodies[i]))
		require.NoError(t, parseErr)
		require.Equal(t, s.Version, form.Get("Version"))
		op := s.Operations[form.Get("Action")]
		require.NotNil(t, op, names[i])
		values, refused := Decode(op, form)
		require.Nil(t, refused, names[i])
		text, jsonErr := json.Marshal(values)
		require.NoError(t, jsonErr)
		fmt.Fprintf(&out, "%s %s %s\n\t%s\n", names[i], signed.AccessKey, op.Name, text)
	}
	golden.Equal(t, "testdata/requests.txt", out.String())
}

func TestWhatIsWrongWithASignatureIsTold(t *testing.T) {
	_, requests, bodies := recorded(t)
	for _, row := range []struct {
		name   string
		change func(r *http.Request, body []byte, v *Verifier, now *time.Time) []byte
		want   Fault
	}{
		{"no signature", func(r *http.Request, b []byte, _ *Verifier, _ *time.Time) []byte {
			r.Header.Del("Authorization")
			return b
		}, Unsigned},
		{"another algorithm", func(r *http.Request, b []byte, _ *Verifier, _ *time.Time) []byte {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "AWS4-HMAC", "AWS9-HMAC", 1))
			return b
		}, Unsigned},
		{"the host is not signed", func(r *http.Request, b []byte, _ *Verifier, _ *time.Time) []byte {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "host;", "", 1))
			return b
		}, Unsigned},
		{"another host", func(r *http.Request, b []byte, _ *Verifier, _ *time.Time) []byte {
			r.Host = "evil.example:4566"
			return b
		}, BadSignature},
		{"another body", func(_ *http.Request, b []byte, _ *Verifier, _ *time.Time) []byte {
			return append(bytes.Clone(b), []byte("&DryRun=true")...)
		}, BadSignature},
		{"another secret", func(_ *http.Request, b []byte, v *Verifier, _ *time.Time) []byte {
			v.Secret = func(string) (Secret, bool) { return Secret{Key: "Secret"}, true }
			return b
		}, BadSignature},
		{"nobody's key", func(_ *http.Request, b []byte, v *Verifier, _ *time.Time) []byte {
			v.Secret = func(string) (Secret, bool) { return Secret{}, false }
			return b
		}, UnknownKey},
		{"a temporary key without its token", func(_ *http.Request, b []byte, v *Verifier, _ *time.Time) []byte {
			v.Secret = func(string) (Secret, bool) { return Secret{Key: "secret", Token: "token"}, true }
			return b
		}, BadToken},
		{"a token that the key has not", func(r *http.Request, b []byte, _ *Verifier, _ *time.Time) []byte {
			r.Header.Set("X-Amz-Security-Token", "token")
			return b
		}, BadToken},
		{"an old request", func(_ *http.Request, b []byte, _ *Verifier, now *time.Time) []byte {
			*now = now.Add(61 * time.Second)
			return b
		}, OutsideWindow},
		{"one of the future", func(_ *http.Request, b []byte, _ *Verifier, now *time.Time) []byte {
			*now = now.Add(-61 * time.Second)
			return b
		}, OutsideWindow},
		{"another time in the header", func(r *http.Request, b []byte, _ *Verifier, _ *time.Time) []byte {
			r.Header.Set("X-Amz-Date", "20261129T000000Z")
			return b
		}, BadSignature},
		{"another region", func(_ *http.Request, b []byte, v *Verifier, _ *time.Time) []byte {
			v.Region = "eu-west-1"
			return b
		}, OtherScope},
	} {
		for i := range requests {
			r := requests[i].Clone(t.Context())
			now := timeOf(t, r)
			v := Verifier{Secret: secretOfAll, Region: "us-east-1", Window: time.Minute}
			body := row.change(r, bodies[i], &v, &now)
			_, err := v.Verify(r, body, now)
			require.NotNil(t, err, row.name)
			require.Equal(t, row.want, err.Fault, "%s: %v", row.name, err)
		}
	}
}

// No part of a signed request can be changed.
func FuzzSignature(f *testing.F) {
	_, requests, bodies := recorded(f)
	for i, r := range requests {
		f.Add(r.Header.Get("Authorization"), r.Header.Get("X-Amz-Date"), bodies[i])
	}
	f.Fuzz(func(t *testing.T, authorization, date string, body []byte) {
		r := requests[0].Clone(t.Context())
		r.Header.Set("Authorization", authorization)
		r.Header.Set("X-Amz-Date", date)
		r.ContentLength = int64(len(body))
		v := Verifier{Secret: secretOfAll, Region: "us-east-1", Window: 1000 * 24 * time.Hour}
		if _, err := v.Verify(r, body, timeOf(t, requests[0])); err != nil {
			return
		}
		// Whatever passes was signed with the secret: only recorded bodies are.
		for i := range bodies {
			if bytes.Equal(bodies[i], body) {
				return
			}
		}
		t.Fatalf("a signature was made up: %q %q", authorization, body)
	})
}

func operation(t testing.TB, service, name string) *Operation {
	op := Find(AWS(), service).Operations[name]
	require.NotNil(t, op, name)
	return op
}

func TestParametersAreHeldToTheDescription(t *testing.T) {
	const ec2, elb = "ec2", "elasticloadbalancing"
	for _, row := range []struct {
		service, name, form string
		want                string // JSON, or the error
	}{
		{ec2, "CreateVpc", "CidrBlock=10.0.0.0/16&DryRun=true", `{"CidrBlock":"10.0.0.0/16","DryRun":true}`},
		{ec2, "CreateVpc", "Cidr=10.0.0.0/16", "UnknownParameter: The parameter Cidr is not recognized"},
		{ec2, "CreateVpc", "DryRun=maybe",
			"InvalidParameterValue: Value (maybe) for parameter DryRun is invalid. It must be true or false."},
		{ec2, "CreateVpc", "CidrBlock.1=10.0.0.0/16", "UnknownParameter: The parameter CidrBlock.1 is not recognized"},
		{ec2, "CreateVpc", "InstanceTenancy=rented",
			"InvalidParameterValue: Value (rented) for parameter InstanceTenancy is invalid." +
				" It must be one of default, dedicated, host."},
		{ec2, "DeleteVpc", "", "MissingParameter: The request must contain the parameter VpcId"},
		{ec2, "DescribeVpcs", "Filter.1.Name=tag:a&Filter.1.Value.1=x&Filter.1.Value.2=y",
			`{"Filters":[{"Name":"tag:a","Values":["x","y"]}]}`},
		{ec2, "DescribeVpcs", "VpcId.10=c&VpcId.2=b&VpcId.1=a", `{"VpcIds":["a","b","c"]}`},
		{ec2, "DescribeVpcs", "VpcId.member.1=a", "UnknownParameter: The parameter VpcId.member is not recognized"},
		{ec2, "DescribeVpcs", "VpcId.01=a", "UnknownParameter: The parameter VpcId.01 is not recognized"},
		{ec2, "DescribeVpcs", "VpcId=", `{"VpcIds":[]}`},
		{elb, "SetSubnets", "LoadBalancerArn=a&Subnets.member.1=s", `{"LoadBalancerArn":"a","Subnets":["s"]}`},
		{elb, "SetSubnets", "Subnets.member.1=s", "ValidationError: 'LoadBalancerArn' must not be null"},
		{elb, "SetSubnets", "LoadBalancerArn=a&Sub=s", "ValidationError: The parameter Sub is not recognized"},
		{elb, "CreateTargetGroup", "Name=t&Port=eighty",
			"ValidationError: Value (eighty) for parameter Port is invalid. It must be a whole number."},
	} {
		form, err := url.ParseQuery(row.form)
		require.NoError(t, err)
		values, refused := Decode(operation(t, row.service, row.name), form)
		if refused != nil {
			require.Equal(t, row.want, refused.Error(), row.form)
			continue
		}
		text, err := json.Marshal(values)
		require.NoError(t, err)
		require.JSONEq(t, row.want, string(text), row.form)
	}
}

// What a client may send is decoded or refused, by a client's error, and binding
// it to nothing names all of it.
func FuzzDecode(f *testing.F) {
	names, _, bodies := recorded(f)
	for i := range names {
		f.Add(string(bodies[i]))
	}
	f.Add("Action=RunInstances&A.B.C.D.E.F.G.H.I.J.K.L.M.N.O.P.Q.R=1")
	f.Fuzz(func(t *testing.T, body string) {
		form, err := url.ParseQuery(body)
		if err != nil {
			return
		}
		for _, s := range AWS() {
			op := s.Operations[form.Get("Action")]
			if op == nil {
				continue
			}
			values, refused := Decode(op, form)
			if refused != nil {
				require.Equal(t, 400, refused.HTTPStatus())
				continue
			}
			require.Len(t, Bind(values, &struct{}{}), len(values))
		}
	})
}

func TestBindNamesWhatNobodyUses(t *testing.T) {
	form, err := url.ParseQuery("ImageId=ami-1&MinCount=1&MaxCount=2&DryRun=false" +
		"&TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=Name&TagSpecification.1.Tag.1.Value=web" +
		"&TagSpecification.2.Tag.1.Key=a&Placement.Tenancy=default")
	require.NoError(t, err)
	values, refused := Decode(operation(t, "ec2", "RunInstances"), form)
	require.Nil(t, refused)
	var in struct {
		ImageId           string
		MinCount          int
		DryRun            *bool
		EbsOptimized      *bool
		TagSpecifications []struct {
			Tags []struct{ Key string }
		}
	}
	require.NoError(t, CheckFields(operation(t, "ec2", "RunInstances").Input, reflect.TypeOf(in)))
	unused := Bind(values, &in)
	require.Equal(t, []string{
		"MaxCount", "Placement", "TagSpecifications.ResourceType", "TagSpecifications.Tags.Value",
	}, unused)
	require.Equal(t, "ami-1", in.ImageId)
	require.Equal(t, 1, in.MinCount)
	require.NotNil(t, in.DryRun)
	require.False(t, *in.DryRun)
	require.Nil(t, in.EbsOptimized)
	require.Equal(t, "Name", in.TagSpecifications[0].Tags[0].Key)
	require.Equal(t, "a", in.TagSpecifications[1].Tags[0].Key)
	require.ErrorContains(t, CheckFields(operation(t, "ec2", "CreateVpc").Input,
		reflect.TypeFor[struct{ Cidr string }]()), "there is no Cidr")
	require.ErrorContains(t, CheckFields(operation(t, "ec2", "CreateVpc").Input,
		reflect.TypeFor[struct{ CidrBlock int }]()), "CidrBlock is a string and not a int")
}

func TestAnswersHaveTheFormOfTheirProtocol(t *testing.T) {
	for _, row := range []struct {
		service, name string
		answer        M
		want          string // without the first line
	}{
		{"ec2", "CreateVpc", M{"Vpc": M{"VpcId": "vpc-1", "IsDefault": false, "Tags": []M{{"Key": "a",
			"Value": "<&>"}}}},
			`<CreateVpcResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15"><requestId>r-1</requestId><vpc>` +
				`<isDefault>false</isDefault><tagSet><item><key>a</key><value>&lt;&amp;&gt;</value></item></tagSet>` +
				`<vpcId>vpc-1</vpcId></vpc></CreateVpcResponse>`},
		{"ec2", "DeleteVpc", nil,
			`<DeleteVpcResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15"><requestId>r-1</requestId>` +
				`<return>true</return></DeleteVpcResponse>`},
		{"ec2", "DescribeVpcs", M{"Vpcs": []M{}},
			`<DescribeVpcsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15"><requestId>r-1</requestId>` +
				`<vpcSet></vpcSet></DescribeVpcsResponse>`},
		{"sts", "GetCallerIdentity", M{"Account": "1"},
			`<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>` +
				`<Account>1</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>r-1</RequestId>` +
				`</ResponseMetadata></GetCallerIdentityResponse>`},
		{"elasticloadbalancing", "DeleteListener", nil,
			`<DeleteListenerResponse xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/">` +
				`<DeleteListenerResult></DeleteListenerResult><ResponseMetadata><RequestId>r-1</RequestId>` +
				`</ResponseMetadata></DeleteListenerResponse>`},
	} {
		text, err := Encode(operation(t, row.service, row.name), row.answer, "r-1")
		require.NoError(t, err)
		require.Equal(t, xml.Header+row.want, string(text))
	}
	_, err := Encode(operation(t, "ec2", "CreateVpc"), M{"Vpc": M{"Id": "vpc-1"}}, "r-1")
	require.EqualError(t, err, "CreateVpc.Vpc has no Id")
	_, err = Encode(operation(t, "ec2", "CreateVpc"), M{"Vpc": M{"VpcId": 7}}, "r-1")
	require.EqualError(t, err, "CreateVpc.Vpc.VpcId is a string and not a int")
}

func TestErrorsHaveTheFormOfTheirProtocol(t *testing.T) {
	e := Errorf("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", "vpc-1")
	require.Equal(t, xml.Header+`<Response><Errors><Error><Code>InvalidVpcID.NotFound</Code>`+
		`<Message>The vpc ID &#39;vpc-1&#39; does not exist</Message></Error></Errors><RequestID>r-1</RequestID></Response>`,
		string(EncodeError(Find(AWS(), "ec2"), e, "r-1")))
	require.Equal(t, xml.Header+`<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>`+
		`<Code>InvalidVpcID.NotFound</Code><Message>The vpc ID &#39;vpc-1&#39; does not exist</Message></Error>`+
		`<RequestId>r-1</RequestId></ErrorResponse>`, string(EncodeError(Find(AWS(), "sts"), e, "r-1")))
}

func TestWildcards(t *testing.T) {
	for _, row := range []struct {
		pattern, text string
		want          bool
	}{
		{"web", "web", true},
		{"web", "Web", false},
		{"web*", "web", true},
		{"web*", "web-1", true},
		{"*b*b", "web-1-b", true},
		{"w?b", "web", true},
		{"w?b", "wb", false},
		{"*", "", true},
		{`\*`, "*", true},
		{`\*`, "a", false},
		{`a\?`, "a?", true},
		{`a\?`, "ab", false},
		{"", "a", false},
	} {
		require.Equal(t, row.want, Wildcard(row.pattern, row.text), "%q %q", row.pattern, row.text)
	}
	// An exponential matcher would never come back from this.
	require.False(t, Wildcard(strings.Repeat("*a", 200)+"b", strings.Repeat("a", 5000)))
}

func TestPagesAreOfOneQuestion(t *testing.T) {
	all := []int{1, 2, 3, 4, 5}
	question := Values{"VpcIds": []any{"a"}, "MaxResults": int64(2)}
	first, next, ok := Page(all, 2, "", question)
	require.True(t, ok)
	require.Equal(t, []int{1, 2}, first)
	second, next2, ok := Page(all, 3, next, Values{"VpcIds": []any{"a"}, "MaxResults": int64(3), "NextToken": next})
	require.True(t, ok)
	require.Equal(t, []int{3, 4, 5}, second)
	require.Empty(t, next2)
	_, _, ok = Page(all, 2, next, Values{"VpcIds": []any{"b"}})
	require.False(t, ok, "the token of another question")
	_, _, ok = Page(all, 2, "nonsense", question)
	require.False(t, ok)
	shorter, _, ok := Page([]int{1}, 2, next, question)
	require.True(t, ok, "what was deleted meanwhile ends the list")
	require.Empty(t, shorter)
}

// Every shape of the descriptions is one of the known kinds, all the way down.
func TestTheDescriptionsAreWhole(t *testing.T) {
	var walk func(s *Shape, seen map[*Shape]bool)
	walk = func(s *Shape, seen map[*Shape]bool) {
		if seen[s] {
			return
		}
		seen[s] = true
		require.NotEmpty(t, s.Kind)
		for _, m := range s.Members {
			walk(m.Shape, seen)
		}
		if s.Element != nil {
			walk(s.Element, seen)
		}
	}
	for _, s := range AWS() {
		require.NotEmpty(t, s.Operations)
		require.NotEmpty(t, s.Others)
		seen := map[*Shape]bool{}
		for _, op := range s.Operations {
			for _, shape := range []*Shape{op.Input, op.Output} {
				if shape != nil {
					walk(shape, seen)
				}
			}
		}
	}
}
