package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

// slowLab is the topology of a lab of which each change waits until it may
// begin. A change to a topology with a VPC called bad fails.
type slowLab struct {
	*fileState
	begun   chan struct{} // gets a value for each change
	begins  chan struct{} // gives one for each
	changes []string      // the VPCs that there are after each change
	saved   int
}

func newSlowLab(t *testing.T) *slowLab {
	t.Helper()
	plan, err := topofile.Parse("empty.yaml", []byte("name: empty\ncloud: rfc\nregion: r1\nvpcs: {}\n"))
	require.NoError(t, err)
	l := &slowLab{begun: make(chan struct{}, 100), begins: make(chan struct{}, 100)}
	l.fileState, err = newFileState(plan, nil, func([]topology.Change) { l.saved++ }, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return l
}

func (l *slowLab) replace(_ context.Context, plan *topology.Plan, then func()) (bool, error) {
	l.begun <- struct{}{}
	<-l.begins
	var names []string
	for _, vpc := range plan.VPCs {
		names = append(names, vpc.Name)
	}
	l.changes = append(l.changes, strings.Join(names, " "))
	if slices.Contains(names, "bad") {
		return false, errors.New("no room")
	}
	if then != nil {
		then()
	}
	return true, nil
}

// asked is a request whose answer comes when the lab gets to it.
type asked struct {
	name, path, value string
	then              func() error
	gone              bool   // whoever asked has gone away
	want              string // of the error; "" where it is made
}

func vpc(name, want string) asked {
	return asked{name: name, path: "vpcs/" + name, value: "{cidr: 10.0.0.0/16}", want: want}
}

func subnet(vpc, want string) asked {
	return asked{name: "a subnet of " + vpc, path: "vpcs/" + vpc + "/subnets/s", value: "{zone: a, cidr: 10.0.0.0/24}", want: want}
}

// What arrives while the lab changes is one change, in which each request has
// its own answer, as it would have alone.
func TestRequestsThatWaitAreMadeTogether(t *testing.T) {
	refused := func() error { return &control.Error{Text: "not today"} }
	failing := vpc("c", "not today")
	failing.then = refused
	gone := vpc("c", "context canceled")
	gone.gone = true
	for _, tt := range []struct {
		name    string
		waiting []asked
		changes []string // behind the first
	}{
		{"one change", []asked{vpc("c", ""), subnet("c", ""), vpc("b", "")}, []string{"a c b"}},
		{"a refusal is one request's", []asked{vpc("b", ""), subnet("z", `there is no vpc "z"`), vpc("c", "")}, []string{"a b c"}},
		{"nobody refers to what comes later", []asked{subnet("b", `there is no vpc "b"`), vpc("b", "")}, []string{"a b"}},
		{"all are refused", []asked{vpc("X", "must be"), subnet("z", "there is no vpc")}, nil},
		{"a change that fails", []asked{vpc("b", ""), vpc("bad", "no room"), subnet("bad", `there is no vpc "bad"`), vpc("c", "")},
			[]string{"a b bad c", "a b", "a b bad", "a b c"}},
		{"what belongs to edits fails", []asked{vpc("b", ""), failing, subnet("c", `there is no vpc "c"`), subnet("b", "")},
			[]string{"a b c", "a b"}},
		{"whoever asked has gone", []asked{gone, vpc("b", "")}, []string{"a b"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newSlowLab(t)
			answers := make([]chan error, 0, 1+len(tt.waiting))
			all := append([]asked{vpc("a", "")}, tt.waiting...)
			for i, r := range all {
				answer := make(chan error, 1)
				answers = append(answers, answer)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go func() {
					then := r.then
					if then == nil {
						then = nothingMore
					}
					_, err := l.edit(ctx, []topology.Edit{{Path: r.path, Value: r.value}}, l.replace, then)
					answer <- err
				}()
				if i == 0 {
					<-l.begun
				}
				require.Eventually(t, func() bool { return l.waiting.count() == i }, 5*time.Second, time.Millisecond, "it waits")
				if r.gone {
					cancel()
				}
			}
			for range 10 {
				l.begins <- struct{}{}
			}
			for i, r := range all {
				err := <-answers[i]
				if r.want == "" {
					require.NoError(t, err, r.name)
				} else {
					require.ErrorContains(t, err, r.want, r.name)
				}
			}
			require.Equal(t, append([]string{"a"}, tt.changes...), l.changes)
			last, err := topofile.DocumentOf(l.plan)
			require.NoError(t, err)
			require.Empty(t, last.Since(l.doc), "the document is that of the plan")
			again := newSlowLab(t)
			close(again.begins)
			for _, r := range all {
				if r.want == "" {
					_, err := again.edit(t.Context(), []topology.Edit{{Path: r.path, Value: r.value}}, again.replace, nothingMore)
					require.NoError(t, err)
				}
			}
			require.Equal(t, textOf(t, again.plan), textOf(t, l.plan), "the same as one after the other")
		})
	}
}

func (q *requests) count() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.all)
}

// Requests that many send at the same time are few changes.
func TestManyRequestsAreFewChanges(t *testing.T) {
	l := newSlowLab(t)
	const n = 50
	failed := make(chan error, n)
	for i := range n {
		go func() {
			_, err := l.edit(t.Context(), []topology.Edit{{Path: fmt.Sprintf("vpcs/v%d", i), Value: "{cidr: 10.0.0.0/16}"}}, l.replace, nothingMore)
			failed <- err
		}()
	}
	require.Eventually(t, func() bool { return l.waiting.count() > n/2 }, 5*time.Second, time.Millisecond)
	close(l.begins)
	for range n {
		require.NoError(t, <-failed)
	}
	require.Len(t, l.plan.VPCs, n)
	require.Less(t, len(l.changes), n/2)
	require.Equal(t, len(l.changes), l.saved, "written down once a change")
}

func textOf(t *testing.T, plan *topology.Plan) string {
	t.Helper()
	text, err := topofile.TextOf(plan)
	require.NoError(t, err)
	return string(text)
}

// An operation that makes its object is done before the plan with the object is put in
// force: both are compiled once.
func TestAnOperationIsPutInForceWithItsObject(t *testing.T) {
	l := newSlowLab(t)
	close(l.begins)
	var did []string
	in := func(ctx context.Context, plan *topology.Plan, then func()) (bool, error) {
		did = append(did, "the control plane has it")
		changed, err := l.replace(ctx, plan, then)
		did = append(did, "it is in force")
		return changed, err
	}
	operate := func() error {
		did = append(did, "the operation")
		return nil
	}
	edit := []topology.Edit{{Path: "vpcs/a", Value: "{cidr: 10.0.0.0/16}"}}
	_, err := l.edit(t.Context(), edit, in, operate)
	require.NoError(t, err)
	require.Equal(t, []string{"the control plane has it", "the operation", "it is in force"}, did)
	same := func(context.Context, *topology.Plan, func()) (bool, error) { return false, nil }
	_, err = l.edit(t.Context(), edit, same, operate)
	require.NoError(t, err)
	require.Equal(t, "the operation", did[3], "also where the edit changes nothing")
}
