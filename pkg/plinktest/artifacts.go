package plinktest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// CaptureOnFailure lets a test that fails leave behind what a stranger needs to
// see why, in the test's artifact directory (go test -artifacts, -outputdir):
// capture.pcapng with every packet at every ENI, status.json, sessions.json,
// events.txt, names.txt with the questions to the resolvers, and explain.json with
// what becomes of a packet from each instance to each endpoint of its VPC. The
// test's output says what dropped packets.
func CaptureOnFailure() Option { return func(s *settings) { s.keeps = true } }

// mostQuestions bounds how many questions are kept, the latest.
const mostQuestions = 10_000

// artifacts are what is collected while a test runs.
type artifacts struct {
	lab     *Lab
	dir     string
	capture *os.File

	mu        sync.Mutex
	questions []string
}

// keepArtifacts collects until the test ends, before the lab does.
func (l *Lab) keepArtifacts() {
	l.t.Helper()
	a := &artifacts{lab: l, dir: l.t.ArtifactDir()}
	file, err := os.Create(filepath.Join(a.dir, "capture.pcapng"))
	if err != nil {
		l.t.Fatal(err)
	}
	stream, err := l.lab.Capture(status.CaptureOptions{})
	if err != nil {
		l.t.Fatal(errors.Join(err, file.Close()))
	}
	a.capture = file
	ctx, cancel := context.WithCancel(context.Background())
	var collecting sync.WaitGroup
	var captured error
	out := bufio.NewWriter(file)
	collecting.Go(func() { captured = stream.Write(ctx, out, func() {}) })
	collecting.Go(func() { _ = l.lab.WatchQueries(ctx, "", a.asked) })
	l.t.Cleanup(func() {
		cancel()
		stream.Close()
		collecting.Wait()
		if err := errors.Join(captured, out.Flush(), file.Close(), a.end()); err != nil {
			l.t.Errorf("lab %q: keep what happened: %v", l.Plan().Name, err)
		}
	})
}

func (a *artifacts) asked(q status.NameQuery) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.questions) == mostQuestions {
		a.questions = slices.Delete(a.questions, 0, mostQuestions/2)
	}
	a.questions = append(a.questions, fmt.Sprintf("%s %s %s asks %s %s: %s %s (%s)",
		q.Time.UTC().Format(timeFormat), q.VPC, q.From, q.Name, q.Type, q.Code, strings.Join(q.Data, ", "), q.Source))
}

const timeFormat = "2006-01-02T15:04:05.000000Z"

// end writes the rest where the test has failed, and removes all where it has not.
func (a *artifacts) end() error {
	if !a.lab.t.Failed() {
		return os.Remove(a.capture.Name())
	}
	a.lab.t.Logf("lab %q: %s\nwhat happened is in %s", a.lab.Plan().Name, a.lab.Drops(), a.dir)
	a.mu.Lock()
	defer a.mu.Unlock()
	return errors.Join(
		a.writeJSON("status.json", a.lab.Status()),
		a.writeJSON("sessions.json", a.lab.Sessions()),
		a.writeJSON("explain.json", a.explanations()),
		a.write("events.txt", a.events()),
		a.write("names.txt", a.questions),
	)
}

func (a *artifacts) events() (lines []string) {
	for _, e := range a.lab.Events() {
		lines = append(lines, e.Time.UTC().Format(timeFormat)+" "+e.Text)
	}
	return lines
}

// explanations are those from every instance to every endpoint of its VPC.
func (a *artifacts) explanations() (out []*status.Explanation) {
	plan := a.lab.Plan()
	for _, endpoint := range plan.Endpoints {
		service, err := plan.Service(endpoint.Service)
		if err != nil || endpoint.Reverse {
			continue
		}
		for _, in := range plan.MustVPC(endpoint.VPC).Instances {
			for _, to := range targets(plan, service, endpoint.Name) {
				if e, err := a.lab.lab.Explain(in.VPC+"/"+in.Name, to); err == nil {
					out = append(out, e)
				}
			}
		}
	}
	return out
}

// targets are the ports of an endpoint.
func targets(plan *topology.Plan, service *topology.EndpointService, endpoint string) (out []string) {
	for _, r := range service.Resources {
		balancer, err := plan.LoadBalancer(r.LoadBalancer)
		if err != nil {
			continue
		}
		for _, l := range balancer.Listeners {
			to := fmt.Sprintf("%s:%d", endpoint, l.Port)
			if l.Protocol == topology.UDP {
				to = "udp " + to
			}
			if !slices.Contains(out, to) {
				out = append(out, to)
			}
		}
	}
	return out
}

func (a *artifacts) write(name string, lines []string) error {
	return os.WriteFile(filepath.Join(a.dir, name), []byte(strings.Join(append(lines, ""), "\n")), 0o644)
}

func (a *artifacts) writeJSON(name string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return a.write(name, []string{string(text)})
}
