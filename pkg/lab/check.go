package lab

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/plinksim/plinksim/internal/spell"
	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/status"
	"github.com/plinksim/plinksim/pkg/topology"
)

// Check runs the checks of the file in their order and reports each when it
// has ended. What operations changed while the lab runs is put back first, and
// what edits changed is put aside until the checks have ended, so that they
// start from what the file says however often they run. It returns an error
// when it could not go on, not when a check failed.
func (l *Lab) Check(ctx context.Context, report func(status.Check)) error {
	return l.CheckSome(ctx, CheckFilter{}, report)
}

// CheckFilter says which checks of a file are run; the zero value runs all.
type CheckFilter struct {
	// Only are the names of those to run; nil: all. What a check does to the
	// control plane is done whatever its name, as later checks depend on it,
	// but for what comes after the last check to run.
	Only     *regexp.Regexp
	FailFast bool // nothing is run after a check that failed
	// AsItIs leaves what operations changed while the lab runs as it is, where it is put
	// back first otherwise. It is for CheckFile.
	AsItIs bool
}

// chosen are the numbers of the checks to run, from 0.
func (f CheckFilter) chosen(checks []topology.Check) (numbers []int) {
	last := 0
	for i, check := range checks {
		named := f.Only == nil || f.Only.MatchString(check.Name)
		if named || check.Do != nil {
			numbers = append(numbers, i)
		}
		if named {
			last = len(numbers)
		}
	}
	return numbers[:last]
}

// CheckSome is Check of the checks that a filter chooses. It is an error where
// it chooses none.
func (l *Lab) CheckSome(ctx context.Context, filter CheckFilter, report func(status.Check)) error {
	if len(l.Plan().Checks) == 0 {
		return nil
	}
	return alone(&l.checking, func() error {
		putAside := func() (func() error, error) { return l.file.putAside(ctx, l.replacer(quietly)) }
		if l.agreed != nil {
			putAside = func() (func() error, error) { return l.agreed.putAside(ctx) }
		}
		back, err := putAside()
		if err != nil {
			return err
		}
		return errors.Join(checks{l, nil}.run(ctx, l.Plan().Checks, filter, report), back())
	})
}

// CheckFile is CheckSome of the checks of another file, of which nothing else is
// read, as if the lab's topology had them: edits stay.
func (l *Lab) CheckFile(ctx context.Context, text []byte, filter CheckFilter, report func(status.Check)) error {
	all, err := l.file.checksOf(text)
	if err != nil {
		return err
	}
	return alone(&l.checking, func() error { return checks{l, text}.run(ctx, all, filter, report) })
}

// alone lets no others run checks: they would accept and reject what these wait
// for.
func alone(checking *sync.Mutex, run func() error) error {
	if !checking.TryLock() {
		return errors.New("the checks of this lab are running already")
	}
	defer checking.Unlock()
	return run()
}

// RunCheckHere runs one check for another host of a lab, which was asked for all of them: that
// with a number, from 0, of the checks of a file, or of the lab's where text is nil. The lab
// stays as it is. Its instance must be on this host.
func RunCheckHere(ctx context.Context, l *Lab, text []byte, number int) (result status.Check, err error) {
	all := l.Plan().Checks
	if text != nil {
		if all, err = l.file.checksOf(text); err != nil {
			return result, err
		}
	}
	if number < 0 || number >= len(all) {
		return result, fmt.Errorf("the topology has %s here, and none with the number %d",
			spell.Count(len(all), "check"), number+1)
	}
	if all[number].Do != nil {
		return result, fmt.Errorf("check %q changes the lab, and is not one of an instance", all[number].Name)
	}
	result = newCheck(l.Plan(), all, number)
	if other := l.here.hostOf(l.Plan(), all[number].From); other != "" {
		return result, fmt.Errorf("check %q begins on host %q here, and this is host %q", all[number].Name, other, l.here.name)
	}
	start := time.Now()
	result.Got, result.Passed = checks{l, text}.runOne(ctx, all[number])
	result.Seconds = time.Since(start).Seconds()
	return result, context.Cause(ctx)
}

// checks run one after the other, as an account and a client would.
type checks struct {
	*Lab
	text []byte // of the file that they are of; nil: the lab's
}

func (l checks) run(ctx context.Context, all []topology.Check, filter CheckFilter,
	report func(status.Check)) error {
	if len(all) > 0 && len(filter.chosen(all)) == 0 {
		return fmt.Errorf("no check of the lab's file has a name that %q matches", filter.Only)
	}
	if !filter.AsItIs {
		if err := l.putBack(ctx); err != nil {
			return err
		}
	}
	return l.each(ctx, all, filter, report)
}

// putBack lets the lab be as its file says, whatever operations changed.
func (l checks) putBack(ctx context.Context) error {
	reset := func() error { return l.plane.WaitApplied(ctx, l.plane.Reset()) }
	if l.agreed != nil {
		reset = func() error { return l.agreed.putBack(ctx) }
	}
	if err := reset(); err != nil {
		return err
	}
	l.groups.settleHealth(ctx, l.plane.State().Plan) // servers may have come back
	return l.exclusively((*transition).publishNames)
}

// each runs the chosen checks on the lab as it is.
func (l checks) each(ctx context.Context, all []topology.Check, filter CheckFilter, report func(status.Check)) error {
	plan := l.Plan()
	for _, i := range filter.chosen(all) {
		check := all[i]
		result := newCheck(plan, all, i)
		start := time.Now()
		if result.Got = l.here.skips(plan, all[:i], check); result.Got != "" {
			result.Skipped = true
			report(result)
			continue
		}
		if other := l.here.hostOf(plan, check.From); other != "" && check.Do == nil {
			result = l.runThere(ctx, other, i, result)
		} else {
			result.Got, result.Passed = l.runOne(ctx, check)
		}
		result.Seconds = time.Since(start).Seconds()
		if ctx.Err() != nil {
			return context.Cause(ctx) // and what came says nothing
		}
		report(result)
		if filter.FailFast && !result.Passed {
			break
		}
	}
	return nil
}

// newCheck is a check before it has run.
func newCheck(plan *topology.Plan, all []topology.Check, i int) status.Check {
	return status.Check{
		Number: i + 1, Of: len(all), Name: all[i].Name, Does: describe(all[i]), Expect: expectation(plan, all[i]),
	}
}

// runThere runs a check on another host.
func (l checks) runThere(ctx context.Context, host string, i int, check status.Check) status.Check {
	there, err := l.here.remote.RunCheck(ctx, host, l.text, i)
	switch {
	case err != nil:
		check.Got = err.Error()
	case there.Name != check.Name:
		check.Got = fmt.Sprintf("host %s has another file: its check %d is %q", host, check.Number, there.Name)
	default:
		check.Got, check.Passed = there.Got, there.Passed
	}
	return check
}

func (l checks) runOne(ctx context.Context, check topology.Check) (got string, passed bool) {
	if check.Do != nil {
		return l.operate(ctx, check)
	}
	client, err := l.Client(check.From)
	if err != nil {
		return err.Error(), false
	}
	switch {
	case check.Resolve != "":
		return tryResolve(ctx, client, check)
	case check.Get != "":
		return tryEach(ctx, check, func(ctx context.Context) (answer, error) { return get(ctx, client, check) })
	}
	check.Idle = l.pace.TimeScale().Of(check.Idle)
	return tryEach(ctx, check, func(ctx context.Context) (answer, error) { return converse(ctx, client, check) })
}

// operate does what a check does to the control plane and waits until that is
// in force.
func (l checks) operate(ctx context.Context, check topology.Check) (string, bool) {
	event, err := l.Do(ctx, *check.Do, 10*time.Second)
	var refused *control.Error
	switch {
	case err == nil && check.Expect.Error != "":
		return event.Text, false
	case err == nil:
		return l.outcome(check, event)
	case errors.As(err, &refused):
		return fmt.Sprintf("%s: %s", refused.Code, refused.Text), check.Expect.Error == "any" ||
			check.Expect.Error == string(refused.Code)
	}
	return err.Error(), false
}

// outcome is the state that a decision led to, and what happened otherwise.
func (l checks) outcome(check topology.Check, event control.Event) (got string, passed bool) {
	state := l.plane.State()
	want, decided := decision(state.Plan, check)
	if !decided {
		return event.Text, true
	}
	c, ok := state.Connection(check.Do.Service, check.Do.Endpoint)
	if !ok {
		return "the connection is gone", false
	}
	return c.Status, c.Status == want
}

// decision is the state in which an accepted or rejected connection ends, in
// the words of the lab's cloud.
func decision(plan *topology.Plan, check topology.Check) (state string, ok bool) {
	switch {
	case check.Do == nil || check.Expect.Error != "":
		return "", false
	case check.Do.Verb == "accept":
		return control.Word(plan.Cloud, control.KindConnection, control.Connected), true
	case check.Do.Verb == "reject":
		return control.Word(plan.Cloud, control.KindConnection, control.Disconnected), true
	}
	return "", false
}

type answer struct {
	status int
	body   string
	silent time.Duration // of the time that it took, because the check wanted that
}

// converse opens a connection, by TCP or UDP. Where the check sends something, or
// expects bodies, it reads the line or the datagram with which the server answers;
// after the silence that a check wants, it does both again.
func converse(ctx context.Context, client *Client, check topology.Check) (answer, error) {
	conn, err := open(ctx, client, check)
	if err != nil {
		return answer{}, err
	}
	defer conn.Close()
	if check.Send == "" && len(check.Expect.Bodies) == 0 {
		return answer{}, nil
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) }) // which is over
	defer stop()
	reader := bufio.NewReader(io.LimitReader(conn, 1<<20))
	a, err := ask(conn, reader, check)
	if err != nil || check.Idle == 0 {
		return a, err
	}
	select {
	case <-time.After(check.Idle):
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
	a, err = ask(conn, reader, check)
	a.silent = check.Idle
	return a, err
}

func open(ctx context.Context, client *Client, check topology.Check) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, check.Timeout)
	defer cancel()
	if check.UDP != "" {
		return client.DialContext(ctx, "udp", check.UDP)
	}
	conn, err := client.DialContext(ctx, "tcp", check.Connect)
	if err != nil || check.ServerName == "" {
		return conn, err
	}
	secure := tls.Client(conn, &tls.Config{RootCAs: client.trusted(), ServerName: check.ServerName})
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secure, nil
}

// ask sends what the check sends, and reads an answer.
func ask(conn net.Conn, reader *bufio.Reader, check topology.Check) (answer, error) {
	if err := conn.SetDeadline(time.Now().Add(check.Timeout)); err != nil {
		return answer{}, err
	}
	end := "\n"
	if check.UDP != "" {
		end = ""
	}
	if check.Send != "" {
		if _, err := io.WriteString(conn, check.Send+end); err != nil {
			return answer{}, err
		}
	}
	if check.UDP != "" {
		datagram := make([]byte, 1<<16)
		n, err := conn.Read(datagram)
		return answer{body: strings.TrimSpace(string(datagram[:n]))}, err
	}
	line, err := reader.ReadString('\n')
	if errors.Is(err, io.EOF) && line != "" {
		err = nil
	}
	return answer{body: strings.TrimSpace(line)}, err
}

func get(ctx context.Context, client *Client, check topology.Check) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, check.Get, nil)
	if err != nil {
		return answer{}, err
	}
	if check.ServerName != "" {
		req.Host = check.ServerName
	}
	resp, err := roundTripper{client, check.ServerName}.RoundTrip(req) // a redirect is the answer
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return answer{status: resp.StatusCode, body: strings.TrimSpace(string(body))}, err
}

// tryEach tries as often as the check says, so many at a time, and stops at the first
// answer that the check does not expect.
func tryEach(ctx context.Context, check topology.Check, try func(context.Context) (answer, error)) (got string,
	passed bool) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var (
		mu    sync.Mutex
		seen  = map[string]int{}
		wrong string
		left  = check.Times
		tries sync.WaitGroup
	)
	next := func() bool {
		mu.Lock()
		defer mu.Unlock()
		left--
		return left >= 0 && wrong == ""
	}
	for range max(1, min(check.Parallel, check.Times)) {
		tries.Go(func() {
			for next() {
				a, text, err := tryOne(ctx, check, try)
				mu.Lock()
				switch {
				case text != "" && wrong == "":
					wrong = text
					stop() // the others
				case err == nil:
					seen[a.body]++
				}
				mu.Unlock()
			}
		})
	}
	tries.Wait()
	if wrong != "" {
		return wrong, false
	}
	if check.Expect.Error != "" {
		return fmt.Sprintf("error: %s", check.Expect.Error), true
	}
	for _, body := range check.Expect.Bodies {
		if seen[body] == 0 {
			return fmt.Sprintf("%s, but never %q", tally(seen), body), false
		}
	}
	if check.Connect != "" && check.Send == "" && len(check.Expect.Bodies) == 0 {
		return "connected", true
	}
	return tally(seen), true
}

// tryOne tries once, and says what is wrong with the answer, if anything.
func tryOne(ctx context.Context, check topology.Check, try func(context.Context) (answer, error)) (
	a answer, wrong string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*check.Timeout+check.Idle)
	if check.Idle == 0 {
		ctx, cancel = context.WithTimeout(ctx, check.Timeout)
	}
	defer cancel()
	start := time.Now()
	a, err = try(ctx)
	took := time.Since(start) - a.silent
	if text, ok := judge(check.Expect, a, err); !ok {
		return a, text, err
	}
	want := check.Expect
	if want.Within > 0 && took > want.Within || took < want.After {
		return a, fmt.Sprintf("after %s", took.Round(time.Millisecond)), err
	}
	return a, "", err
}

// judge says whether one answer is as expected, and what it was.
func judge(want topology.Expect, a answer, err error) (text string, ok bool) {
	switch {
	case err != nil && want.Error != "":
		kind := errorKind(err)
		return "error: " + kind + ": " + err.Error(), want.Error == "any" || want.Error == kind
	case err != nil:
		return "error: " + errorKind(err) + ": " + err.Error(), false
	case want.Error != "":
		return fmt.Sprintf("an answer: %s", shorten(a.body)), false
	case want.Status != 0 && a.status != want.Status, want.Status == 0 && a.status >= 400:
		return fmt.Sprintf("status %d", a.status), false
	case len(want.Bodies) > 0 && !slices.Contains(want.Bodies, a.body):
		return fmt.Sprintf("the answer %q", shorten(a.body)), false
	}
	return "", true
}

// errorKind names an error as topology files do.
func errorKind(err error) string {
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return "certificate"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	}
	return "other"
}

func tally(seen map[string]int) string {
	var parts []string
	for _, body := range slices.Sorted(maps.Keys(seen)) {
		parts = append(parts, fmt.Sprintf("%s %dx", shorten(body), seen[body]))
	}
	return strings.Join(parts, ", ")
}

func shorten(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > 40 {
		return text[:37] + "..."
	}
	return text
}

func tryResolve(ctx context.Context, client *Client, check topology.Check) (got string, passed bool) {
	ctx, cancel := context.WithTimeout(ctx, check.Timeout)
	defer cancel()
	found, err := client.resolver.LookupHost(ctx, check.Resolve)
	if err != nil {
		return "error: " + err.Error(), check.Expect.Error != ""
	}
	want := slices.Clone(check.Expect.Addresses)
	sort.Strings(found)
	sort.Strings(want)
	return strings.Join(found, ", "), check.Expect.Error == "" && (len(want) == 0 || slices.Equal(found, want))
}

func describe(c topology.Check) string {
	times := ""
	if c.Times > 1 {
		times = fmt.Sprintf(" (%d times)", c.Times)
	}
	switch {
	case c.Do != nil:
		return c.Do.String()
	case c.Resolve != "":
		return fmt.Sprintf("%s resolves %s", c.From, c.Resolve)
	case c.Connect != "":
		return fmt.Sprintf("%s connects to %s%s%s", c.From, c.Connect, more(c), times)
	case c.UDP != "":
		return fmt.Sprintf("%s sends a datagram to %s%s%s", c.From, c.UDP, more(c), times)
	}
	return fmt.Sprintf("%s gets %s%s%s", c.From, c.Get, more(c), times)
}

// more is what a check does beside the usual.
func more(c topology.Check) (text string) {
	if c.ServerName != "" {
		text += " as " + c.ServerName
	}
	if c.Idle > 0 {
		text += fmt.Sprintf(", again after a silence of %s", c.Idle)
	}
	if c.Parallel > 1 {
		text += fmt.Sprintf(", %d at a time", c.Parallel)
	}
	return text
}

func expectation(plan *topology.Plan, c topology.Check) string {
	if state, ok := decision(plan, c); ok {
		return state
	}
	switch e := c.Expect; {
	case e.Within > 0 || e.After > 0:
		return timed(plan, c)
	case c.Do != nil && e.Error != "":
		return "refused: " + e.Error
	case c.Do != nil:
		return "done"
	case e.Error != "":
		return "error: " + e.Error
	case len(e.Addresses) > 0:
		return strings.Join(e.Addresses, ", ")
	case len(e.Bodies) > 0:
		return strings.Join(e.Bodies, " and ") + ", nothing else"
	case e.Status != 0:
		return fmt.Sprintf("status %d", e.Status)
	}
	return "an answer"
}

// timed is the expectation of a check that is about time, too.
func timed(plan *topology.Plan, c topology.Check) string {
	within, after := c.Expect.Within, c.Expect.After
	c.Expect.Within, c.Expect.After = 0, 0
	text := expectation(plan, c)
	if after > 0 {
		text += fmt.Sprintf(", after %s at least", after)
	}
	if within > 0 {
		text += fmt.Sprintf(", within %s", within)
	}
	return text
}
