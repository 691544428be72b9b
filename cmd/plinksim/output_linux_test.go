package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim"
	"github.com/plinksim/plinksim/internal/testenv"
	"github.com/plinksim/plinksim/pkg/plinktest"
	"github.com/plinksim/plinksim/pkg/status"
)

// Everything that the commands print about each topology that the program carries is
// what "plinksim schema" says, and no field is missing there. A short run takes one of four.
func TestTheOutputFitsItsSchema(t *testing.T) {
	inOwnState(t)
	type result struct {
		code        int
		out, errors bytes.Buffer
	}
	topologies := plinksim.Topologies()
	if testing.Short() {
		topologies = topologies[:len(topologies)/4]
	}
	checks := map[string]chan *result{}
	for _, topology := range topologies {
		testenv.NeedPrograms(t, topology.Programs...)
		fits(t, "up", file(t, topology))
		done := make(chan *result, 1)
		checks[topology.Name] = done
		go func() { // which takes long, as packets are awaited that do not come
			r := new(result)
			r.code = run(t.Context(), []string{"check", "-o", "json", topology.Name}, &r.out, &r.errors)
			done <- r
		}()
	}
	for _, topology := range topologies {
		t.Run(topology.Name, func(t *testing.T) {
			t.Setenv("PLINKSIM_LAB", topology.Name)
			checked := <-checks[topology.Name]
			require.Zero(t, checked.code, checked.errors.String())
			holds(t, checked.out.Bytes(), "check")
			var now status.Lab
			require.NoError(t, json.Unmarshal(fits(t, "status"), &now))
			for _, command := range []string{
				"sessions", "connection list", "endpoint list", "service list", "server list", "nat gateway list", "nat ip list",
				"nat entry list", "fault show", "events",
			} {
				fits(t, strings.Split(command, " ")...)
			}
			instances := map[string]string{} // one of each VPC
			for _, vpc := range now.VPCs {
				for _, i := range vpc.Instances {
					instances[vpc.Name] = i.Name
				}
			}
			for _, ep := range now.Endpoints {
				fits(t, "endpoint", "show", ep.Name)
				fits(t, "dns", "query", ep.Domain, "--from", instances[ep.VPC])
				explained, _, _ := printed(t, "explain", instances[ep.VPC], ep.Name+":80") // which fails where it does not pass
				holds(t, explained, "explain")
			}
			for _, svc := range now.Services {
				fits(t, "service", "show", svc.Name)
				fits(t, "service", "whitelist", "list", svc.Name)
			}
			for _, g := range now.NATGateways {
				fits(t, "nat", "gateway", "show", g.Name)
			}
		})
	}
}

// The same of commands that change something, and of those that are about no lab.
func TestTheOutputOfChangesFitsItsSchema(t *testing.T) {
	inOwnState(t)
	starter, _ := builtIn("starter")
	lab := file(t, starter)
	for _, command := range []string{
		"version", "ls", "doctor", "api operations", "api operations --cloud alibaba --all", "diff " + lab,
		"up --dry-run " + lab, "up --api 127.0.0.1:0 " + lab, "diff " + lab, "ls", "api keys", "api calls", "edit list",
		"accept my-service my-endpoint", "reject my-service my-endpoint", "connection accept my-service my-endpoint",
		"service set my-service --description text", "service set my-service auto_accept=true",
		"endpoint create another service=my-service vpc=app-vpc subnets=private", "edit list", "edit set transition 1ms",
		"edit delete transition", "instance stop web-2", "instance start web-2", "restart web-1",
		"server weight web-servers web-1:80 10", "fault set my-endpoint --delay 1ms --loss 1%",
		"fault down my-endpoint", "status", "fault up my-endpoint", "fault clear", "account create third", "events",
		"up " + lab,
	} {
		fits(t, strings.Split(command, " ")...)
	}
	text, _, code := printed(t, "replay", "alibaba-clb", "--in", "ep1=../../testdata/packets/alibaba-clb-consumer.pcap",
		"--out", t.TempDir())
	require.Zero(t, code)
	holds(t, text, "replay")
}

// inOwnState lets the commands of a test have labs of their own, until it ends.
func inOwnState(t *testing.T) {
	plinktest.Require(t)
	state, err := os.MkdirTemp("", "plinksim") // a socket's path must be short
	require.NoError(t, err)
	t.Setenv("PLINKSIM_STATE_DIR", filepath.Join(state, "run"))
	t.Setenv(programVariable, "1")
	t.Cleanup(func() {
		require.Zero(t, run(context.Background(), []string{"down", "--all"}, io.Discard, os.Stderr))
		require.NoError(t, os.RemoveAll(state))
	})
}

func file(t *testing.T, topology plinksim.Topology) string {
	name := filepath.Join(t.TempDir(), topology.Name+".yaml")
	require.NoError(t, os.WriteFile(name, []byte(topology.Text()), 0o600))
	return name
}

// printed is what a command prints with "-o json".
func printed(t *testing.T, args ...string) (out []byte, errors string, code int) {
	var stdout, stderr bytes.Buffer
	if args[0] != "replay" { // which prints nothing else
		args = append(args, "-o", "json")
	}
	code = run(t.Context(), args, &stdout, &stderr)
	return stdout.Bytes(), stderr.String(), code
}

// fits runs a command and holds what it prints to its schema.
func fits(t *testing.T, args ...string) []byte {
	t.Helper()
	text, errors, code := printed(t, args...)
	require.Zero(t, code, "plinksim %s: %s", strings.Join(args, " "), errors)
	holds(t, text, args...)
	return text
}

// holds holds each value that a command printed to its schema.
func holds(t *testing.T, text []byte, args ...string) {
	t.Helper()
	schema := strictSchema(t, args)
	values := json.NewDecoder(bytes.NewReader(text))
	for n := 0; values.More() || n == 0; n++ {
		var value any
		require.NoError(t, values.Decode(&value), "plinksim %s: %s", strings.Join(args, " "), text)
		require.NoError(t, schema.Validate(value), "plinksim %s", strings.Join(args, " "))
	}
}

// strictSchema is what "plinksim schema" prints of a command, which is the longest that
// args begins with, and without leave for further fields.
func strictSchema(t *testing.T, args []string) *jsonschema.Resolved {
	all, err := readOutputSchema()
	require.NoError(t, err)
	for len(args) > 1 && all.Defs[commandPrefix+strings.Join(args, " ")] == nil {
		args = args[:len(args)-1]
	}
	var out, errors bytes.Buffer
	require.Zero(t, run(t.Context(), append([]string{"schema"}, args...), &out, &errors), errors.String())
	var s jsonschema.Schema
	require.NoError(t, json.Unmarshal(out.Bytes(), &s))
	for _, def := range s.Defs {
		if def.Properties != nil {
			def.AdditionalProperties = &jsonschema.Schema{Not: &jsonschema.Schema{}}
		}
	}
	resolved, err := s.Resolve(nil)
	require.NoError(t, err)
	return resolved
}
