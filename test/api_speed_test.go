package test

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/aliapi"
	"github.com/plinksim/plinksim/pkg/awsapi"
	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/topology"
)

// manyInstances is a lab of two accounts with pairs of VPCs, ten instances in each, and
// four endpoints from each VPC of the consumer. cloud and region are those of the file.
func manyInstances(cloud, region string, pairs int) []byte {
	var b, groups, balancers, services, endpoints strings.Builder
	fmt.Fprintf(&b, "name: apispeed\ncloud: %s\nregion: %s\naccounts: [provider, consumer]\n"+
		"quotas: {endpoints_per_vpc: 0}\nvpcs:\n", cloud, region)
	for n := range pairs {
		for _, side := range []string{"provider", "consumer"} {
			fmt.Fprintf(&b, "  %[1]s%[2]d:\n    account: %[1]s\n    cidr: 10.0.0.0/16\n"+
				"    subnets: {%[1]s%[2]d: {zone: %[3]sa, cidr: 10.0.0.0/20}}\n"+
				"    security_groups: {web: {ingress: [{protocol: tcp, source: 0.0.0.0/0}]}}\n    instances:\n", side, n, region)
			for i := range 10 {
				fmt.Fprintf(&b, "      %[1]s%[2]d-%[3]d: {subnet: %[1]s%[2]d, security_groups: [web], tags: {team: t%[3]d}}\n",
					side, n, i)
			}
		}
		fmt.Fprintf(&groups, "  g%[1]d: {vpc: provider%[1]d, protocol: tcp, servers: [{instance: provider%[1]d-0, port: 80}]}\n", n)
		fmt.Fprintf(&balancers, "  lb%[1]d: {type: nlb, vpc: provider%[1]d, subnets: [provider%[1]d], "+
			"listeners: [{protocol: tcp, port: 80, server_group: g%[1]d}]}\n", n)
		fmt.Fprintf(&services, "  svc%[1]d: {account: provider, resources: [lb%[1]d], auto_accept: true, whitelist: [consumer]}\n", n)
		for i := range 4 {
			fmt.Fprintf(&endpoints, "  ep%[1]d-%[3]d: {service: svc%[2]d, vpc: consumer%[1]d, subnets: [consumer%[1]d]}\n",
				n, (n+i)%pairs, i)
		}
	}
	return []byte(b.String() + "server_groups:\n" + groups.String() + "load_balancers:\n" + balancers.String() +
		"endpoint_services:\n" + services.String() + "endpoints:\n" + endpoints.String())
}

// apiCaller signs and sends calls.
type apiCaller struct {
	key    cloudapi.Key
	url    string
	client http.Client
	sign   func(key cloudapi.Key, r *http.Request, form url.Values) (body string)
}

// call sends an action with pairs of parameters.
func (c *apiCaller) call(action string, pairs ...string) error {
	form := url.Values{"Action": {action}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	r, err := http.NewRequest(http.MethodPost, c.url, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", formType)
	body := c.sign(c.key, r, form)
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	resp, err := c.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", action, text)
	}
	return err
}

const formType = "application/x-www-form-urlencoded"

// signAWS is SigV4 of the AWS IAM user guide, "Create a signed AWS API request", for EC2.
func signAWS(key cloudapi.Key, r *http.Request, form url.Values) string {
	form.Set("Version", "2016-11-15")
	body, date := form.Encode(), time.Now().UTC().Format("20060102T150405Z")
	sum := func(text string) string { s := sha256.Sum256([]byte(text)); return hex.EncodeToString(s[:]) }
	mac := func(key []byte, text string) []byte {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	scope := date[:8] + "/us-east-1/ec2/aws4_request"
	canonical := "POST\n/\n\ncontent-type:" + formType + "\nhost:" + r.Host + "\nx-amz-date:" + date +
		"\n\ncontent-type;host;x-amz-date\n" + sum(body)
	secret := []byte("AWS4" + key.Secret)
	for _, part := range strings.Split(scope, "/") {
		secret = mac(secret, part)
	}
	signature := hex.EncodeToString(mac(secret, "AWS4-HMAC-SHA256\n"+date+"\n"+scope+"\n"+sum(canonical)))
	r.Header.Set("X-Amz-Date", date)
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+key.ID+"/"+scope+
		", SignedHeaders=content-type;host;x-amz-date, Signature="+signature)
	return body
}

var aliNonce atomic.Int64

// signAlibaba is HMAC-SHA1 of "RPC mechanism" in the documentation of Alibaba Cloud's SDKs. The
// version is that of the product that has the action.
func signAlibaba(key cloudapi.Key, _ *http.Request, form url.Values) string {
	version := "2014-05-26" // ECS
	if strings.Contains(form.Get("Action"), "VpcEndpoint") {
		version = "2020-04-15"
	}
	for name, text := range map[string]string{"Version": version, "Format": "JSON", "AccessKeyId": key.ID,
		"SignatureMethod": "HMAC-SHA1", "SignatureVersion": "1.0", "RegionId": "eu-central-1",
		"SignatureNonce": fmt.Sprint(aliNonce.Add(1)), "Timestamp": time.Now().UTC().Format("2006-01-02T15:04:05Z")} {
		form.Set(name, text)
	}
	encode := func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
	h := hmac.New(sha1.New, []byte(key.Secret+"&"))
	h.Write([]byte("POST&%2F&" + encode(strings.ReplaceAll(form.Encode(), "+", "%20"))))
	form.Set("Signature", base64.StdEncoding.EncodeToString(h.Sum(nil)))
	return form.Encode()
}

// question is a call that asks; held: a lab answers it 500 times a second.
type question struct {
	held bool
	name string
	call []string
}

// serve lets an API answer until a context ends.
type serve func(context.Context, net.Listener) error

// door is an API of a cloud.
type door struct {
	cloud, region string
	open          func(cfg cloudapi.Config) (*cloudapi.Server, serve, error)
	sign          func(key cloudapi.Key, r *http.Request, form url.Values) string
	questions     func(vpc *topology.VPC, endpoint *topology.Endpoint) []question
	// create makes an endpoint in a VPC, with a client token.
	create func(vpc *topology.VPC, service *topology.EndpointService, token string) []string
}

var doors = []door{
	{"aws", "us-east-1", func(cfg cloudapi.Config) (*cloudapi.Server, serve, error) {
		api, err := awsapi.New(cfg)
		return api.Server, api.Serve, err
	}, signAWS, func(vpc *topology.VPC, endpoint *topology.Endpoint) []question {
		instance := vpc.Instances[3].ID
		return []question{
			{true, "one instance by its id", []string{"DescribeInstances", "InstanceId.1", instance}},
			{true, "50 instances, a page", []string{"DescribeInstances", "MaxResults", "50"}},
			{true, "the instances of a VPC", []string{"DescribeInstances", "Filter.1.Name", "vpc-id", "Filter.1.Value.1", vpc.ID}},
			{true, "an endpoint by its id", []string{"DescribeVpcEndpoints", "VpcEndpointId.1", endpoint.ID}},
			{true, "the interfaces of a subnet", []string{"DescribeNetworkInterfaces", "Filter.1.Name", "subnet-id",
				"Filter.1.Value.1", vpc.Subnets[0].ID}},
			{true, "the tags of an instance", []string{"DescribeTags", "Filter.1.Name", "resource-id", "Filter.1.Value.1",
				instance}},
			{false, "200 endpoints", []string{"DescribeVpcEndpoints"}},
			{false, "500 instances", []string{"DescribeInstances"}},
		}
	}, func(vpc *topology.VPC, service *topology.EndpointService, token string) []string {
		return []string{"CreateVpcEndpoint", "VpcEndpointType", "Interface", "VpcId", vpc.ID, "ServiceName",
			service.ServiceName, "SubnetId.1", vpc.Subnets[0].ID, "ClientToken", token}
	}},
	{"alibaba", "eu-central-1", func(cfg cloudapi.Config) (*cloudapi.Server, serve, error) {
		api, err := aliapi.New(cfg)
		return api.Server, api.Serve, err
	}, signAlibaba, func(vpc *topology.VPC, endpoint *topology.Endpoint) []question {
		instance := vpc.Instances[3].ID
		return []question{
			{true, "one instance by its id", []string{"DescribeInstances", "InstanceIds", `["` + instance + `"]`}},
			{true, "50 instances, a page", []string{"DescribeInstances", "PageSize", "50"}},
			{true, "the instances of a VPC", []string{"DescribeInstances", "VpcId", vpc.ID}},
			{true, "an endpoint by its id", []string{"GetVpcEndpointAttribute", "EndpointId", endpoint.ID}},
			{true, "the zones of an endpoint", []string{"ListVpcEndpointZones", "EndpointId", endpoint.ID}},
			{true, "the interfaces of a vSwitch", []string{"DescribeNetworkInterfaces", "VSwitchId", vpc.Subnets[0].ID}},
			{true, "the tags of an instance", []string{"ListTagResources", "ResourceType", "instance", "ResourceId.1",
				instance}},
			{false, "200 endpoints", []string{"ListVpcEndpoints", "MaxResults", "200"}},
			{false, "100 instances, a page", []string{"DescribeInstances", "PageSize", "100"}},
		}
	}, func(vpc *topology.VPC, service *topology.EndpointService, token string) []string {
		return []string{"CreateVpcEndpoint", "VpcId", vpc.ID, "ServiceId", service.ID, "Zone.1.ZoneId", "eu-central-1a",
			"Zone.1.VSwitchId", vpc.Subnets[0].ID, "ClientToken", token}
	}},
}

// The API of a lab with 1,000 instances answers 500 calls a second that ask for objects
// or pages, and an endpoint that it creates costs 5 ms more than the same edit.
func TestTheAPIOfALargeLabIsFast(t *testing.T) {
	testenv.NeedRoot(t)
	testenv.NeedTime(t)
	testenv.NeedNoRace(t)
	for _, d := range doors {
		t.Run(d.cloud, d.isFast)
	}
}

func (d door) isFast(t *testing.T) {
	const least, rounds, most = 500, 200, 5 * time.Millisecond
	l := upTimed(t, manyInstances(d.cloud, d.region, 50))
	api, serve, err := d.open(cloudapi.Config{Lab: l.Lab, Store: labdir.Of("apispeed")})
	require.NoError(t, err)
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { _ = serve(ctx, socket) })
	t.Cleanup(func() { stop(); serving.Wait() })
	keys := api.Keys()
	i := slices.IndexFunc(keys, func(k cloudapi.Key) bool { return k.Account == "consumer" })
	c := &apiCaller{key: keys[i], url: "http://" + socket.Addr().String() + "/", sign: d.sign}
	plan := l.Plan()

	fmt.Fprintf(os.Stderr, "%-60s %12s\n", d.cloud+", of 2 clients at once", "calls a s")
	var slow []string
	for _, q := range d.questions(&plan.VPCs[51], &plan.Endpoints[77]) {
		require.NoError(t, c.call(q.call[0], q.call[1:]...))
		rate, err := c.rate(q.call)
		require.NoError(t, err)
		fmt.Fprintf(os.Stderr, "%-60s %12.0f\n", q.call[0]+": "+q.name, rate)
		if q.held && rate < least {
			slow = append(slow, q.name)
		}
	}

	vpc, service := &plan.VPCs[1], &plan.Services[7]
	var edits, calls []time.Duration
	for n := range rounds {
		begin := time.Now()
		_, err := l.Edit(t.Context(), []topology.Edit{{Path: fmt.Sprintf("endpoints/new%d", n),
			Value: fmt.Sprintf("{service: %s, vpc: %s, subnets: [%s]}", service.Name, vpc.Name, vpc.Subnets[0].Name)}},
			10*time.Second)
		require.NoError(t, err)
		edits = append(edits, time.Since(begin))
		create := d.create(vpc, service, fmt.Sprint("token-", n))
		require.NoError(t, c.call(create[0], create[1:]...))
		log := api.Calls()
		calls = append(calls, time.Duration(log[len(log)-1].Millis*1e6))
	}
	more := median(calls) - median(edits)
	fmt.Fprintf(os.Stderr, "an endpoint, median of %d: the edit %.1f ms, CreateVpcEndpoint %.1f ms, %.1f ms more\n", rounds,
		ms(median(edits)), ms(median(calls)), ms(more))
	require.Empty(t, slow, "fewer than %d calls a second", least)
	require.LessOrEqual(t, more, most)
}

// rate is how often a second a call is answered to two clients at once.
func (c *apiCaller) rate(call []string) (float64, error) {
	var calls atomic.Int64
	var clients sync.WaitGroup
	var failed [2]error
	begin := time.Now()
	for n := range failed {
		clients.Go(func() {
			for time.Since(begin) < 2*time.Second && failed[n] == nil {
				failed[n] = c.call(call[0], call[1:]...)
				calls.Add(1)
			}
		})
	}
	clients.Wait()
	return float64(calls.Load()) / time.Since(begin).Seconds(), errors.Join(failed[:]...)
}
