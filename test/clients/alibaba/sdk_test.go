package alibaba

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/client"
	openutil "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	rpc "github.com/alibabacloud-go/tea-rpc/client"
	util "github.com/alibabacloud-go/tea-utils/service"
	"github.com/alibabacloud-go/tea/dara"
	"github.com/alibabacloud-go/tea/tea"
	acserrors "github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/ecs"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/nlb"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/privatelink"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/slb"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/sts"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/vpc"
	"github.com/stretchr/testify/require"
)

// params are parameters of a call: texts, numbers, booleans, lists, and params in params.
type params map[string]any

// sdk calls operations by a library for clients.
type sdk interface {
	// call gives the answer, and the code of a refusal as err.
	call(product, action string, p params) (any, error)
}

// refused is a refusal.
type refused struct{ code, message string }

func (r *refused) Error() string { return r.code + ": " + r.message }

// sdks are the libraries, with how a client of each is made for a lab.
var sdks = []struct {
	name    string
	connect func(t *testing.T, address string, k key) sdk
}{
	{"alibaba-cloud-sdk-go", connectClassic},
	{"tea-rpc", connectTea},
	{"darabonba-openapi", connectDarabonba},
}

// versions are the products' versions.
var versions = map[string]string{"privatelink": "2020-04-15", "vpc": "2016-04-28", "ecs": "2014-05-26",
	"slb": "2014-05-15", "nlb": "2022-04-30", "sts": "2015-04-01"}

// classic is alibaba-cloud-sdk-go: a type for every request and answer.
type classic struct {
	t       *testing.T
	address string
	clients map[string]reflect.Value
}

func connectClassic(t *testing.T, address string, k key) sdk {
	c := &classic{t, address, map[string]reflect.Value{}}
	add := func(product string, client any, err error) {
		require.NoError(t, err)
		c.clients[product] = reflect.ValueOf(client)
	}
	link, err := privatelink.NewClientWithAccessKey(region, k.ID, k.Secret)
	add("privatelink", link, err)
	network, err := vpc.NewClientWithAccessKey(region, k.ID, k.Secret)
	add("vpc", network, err)
	compute, err := ecs.NewClientWithAccessKey(region, k.ID, k.Secret)
	add("ecs", compute, err)
	classicBalancers, err := slb.NewClientWithAccessKey(region, k.ID, k.Secret)
	add("slb", classicBalancers, err)
	balancers, err := nlb.NewClientWithAccessKey(region, k.ID, k.Secret)
	add("nlb", balancers, err)
	identity, err := sts.NewClientWithAccessKey(region, k.ID, k.Secret)
	add("sts", identity, err)
	return c
}

func (c *classic) call(product, action string, p params) (any, error) {
	method := c.clients[product].MethodByName(action)
	require.True(c.t, method.IsValid(), "the SDK has no %s of %s", action, product)
	request := reflect.New(method.Type().In(0).Elem())
	base := &requests.RpcRequest{}
	base.InitWithApiInfo(product, versions[product], action, product, "openAPI")
	base.Method, base.Scheme, base.Domain = requests.POST, requests.HTTP, c.address
	request.Elem().FieldByName("RpcRequest").Set(reflect.ValueOf(base))
	fill(c.t, request.Elem(), p)
	results := method.Call([]reflect.Value{request})
	if err, _ := results[1].Interface().(error); err != nil {
		var told acserrors.Error
		if errors.As(err, &told) && told.HttpStatus() != 0 {
			return nil, &refused{told.ErrorCode(), told.Message()}
		}
		return nil, err
	}
	return results[0].Interface(), nil
}

// fill gives the fields of a request their values, by the names of parameters.
func fill(t *testing.T, v reflect.Value, p params) {
	for name, value := range p {
		done := false
		for i := range v.NumField() {
			if v.Type().Field(i).Tag.Get("name") == name {
				set(t, v.Field(i), value)
				done = true
			}
		}
		require.True(t, done, "%s has no %s", v.Type(), name)
	}
}

func set(t *testing.T, v reflect.Value, value any) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		set(t, v.Elem(), value)
	case reflect.Struct:
		fill(t, v, value.(params))
	case reflect.Slice:
		all := reflect.ValueOf(value)
		for i := range all.Len() {
			one := reflect.New(v.Type().Elem()).Elem()
			set(t, one, all.Index(i).Interface())
			v.Set(reflect.Append(v, one))
		}
	default:
		v.SetString(fmt.Sprint(value)) // numbers and booleans are texts of a type of their own
	}
}

// teaRPC is tea-rpc, called as Terraform's provider does (aliyun/terraform-provider-alicloud,
// alicloud/connectivity/client.go, RpcPost).
type teaRPC struct{ client *rpc.Client }

func connectTea(t *testing.T, address string, k key) sdk {
	client, err := rpc.NewClient(&rpc.Config{AccessKeyId: &k.ID, AccessKeySecret: &k.Secret, Endpoint: &address,
		Protocol: tea.String("HTTP"), RegionId: tea.String(region)})
	require.NoError(t, err)
	return teaRPC{client}
}

func (c teaRPC) call(product, action string, p params) (any, error) {
	body := plain(p).(map[string]any)
	body["RegionId"] = region
	return c.post(product, action, nil, body)
}

// post puts some parameters into the query and others into the body.
func (c teaRPC) post(product, action string, query, body map[string]any) (any, error) {
	out, err := c.client.DoRequest(&action, nil, tea.String("POST"), tea.String(versions[product]), tea.String("AK"),
		query, body, &util.RuntimeOptions{})
	return out, refusal(err)
}

// refusal is an error of the newer SDKs as a refusal, where it is one.
func refusal(err error) error {
	var told *tea.SDKError
	if errors.As(err, &told) && tea.StringValue(told.Code) != "" {
		return &refused{tea.StringValue(told.Code), tea.StringValue(told.Message)}
	}
	return err
}

// plain are parameters without a type of their own, which tea-rpc does not look into.
func plain(value any) any {
	switch v := value.(type) {
	case params:
		out := map[string]any{}
		for name, one := range v {
			out[name] = plain(one)
		}
		return out
	case []params:
		out := []any{}
		for _, one := range v {
			out = append(out, plain(one))
		}
		return out
	}
	return value
}

// darabonba is what the newer SDKs of all products call.
type darabonba struct{ client *openapi.Client }

func connectDarabonba(t *testing.T, address string, k key) sdk {
	client, err := openapi.NewClient(&openutil.Config{AccessKeyId: &k.ID, AccessKeySecret: &k.Secret, Endpoint: &address,
		Protocol: tea.String("HTTP"), RegionId: tea.String(region)})
	require.NoError(t, err)
	return darabonba{client}
}

func (c darabonba) call(product, action string, p params) (any, error) {
	asked := &openutil.OpenApiRequest{}
	flat := openutil.Query(plain(p))
	if product == "nlb" {
		asked.Body = openutil.ParseToMap(flat)
	} else {
		flat["RegionId"] = tea.String(region)
		asked.Query = flat
	}
	out, err := c.client.CallApi(&openutil.Params{Action: &action, Version: tea.String(versions[product]),
		Protocol: tea.String("HTTP"), Method: tea.String("POST"), AuthType: tea.String("AK"), Style: tea.String("RPC"),
		Pathname: tea.String("/"), ReqBodyType: tea.String("formData"), BodyType: tea.String("json")}, asked,
		&dara.RuntimeOptions{})
	return out["body"], refusal(err)
}

// answer is an answer, as the library gave it.
type answer struct{ value any }

// at is the text that a path leads to, "" where there is nothing: Zones.0.ZoneId.
func (a answer) at(path string) string {
	now := a.value
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
	if now == nil {
		return ""
	}
	return fmt.Sprint(now)
}

// texts are the texts of a member of all objects of a list: Endpoints, EndpointId.
func (a answer) texts(list, member string) (out []string) {
	for i := 0; a.at(list+"."+strconv.Itoa(i)) != ""; i++ {
		out = append(out, a.at(list+"."+strconv.Itoa(i)+"."+member))
	}
	return out
}

// list are the objects of a list.
func (a answer) list(path string) (out []answer) {
	for _, name := range strings.Split(path, ".") {
		of, _ := a.value.(map[string]any)
		a.value = of[name]
	}
	objects, _ := a.value.([]any)
	for _, one := range objects {
		out = append(out, answer{one})
	}
	return out
}

// account is a client with the key of an account.
type account struct {
	t *testing.T
	sdk
	number string
}

func (l *lab) account(name string, connect func(t *testing.T, address string, k key) sdk) account {
	for _, k := range l.keys {
		if k.Account == name {
			return account{l.t, connect(l.t, l.address, k), k.Number}
		}
	}
	l.t.Fatalf("there is no account %q", name)
	return account{}
}

// do calls an operation, which must be done.
func (a account) do(product, action string, p params) answer {
	a.t.Helper()
	out, err := a.call(product, action, p)
	require.NoError(a.t, err, action)
	return normal(a.t, out)
}

// normal is an answer as JSON has it, whatever the library gives.
func normal(t *testing.T, out any) answer {
	t.Helper()
	text, err := json.Marshal(out)
	require.NoError(t, err)
	return read(t, text)
}

// read is an answer in JSON.
func read(t *testing.T, text []byte) (a answer) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	require.NoError(t, d.Decode(&a.value), "%s", text)
	return a
}

// code calls an operation, which must be refused, and gives the code.
func (a account) code(product, action string, p params) string {
	a.t.Helper()
	_, err := a.call(product, action, p)
	var told *refused
	require.ErrorAs(a.t, err, &told, action)
	return told.code
}

func (a account) link(action string, p params) answer {
	a.t.Helper()
	return a.do("privatelink", action, p)
}

// until calls an operation again until a path of its answer leads to a text.
func (a account) until(product, action string, p params, path, want string) answer {
	a.t.Helper()
	var got answer
	require.Eventually(a.t, func() bool {
		got = a.do(product, action, p)
		return got.at(path) == want
	}, 10*time.Second, 20*time.Millisecond, "%s: %s is never %s", action, path, want)
	return got
}
