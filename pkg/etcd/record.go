package etcd

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/plinksim/plinksim/pkg/lab"
)

// largest is how long a record may be, compressed. etcd takes requests of 1.5 MiB where
// --max-request-bytes does not say otherwise; some of it is for the rest of the request.
const largest = 3<<19 - 1<<12

// Create writes the first record, or returns the one that is there.
func (s *Store) Create(ctx context.Context, first lab.Record) (lab.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, lab.RefusedWithin-patience)
	defer cancel()
	if _, err := s.look(ctx, lab.RefusedWithin/2); err != nil {
		return lab.Record{}, s.noQuorum(err)
	}
	written, found, err := s.put(ctx, first, absent(s.key(recordKey)))
	switch {
	case err != nil:
		return lab.Record{}, err
	case found.record.Revision != 0:
		written = found.record
	case written.Revision == 0:
		return lab.Record{}, &lab.ConflictError{} // it was written and removed between two attempts
	}
	s.learn(written)
	return written, nil
}

// Write makes next the newest record, where this host leads and the newest is of the revision
// after. A question that a member has swallowed it asks the next one, and knows its own
// record by a mark, so that it is written once.
func (s *Store) Write(ctx context.Context, after int64, next lab.Record) (lab.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, lab.RefusedWithin-patience)
	defer cancel()
	// Who asks first knows, where nobody answers, that nothing was written.
	v, err := s.look(ctx, lab.RefusedWithin/2)
	if err != nil {
		return lab.Record{}, s.noQuorum(err)
	}
	s.publish(v)
	s.mu.Lock()
	lease := s.lease
	s.mu.Unlock()
	refused := func(leads leader, newest int64) error {
		if lease == 0 || leads.lease != lease {
			return &lab.NotLeadingError{Host: s.cfg.Host, Leader: leads.name}
		}
		return &lab.ConflictError{After: after, Newest: newest}
	}
	if lease == 0 || v.leader.lease != lease || v.record != after {
		return lab.Record{}, refused(v.leader, v.record)
	}
	written, found, err := s.put(ctx, next,
		clientv3.Compare(clientv3.CreateRevision(s.key(leaderKey)), "=", v.leader.created),
		clientv3.Compare(clientv3.ModRevision(s.key(recordKey)), "=", after))
	switch {
	case err != nil:
		return lab.Record{}, err
	case written.Revision == 0:
		stir(s.stirred)
		return lab.Record{}, refused(found.leader, found.record.Revision)
	}
	s.learn(written)
	return written, nil
}

// found is what is there where conditions do not hold.
type found struct {
	leader leader
	record lab.Record
}

// put writes a record where conditions hold, or gives what is there. The conditions are
// such that they never hold again once they do not: an attempt that comes late does nothing.
func (s *Store) put(ctx context.Context, r lab.Record, conditions ...clientv3.Cmp) (written lab.Record, is found, err error) {
	mark := rand.Text()
	value, err := encode(stored{Mark: mark, File: r.File, Source: r.Source, State: r.State})
	if err != nil {
		return lab.Record{}, is, fmt.Errorf("lab %q: %w", s.cfg.Lab, err)
	}
	err = s.etcd.ask(ctx, func(ctx context.Context, c *clientv3.Client) error {
		answer, err := c.Txn(ctx).If(conditions...).Then(clientv3.OpPut(s.key(recordKey), value)).
			Else(clientv3.OpGet(s.key(recordKey)), clientv3.OpGet(s.key(leaderKey))).Commit()
		if err != nil {
			return err
		}
		if answer.Succeeded {
			written = r
			written.Revision = answer.Header.Revision
			return nil
		}
		if leads := keysOf(answer, 1); len(leads) > 0 {
			is.leader = leaderOf(leads[0])
		}
		if records := keysOf(answer, 0); len(records) > 0 {
			there, by, err := recordOf(records[0])
			if err != nil {
				return err
			}
			if by == mark { // the answer to an earlier attempt was lost
				written = there
			}
			is.record = there
		}
		return nil
	})
	switch {
	case errors.Is(err, rpctypes.ErrRequestTooLarge):
		err = &TooLargeError{Lab: s.cfg.Lab, Bytes: len(value)}
	case err != nil:
		err = s.unanswered(err)
	}
	return written, is, err
}

// noQuorum is the error of a question that changes nothing.
func (s *Store) noQuorum(err error) error {
	if final(err) {
		return s.refused(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return &lab.NoQuorumError{Revision: s.record.Revision, Since: s.answered, Err: inWords(err)}
}

// unanswered is the error of a question that changes something.
func (s *Store) unanswered(err error) error {
	if final(err) {
		return s.refused(err)
	}
	return &lab.UnansweredError{Err: inWords(err)}
}

// refused is an error of a store that answers, and will not answer otherwise.
func (s *Store) refused(err error) error {
	return fmt.Errorf("etcd refuses host %q of lab %q: %w", s.cfg.Host, s.cfg.Lab, inWords(err))
}

// TooLargeError says that a record is longer than etcd takes.
type TooLargeError struct {
	Lab   string
	Bytes int // compressed
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("what the hosts of lab %q have to agree on is %d bytes long, compressed, and etcd takes %d: nothing was changed",
		e.Lab, e.Bytes, largest)
}

// Hint says what to do about it.
func (e *TooLargeError) Hint() string {
	return "most of it is the topology file with its edits: make two labs of it"
}

// stored is a record as its key has it, in JSON, compressed.
type stored struct {
	Mark   string `json:"mark"` // of the attempt to write it
	File   string `json:"file"`
	Source []byte `json:"source"`
	State  []byte `json:"state"`
}

func encode(r stored) (string, error) {
	var text bytes.Buffer
	w := gzip.NewWriter(&text)
	if err := json.NewEncoder(w).Encode(r); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return text.String(), nil
}

func recordOf(kv *mvccpb.KeyValue) (r lab.Record, mark string, err error) {
	var value stored
	z, err := gzip.NewReader(bytes.NewReader(kv.Value))
	if err == nil {
		err = json.NewDecoder(z).Decode(&value)
	}
	if err != nil {
		return r, "", &unreadableError{string(kv.Key), err}
	}
	return lab.Record{Revision: kv.ModRevision, File: value.File, Source: value.Source, State: value.State}, value.Mark, nil
}

// unreadableError says that a key has what this program cannot read.
type unreadableError struct {
	key string
	err error
}

func (e *unreadableError) Error() string {
	return fmt.Sprintf("the key %s has no record that this plinksim reads: %v", e.key, e.err)
}

func (e *unreadableError) Unwrap() error { return e.err }
