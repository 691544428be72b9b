// Package etcd lets the hosts of a lab agree by etcd: Open gives a lab.Agreement.
//
// A lab has four kinds of keys, below plinksim/LAB/:
//
//	record         what the hosts agree on, the newest lab.Record
//	leader         the host that leads, as long as its lease lasts
//	hosts/HOST     a host that lives, with its report, as long as its lease lasts
//	secrets/NAME   see lab.Agreement.Secret
//
// Whoever can read them has the lab's secrets, and whoever can write them has the lab on all
// its hosts: etcd needs TLS and, where it is for others too, users. docs/hosts.md says how.
//
// A Store learns by reading: once a second, and whenever a watch says that something below
// the lab's keys has changed, it reads all of them in one linearizable transaction. So a watch
// that was cut off, that etcd has compacted meanwhile or that hangs costs a second and misses
// nothing. A read that is answered says, too, that the store has a quorum.
//
// No belief about who leads is trusted: a write has the leader's key and the revision of the
// record that it was made from as conditions, which etcd itself compares. A host that was
// paused or cut off and still believes to lead writes nothing.
//
// A member of etcd that is stopped but not gone swallows what it is asked. Therefore
// questions have a short time each and go to the members in turn, and a lease is renewed by
// questions and not by a stream, which would stay with one member.
package etcd

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/plinksim/plinksim/pkg/lab"
)

// Config says which store, and whose.
type Config struct {
	Endpoints []string    // of etcd's members, https://HOST:PORT
	TLS       *tls.Config // with this host's certificate, and the authority of the members
	Lab, Host string      // as the topology calls them
	// Place is a text that this host keeps as long as its lab is there, and no other machine has.
	// By it a daemon knows that what lives under its host's name is the daemon before itself, and
	// not a second machine with the same name.
	Place string
	// GoesOn says that this host knows what its lab is without the store: Open asks one member
	// then, and does not wait for the others. Silent says whether it has answered.
	GoesOn bool
	Log    *slog.Logger // nil: nobody hears of it

	// dial connects to a member; nil: as usual.
	dial func(ctx context.Context, address string) (net.Conn, error)
}

// The times of a store. A host that has ended without a word is out of Hosts, and no longer
// leads, after lifetime, and etcd looks twice a second.
const (
	lifetime = 3 * time.Second         // of a lease: etcd counts seconds, and from 1.5 times its election timeout of 1 s
	pulse    = time.Second             // between two reads, and between renewals of a lease
	silence  = 1500 * time.Millisecond // after which a store that has not answered has no quorum
	opening  = lifetime + silence      // for Open: what lived under the name of this host may have a lease yet
)

// Store is a lab's keys in etcd, seen by one of its hosts.
type Store struct {
	cfg    Config
	etcd   *members
	prefix string
	stop   context.CancelFunc
	done   sync.WaitGroup
	closed sync.Once

	changed chan struct{}
	stirred chan struct{} // there is something to read or to say

	mu       sync.Mutex
	record   lab.Record
	view     view
	lease    clientv3.LeaseID // 0: none
	report   lab.HostReport
	unsaid   bool // of report
	rival    bool // another machine lives under this host's name
	answered time.Time
	silent   time.Time
	last     error // of a question, where silent is not zero
}

var _ lab.Agreement = (*Store)(nil)

// Open connects a host to its lab's store, and takes the host's place there. It fails
// where the store does not answer within seconds, unless the host goes on without it, and where
// another machine has the place. Close ends it.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.dial == nil {
		cfg.dial = func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", address)
		}
	}
	if err := CheckEndpoints(cfg.Endpoints); err != nil {
		return nil, err
	}
	etcd, err := dialMembers(cfg)
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(context.Background())
	s := &Store{
		cfg: cfg, etcd: etcd, prefix: "plinksim/" + cfg.Lab + "/", stop: stop,
		changed: make(chan struct{}, 1), stirred: make(chan struct{}, 1),
		report: lab.HostReport{Name: cfg.Host}, answered: time.Now(),
	}
	s.done.Go(func() { s.follow(running) })
	s.done.Go(func() { s.watch(running) })
	s.done.Go(func() { s.renew(running) })
	if err := s.settled(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// settled waits until this host has its place, or says why it does not get it.
func (s *Store) settled(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, opening)
	defer cancel()
	asked := false
	for {
		s.mu.Lock()
		lives, rival, silent, last := s.view.lives(s.cfg.Host, s.lease), s.rival, !s.silent.IsZero(), s.last
		s.mu.Unlock()
		switch {
		case lives, silent && s.cfg.GoesOn:
			return nil
		case silent && final(last):
			return s.refused(last)
		case silent && !asked:
			asked = true
			if found := s.unreachable(limited); found.certificates() {
				return found // waiting does not help
			}
		}
		select {
		case <-limited.Done():
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case rival:
				return &TakenError{Lab: s.cfg.Lab, Host: s.cfg.Host}
			}
			return s.unreachable(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// TakenError says that another machine is a host already.
type TakenError struct{ Lab, Host string }

func (e *TakenError) Error() string {
	return fmt.Sprintf("host %q of lab %q lives already, on another machine", e.Host, e.Lab)
}

// Hint says what to do about it.
func (e *TakenError) Hint() string {
	return "each host of the file is one machine: give --host another name, or take the lab down there"
}

// Now is the newest record that this host has read.
func (s *Store) Now() (lab.Record, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.record, s.record.Revision != 0
}

// Leader is the host that led when the store answered last, "" where it has been silent for
// as long as a leader may be.
func (s *Store) Leader() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.silent.IsZero() && time.Since(s.silent) > lifetime {
		return ""
	}
	return s.view.leader.name
}

// Hosts are those that lived when the store answered last.
func (s *Store) Hosts() map[string]lab.HostReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.view.hosts)
}

// Report lets the other hosts know of this one.
func (s *Store) Report(r lab.HostReport) {
	r.Name = s.cfg.Host
	s.mu.Lock()
	s.report, s.unsaid = r, true
	s.mu.Unlock()
	stir(s.stirred)
}

// Changed gets a value when what another method answers has changed.
func (s *Store) Changed() <-chan struct{} { return s.changed }

// Silent is since when the store has not answered, the zero time where it does.
func (s *Store) Silent() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.silent
}

// Close gives up this host's leadership and its place at once. Where the store does not
// answer they end by themselves within seconds. Records stay. A second call does nothing.
func (s *Store) Close() error { return s.close(nil) }

// Down is Close, and removes what the hosts have agreed on where no other host lives: the
// next host makes the first record of its file.
func (s *Store) Down() error {
	return s.close(func(ctx context.Context) error {
		// It holds for every key below the prefix, so for none.
		nobody := clientv3.Compare(clientv3.CreateRevision(s.key(hostsKey)), "=", 0).WithPrefix()
		return s.etcd.ask(ctx, func(ctx context.Context, c *clientv3.Client) error {
			_, err := c.Txn(ctx).If(nobody).
				Then(clientv3.OpDelete(s.key(recordKey)), clientv3.OpDelete(s.key(secretsKey), clientv3.WithPrefix())).Commit()
			return err
		})
	})
}

func (s *Store) close(then func(context.Context) error) (err error) {
	s.closed.Do(func() {
		s.stop()
		s.done.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		s.mu.Lock()
		lease := s.lease
		s.mu.Unlock()
		if lease != 0 {
			err = s.revoke(ctx, lease)
		}
		if err == nil && then != nil {
			err = then(ctx)
		}
		if err != nil {
			err = fmt.Errorf("the store of lab %q does not let host %q go, whose place there ends by itself: %w",
				s.cfg.Lab, s.cfg.Host, err)
		}
		err = errors.Join(err, s.etcd.close())
	})
	return err
}

func (s *Store) revoke(ctx context.Context, lease clientv3.LeaseID) error {
	return s.etcd.ask(ctx, func(ctx context.Context, c *clientv3.Client) error {
		_, err := c.Revoke(ctx, lease)
		if isNoLease(err) {
			return nil
		}
		return err
	})
}

// Secret is a text that all hosts have, and nobody else who cannot read the store.
func (s *Store) Secret(ctx context.Context, name string, first func() ([]byte, error)) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, lab.RefusedWithin)
	defer cancel()
	key := s.key(secretsKey + name)
	var got *clientv3.GetResponse
	err := s.etcd.ask(ctx, func(ctx context.Context, c *clientv3.Client) (err error) {
		got, err = c.Get(ctx, key)
		return err
	})
	if err != nil {
		return nil, s.noQuorum(err)
	}
	if len(got.Kvs) > 0 {
		return got.Kvs[0].Value, nil
	}
	text, err := first()
	if err != nil {
		return nil, err
	}
	err = s.etcd.ask(ctx, func(ctx context.Context, c *clientv3.Client) error {
		answer, err := c.Txn(ctx).If(absent(key)).Then(clientv3.OpPut(key, string(text))).Else(clientv3.OpGet(key)).Commit()
		if err == nil && !answer.Succeeded {
			text = answer.Responses[0].GetResponseRange().Kvs[0].Value // another host was first, or this one's answer was lost
		}
		return err
	})
	if err != nil {
		return nil, s.unanswered(err)
	}
	return text, nil
}

const (
	recordKey  = "record"
	leaderKey  = "leader"
	hostsKey   = "hosts/"
	secretsKey = "secrets/"
)

func (s *Store) key(name string) string { return s.prefix + name }

func absent(key string) clientv3.Cmp { return clientv3.Compare(clientv3.CreateRevision(key), "=", 0) }

// stir lets the reader of a channel look, now or when it is back.
func stir(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// NewPlace is a text for Config.Place.
func NewPlace() string { return rand.Text() }

// hostValue is what the key of a host has.
type hostValue struct {
	Place  string         `json:"place"`
	Report lab.HostReport `json:"report"`
}

func (v hostValue) text() string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and numbers
	}
	return string(text)
}
