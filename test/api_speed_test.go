package test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
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
	"github.com/plinksim/plinksim/pkg/awsapi"
	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/topology"
)

// manyAtAWS is a lab of two accounts with pairs of VPCs, ten instances in each, and
// four endpoints from each VPC of the consumer.
func manyAtAWS(pairs int) []byte {
	var b, groups, balancers, services, endpoints strings.Builder
	b.WriteString("name: apispeed\ncloud: aws\nregion: us-east-1\naccounts: [provider, consumer]\n" +
		"quotas: {endpoints_per_vpc: 0}\nvpcs:\n")
	for n := range pairs {
		for _, side := range []string{"provider", "consumer"} {
			fmt.Fprintf(&b, "  %[1]s%[2]d:\n    account: %[1]s\n    cidr: 10.0.0.0/16\n"+
				"    subnets: {%[1]s%[2]d: {zone: us-east-1a, cidr: 10.0.0.0/20}}\n"+
				"    security_groups: {web: {ingress: [{protocol: tcp, source: 0.0.0.0/0}]}}\n    instances:\n", side, n)
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

// awsCaller signs and sends calls of EC2.
type awsCaller struct {
	key    awsapi.Key
	url    string
	client http.Client
}

// call sends an action with pairs of parameters. SigV4 is that of the AWS IAM user guide,
// "Create a signed AWS API request".
func (c *awsCaller) call(action string, pairs ...string) (string, error) {
	form := url.Values{"Action": {action}, "Version": {"2016-11-15"}}
	for i := 0; i+1 < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	body, date := form.Encode(), time.Now().UTC().Format("20060102T150405Z")
	r, err := http.NewRequest(http.MethodPost, c.url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	const kind = "application/x-www-form-urlencoded"
	sum := func(text string) string { s := sha256.Sum256([]byte(text)); return hex.EncodeToString(s[:]) }
	mac := func(key []byte, text string) []byte {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	scope := date[:8] + "/us-east-1/ec2/aws4_request"
	canonical := "POST\n/\n\ncontent-type:" + kind + "\nhost:" + r.Host + "\nx-amz-date:" + date +
		"\n\ncontent-type;host;x-amz-date\n" + sum(body)
	key := []byte("AWS4" + c.key.Secret)
	for _, part := range strings.Split(scope, "/") {
		key = mac(key, part)
	}
	signature := hex.EncodeToString(mac(key, "AWS4-HMAC-SHA256\n"+date+"\n"+scope+"\n"+sum(canonical)))
	r.Header.Set("Content-Type", kind)
	r.Header.Set("X-Amz-Date", date)
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+c.key.ID+"/"+scope+
		", SignedHeaders=content-type;host;x-amz-date, Signature="+signature)
	resp, err := c.client.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", action, text)
	}
	return string(text), err
}

// The API of a lab with 1,000 instances answers 500 calls a second that ask for objects
// or pages, and an endpoint that it creates costs 5 ms more than the same edit.
func TestTheAPIOfALargeLabIsFast(t *testing.T) {
	testenv.NeedRoot(t)
	testenv.NeedTime(t)
	testenv.NeedNoRace(t)
	const least, rounds, most = 500, 200, 5 * time.Millisecond
	l := upTimed(t, manyAtAWS(50))
	api, err := awsapi.New(cloudapi.Config{Lab: l.Lab, Store: labdir.Of("apispeed")})
	require.NoError(t, err)
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { api.Serve(ctx, socket) })
	t.Cleanup(func() { stop(); serving.Wait() })
	keys := api.Keys()
	i := slices.IndexFunc(keys, func(k awsapi.Key) bool { return k.Account == "consumer" })
	c := &awsCaller{key: keys[i], url: "http://" + socket.Addr().String() + "/"}
	plan := l.Plan()
	instance, endpoint := plan.VPCs[51].Instances[3].ID, plan.Endpoints[77].ID

	fmt.Fprintf(os.Stderr, "%-60s %12s\n", "call, of 2 clients at once", "calls a s")
	var slow []string
	for _, q := range []struct {
		held bool
		name string
		call []string
	}{
		{true, "one instance by its id", []string{"DescribeInstances", "InstanceId.1", instance}},
		{true, "50 instances, a page", []string{"DescribeInstances", "MaxResults", "50"}},
		{true, "the instances of a VPC", []string{"DescribeInstances", "Filter.1.Name", "vpc-id", "Filter.1.Value.1",
			plan.VPCs[51].ID}},
		{true, "an endpoint by its id", []string{"DescribeVpcEndpoints", "VpcEndpointId.1", endpoint}},
		{true, "the interfaces of a subnet", []string{"DescribeNetworkInterfaces", "Filter.1.Name", "subnet-id",
			"Filter.1.Value.1", plan.VPCs[51].Subnets[0].ID}},
		{true, "the tags of an instance", []string{"DescribeTags", "Filter.1.Name", "resource-id", "Filter.1.Value.1",
			instance}},
		{false, "200 endpoints", []string{"DescribeVpcEndpoints"}},
		{false, "500 instances", []string{"DescribeInstances"}},
	} {
		var calls atomic.Int64
		var clients sync.WaitGroup
		var failed [2]error
		_, err := c.call(q.call[0], q.call[1:]...)
		require.NoError(t, err)
		begin := time.Now()
		for n := range failed {
			clients.Go(func() {
				for time.Since(begin) < 2*time.Second && failed[n] == nil {
					_, failed[n] = c.call(q.call[0], q.call[1:]...)
					calls.Add(1)
				}
			})
		}
		clients.Wait()
		require.NoError(t, failed[0])
		require.NoError(t, failed[1])
		rate := float64(calls.Load()) / time.Since(begin).Seconds()
		fmt.Fprintf(os.Stderr, "%-60s %12.0f\n", q.call[0]+": "+q.name, rate)
		if q.held && rate < least {
			slow = append(slow, q.name)
		}
	}

	vpc := plan.VPCs[1]
	service := plan.Services[7]
	var edits, calls []time.Duration
	for n := range rounds {
		begin := time.Now()
		_, err := l.Edit(t.Context(), []topology.Edit{{Path: fmt.Sprintf("endpoints/new%d", n),
			Value: fmt.Sprintf("{service: %s, vpc: %s, subnets: [%s]}", service.Name, vpc.Name, vpc.Subnets[0].Name)}},
			10*time.Second)
		require.NoError(t, err)
		edits = append(edits, time.Since(begin))
		_, err = c.call("CreateVpcEndpoint", "VpcEndpointType", "Interface", "VpcId", vpc.ID, "ServiceName",
			service.ServiceName, "SubnetId.1", vpc.Subnets[0].ID, "ClientToken", fmt.Sprint("token-", n))
		require.NoError(t, err)
		log := api.Calls()
		calls = append(calls, time.Duration(log[len(log)-1].Millis*1e6))
	}
	more := median(calls) - median(edits)
	fmt.Fprintf(os.Stderr, "an endpoint, median of %d: the edit %.1f ms, CreateVpcEndpoint %.1f ms, %.1f ms more\n", rounds,
		ms(median(edits)), ms(median(calls)), ms(more))
	require.Empty(t, slow, "fewer than %d calls a second", least)
	require.LessOrEqual(t, more, most)
}
