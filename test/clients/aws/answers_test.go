package aws

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/stretchr/testify/require"
)

// answering gives every request the same answer.
type answering []byte

func (a answering) Do(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/xml"}},
		Body: io.NopCloser(bytes.NewReader(a))}, nil
}

// clientOf is a client of a service that gets an answer to whatever it asks for.
func clientOf(t *testing.T, service string, answer []byte) reflect.Value {
	cfg := aws.Config{
		Region: "us-east-1", HTTPClient: answering(answer), BaseEndpoint: aws.String("http://127.0.0.1:9"),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIAX", SecretAccessKey: "x"}, nil
		}),
	}
	switch service {
	case "ec2":
		return reflect.ValueOf(ec2.NewFromConfig(cfg))
	case "elasticloadbalancing":
		return reflect.ValueOf(elbv2.NewFromConfig(cfg))
	case "sts":
		return reflect.ValueOf(sts.NewFromConfig(cfg))
	}
	t.Fatalf("there is no client of %s", service)
	return reflect.Value{}
}

// fill gives what a request needs: the SDK checks that before it sends.
func fill(v reflect.Value, depth int) {
	if depth > 4 {
		return
	}
	for i := range v.NumField() {
		f := v.Field(i)
		if !f.CanSet() || v.Type().Field(i).Anonymous {
			continue
		}
		switch f.Kind() {
		case reflect.Pointer:
			f.Set(reflect.New(f.Type().Elem()))
			if f.Elem().Kind() == reflect.Struct && f.Type().Elem() != reflect.TypeFor[time.Time]() {
				fill(f.Elem(), depth+1)
			} else if f.Elem().Kind() == reflect.String {
				f.Elem().SetString("x")
			}
		case reflect.Slice:
			if f.Type().Elem().Kind() == reflect.Struct {
				one := reflect.New(f.Type().Elem())
				fill(one.Elem(), depth+1)
				f.Set(reflect.Append(f, one.Elem()))
			} else if f.Type().Elem().Kind() == reflect.String {
				f.Set(reflect.Append(f, reflect.New(f.Type().Elem()).Elem()))
			}
		case reflect.String:
			f.SetString("x")
		}
	}
}

// texts are all values of an answer as the SDK gives them.
func texts(v reflect.Value, into map[string]int) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			texts(v.Elem(), into)
		}
	case reflect.Struct:
		if at, ok := v.Interface().(time.Time); ok {
			into[at.UTC().Format("2006-01-02T15:04:05.000Z")]++
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && v.Type().Field(i).Name != "ResultMetadata" {
				texts(v.Field(i), into)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			texts(v.Index(i), into)
		}
	default:
		into[fmt.Sprint(v.Interface())]++
	}
}

type element struct {
	XMLName xml.Name
	Text    string    `xml:",chardata"`
	Below   []element `xml:",any"`
}

// written are all values of an answer as it was written.
func written(e element, into map[string]int) {
	for _, b := range e.Below {
		switch name := b.XMLName.Local; {
		case name == "requestId" || name == "ResponseMetadata" || name == "return" && len(b.Below) == 0:
		case len(b.Below) > 0:
			written(b, into)
		case strings.TrimSpace(b.Text) != "":
			into[b.Text]++
		}
	}
}

// The SDK takes every answer, and finds all that is in it.
func TestTheSDKReadsEveryAnswer(t *testing.T) {
	files, err := filepath.Glob("../../../pkg/awsapi/testdata/answers/*.xml")
	require.NoError(t, err)
	require.Greater(t, len(files), 90)
	for _, file := range files {
		service, operation, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".xml"), "-")
		answer, err := os.ReadFile(file)
		require.NoError(t, err)
		method := clientOf(t, service, answer).MethodByName(operation)
		require.True(t, method.IsValid(), "the SDK has no %s", operation)
		input := reflect.New(method.Type().In(1).Elem())
		fill(input.Elem(), 0)
		results := method.Call([]reflect.Value{reflect.ValueOf(t.Context()), input})
		require.Nil(t, results[1].Interface(), "%s: %v", operation, results[1])
		var tree element
		require.NoError(t, xml.Unmarshal(answer, &tree))
		want, got := map[string]int{}, map[string]int{}
		written(tree, want)
		texts(results[0], got)
		for text, n := range want {
			require.GreaterOrEqual(t, got[text], n, "%s: %q is in the answer and not in what the SDK gives",
				operation, text)
		}
	}
}
