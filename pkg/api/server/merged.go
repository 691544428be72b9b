package server

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"syscall"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/status"
)

// answersAlone says whether nobody else is asked for an answer: there are no other hosts, or
// one of them asks.
func (s *Server) answersAlone(r *http.Request) bool { return s.Peers == nil || r.TLS != nil }

// merge makes one answer of that of this host and of what all others say to the same question
// in time. The answer's header names those that do not.
func merge[T any](p *Peers, w http.ResponseWriter, r *http.Request, here func() T,
	question func(context.Context, *api.Client) (T, error),
	one func(own T, others map[string]T, silent map[string]string) T) T {
	asked := make(chan struct{})
	var own T
	go func() { // meanwhile
		defer close(asked)
		own = here()
	}()
	others, failed := ask(r.Context(), p, mergeWithin, question)
	<-asked
	silent := map[string]string{}
	for _, host := range slices.Sorted(maps.Keys(failed)) {
		silent[host] = reason(failed[host])
		w.Header().Add(api.SilentHeader, host+": "+silent[host])
	}
	return one(own, others, silent)
}

// reason is why a host did not answer, for people who know that it did not.
func reason(err error) string {
	var errno syscall.Errno
	var late net.Error
	switch inner := errors.Unwrap(err); {
	case errors.As(err, &errno):
		return errno.Error()
	case errors.As(err, &late) && late.Timeout():
		return fmt.Sprintf("nothing came for %s", mergeWithin)
	case inner != nil:
		return inner.Error()
	}
	return err.Error()
}

// mergeSessions is all sessions, those of this host first.
func mergeSessions(own []status.Session, others map[string][]status.Session, _ map[string]string) []status.Session {
	for _, host := range slices.Sorted(maps.Keys(others)) {
		own = append(own, others[host]...)
	}
	return own
}

func (s *Server) faults(w http.ResponseWriter, r *http.Request) {
	if s.answersAlone(r) {
		answer(w, s.Lab.Faults())
		return
	}
	answer(w, merge(s.Peers, w, r, s.Lab.Faults, func(ctx context.Context, c *api.Client) (status.Faults, error) {
		return c.Faults(ctx)
	}, status.MergeFaults))
}
