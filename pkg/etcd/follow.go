package etcd

import (
	"context"
	"encoding/json"
	"maps"
	"reflect"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/plinksim/plinksim/pkg/lab"
)

// view is what a read has found, but for the text of the record.
type view struct {
	at     int64 // the store's revision
	record int64 // that of the newest record, 0 where there is none
	leader leader
	hosts  map[string]lab.HostReport
	places map[string]place
}

// leader is the key of the host that leads.
type leader struct {
	name    string // "": nobody leads
	lease   clientv3.LeaseID
	created int64 // the revision at which it began to lead
}

// place is whose the key of a host is.
type place struct {
	of    string // Config.Place
	lease clientv3.LeaseID
}

func (v *view) lives(host string, lease clientv3.LeaseID) bool {
	p, ok := v.places[host]
	return ok && lease != 0 && p.lease == lease
}

// follow reads and does what follows from it, until ctx ends.
func (s *Store) follow(ctx context.Context) {
	tick := time.NewTicker(pulse)
	defer tick.Stop()
	most := silence
	if s.cfg.GoesOn {
		most = patience
	}
	for {
		v, err := s.look(ctx, most)
		most = silence
		if ctx.Err() != nil {
			return
		}
		again := false
		if err == nil {
			s.publish(v)
			again, err = s.settle(ctx, v)
		}
		s.heard(err)
		if again {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.stirred:
		}
	}
}

// watch stirs follow whenever a key of the lab has changed.
func (s *Store) watch(ctx context.Context) {
	for ctx.Err() == nil {
		client, moved := s.etcd.current()
		once, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
		var waits sync.WaitGroup
		waits.Go(func() {
			select {
			case <-moved: // the member does not answer, and might not tell
				cancel()
			case <-once.Done():
			}
		})
		for range client.Watch(once, s.prefix, clientv3.WithPrefix(), clientv3.WithCreatedNotify()) {
			stir(s.stirred)
		}
		cancel()
		waits.Wait()
		select { // it ended as the member has no leader, or what it was to tell is compacted
		case <-ctx.Done():
		case <-time.After(pulse / 4):
		}
	}
}

// look reads all keys of the lab at one revision, but for the text of the record.
func (s *Store) look(ctx context.Context, most time.Duration) (v view, err error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	var answer *clientv3.TxnResponse
	err = s.etcd.ask(ctx, func(ctx context.Context, c *clientv3.Client) (err error) {
		answer, err = c.Txn(ctx).Then(
			clientv3.OpGet(s.key(recordKey), clientv3.WithKeysOnly()), clientv3.OpGet(s.key(leaderKey)),
			clientv3.OpGet(s.key(hostsKey), clientv3.WithPrefix()),
		).Commit()
		return err
	})
	if err != nil {
		return v, err
	}
	record, leads, hosts := keysOf(answer, 0), keysOf(answer, 1), keysOf(answer, 2)
	v = view{at: answer.Header.Revision, hosts: map[string]lab.HostReport{}, places: map[string]place{}}
	if len(record) > 0 {
		v.record = record[0].ModRevision
	}
	if len(leads) > 0 {
		v.leader = leaderOf(leads[0])
	}
	for _, kv := range hosts {
		name := strings.TrimPrefix(string(kv.Key), s.key(hostsKey))
		var value hostValue
		if err := json.Unmarshal(kv.Value, &value); err != nil {
			s.cfg.Log.Warn("the store has a host that is not plinksim's", "key", string(kv.Key), "error", err)
		}
		value.Report.Name = name
		v.hosts[name] = value.Report
		v.places[name] = place{of: value.Place, lease: clientv3.LeaseID(kv.Lease)}
	}
	return v, nil
}

func leaderOf(kv *mvccpb.KeyValue) leader {
	return leader{name: string(kv.Value), lease: clientv3.LeaseID(kv.Lease), created: kv.CreateRevision}
}

func keysOf(answer *clientv3.TxnResponse, n int) []*mvccpb.KeyValue {
	return answer.Responses[n].GetResponseRange().GetKvs()
}

// publish makes a view the newest one, if it is.
func (s *Store) publish(v view) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.at < s.view.at {
		return
	}
	same := v.leader == s.view.leader && maps.EqualFunc(v.hosts, s.view.hosts,
		func(a, b lab.HostReport) bool { return reflect.DeepEqual(a, b) })
	s.view = v
	if !same {
		stir(s.changed)
	}
}

// learn makes a record the newest one, if it is.
func (s *Store) learn(r lab.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Revision > s.record.Revision {
		s.record = r
		stir(s.changed)
	}
}

// heard notes whether the store answers.
func (s *Store) heard(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.silent
	s.last = err
	if err == nil {
		s.answered, s.silent = time.Now(), time.Time{}
	} else {
		s.silent = s.answered
	}
	if was == s.silent {
		return
	}
	stir(s.changed)
	if err == nil {
		s.cfg.Log.Info("the store answers again", "silent for", time.Since(was).Round(time.Millisecond))
	} else {
		s.cfg.Log.Warn("the store does not answer", "error", err)
	}
}

// settle does what a view asks for: it reads a newer record, takes the place of this host, lets
// others know of it, and takes the lead where nobody has it. It is true where another
// look is worth it at once.
func (s *Store) settle(ctx context.Context, v view) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	s.mu.Lock()
	known, lease, report, unsaid := s.record, s.lease, s.report, s.unsaid
	s.mu.Unlock()
	if v.record > known.Revision {
		if err := s.fetch(ctx); err != nil {
			return false, err
		}
	}
	mine, taken := v.places[s.cfg.Host]
	if s.isRival(taken && mine.lease != lease && mine.of != s.cfg.Place) {
		return false, nil
	}
	switch {
	case lease == 0:
		return true, s.grant(ctx)
	case taken && mine.lease != lease:
		// It is that of the daemon before this one, which leads no more either.
		return true, s.revoke(ctx, mine.lease)
	case !taken || unsaid:
		return true, s.say(ctx, taken, lease, report)
	case v.leader.name == "":
		return true, s.lead(ctx, lease)
	case v.record == 0 && known.Revision != 0 && v.leader.lease == lease:
		// The last host that lived went down while this one was cut off and lived on.
		s.cfg.Log.Warn("the record of the lab was removed while this host went on, which writes it again")
		_, err := s.Create(ctx, known)
		return true, err
	}
	return false, nil
}

// isRival notes whether another machine lives under this host's name, and gives it back.
func (s *Store) isRival(is bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if is && !s.rival {
		s.cfg.Log.Error("another machine has the place of this host", "host", s.cfg.Host)
	}
	s.rival = is
	return is
}

// fetch reads the newest record.
func (s *Store) fetch(ctx context.Context) error {
	var got *clientv3.GetResponse
	err := s.etcd.ask(ctx, func(ctx context.Context, c *clientv3.Client) (err error) {
		got, err = c.Get(ctx, s.key(recordKey))
		return err
	})
	if err != nil || len(got.Kvs) == 0 {
		return err
	}
	record, _, err := recordOf(got.Kvs[0])
	if err == nil {
		s.learn(record)
	}
	return err
}

// grant gets a lease, without which this host does not live.
func (s *Store) grant(ctx context.Context) error {
	return s.etcd.ask(ctx, func(ctx context.Context, c *clientv3.Client) error {
		got, err := c.Grant(ctx, int64(lifetime/time.Second))
		if err == nil {
			s.mu.Lock()
			s.lease = got.ID
			s.mu.Unlock()
		}
		return err
	})
}

// say writes the key of this host.
func (s *Store) say(ctx context.Context, has bool, lease clientv3.LeaseID, report lab.HostReport) error {
	key := s.key(hostsKey + s.cfg.Host)
	still := absent(key)
	if has {
		still = clientv3.Compare(clientv3.LeaseValue(key), "=", lease)
	}
	text := hostValue{Place: s.cfg.Place, Report: report}.text()
	err := s.etcd.ask(ctx, func(ctx context.Context, c *clientv3.Client) error {
		_, err := c.Txn(ctx).If(still).Then(clientv3.OpPut(key, text, clientv3.WithLease(lease))).Commit()
		return s.expired(lease, err)
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil && reflect.DeepEqual(report, s.report) {
		s.unsaid = false
	}
	return err
}

// lead takes the lead, unless another host is quicker.
func (s *Store) lead(ctx context.Context, lease clientv3.LeaseID) error {
	return s.etcd.ask(ctx, func(ctx context.Context, c *clientv3.Client) error {
		_, err := c.Txn(ctx).
			If(absent(s.key(leaderKey)), clientv3.Compare(clientv3.LeaseValue(s.key(hostsKey+s.cfg.Host)), "=", lease)).
			Then(clientv3.OpPut(s.key(leaderKey), s.cfg.Host, clientv3.WithLease(lease))).Commit()
		return s.expired(lease, err)
	})
}

// renew keeps the lease alive until ctx ends.
func (s *Store) renew(ctx context.Context) {
	tick := time.NewTicker(pulse)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.mu.Lock()
		lease := s.lease
		s.mu.Unlock()
		if lease == 0 {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, silence)
		_ = s.etcd.ask(limited, func(ctx context.Context, c *clientv3.Client) error { // follow says whether the store answers
			return s.expired(lease, keepAlive(ctx, c, lease))
		})
		cancel()
	}
}

// keepAlive renews a lease once, by a stream of one question: see the package's comment.
func keepAlive(ctx context.Context, c *clientv3.Client, lease clientv3.LeaseID) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := pb.NewLeaseClient(c.ActiveConnection()).LeaseKeepAlive(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&pb.LeaseKeepAliveRequest{ID: int64(lease)}); err != nil {
		return err
	}
	answer, err := stream.Recv()
	if err == nil && answer.TTL <= 0 {
		return rpctypes.ErrLeaseNotFound
	}
	return err
}

// expired forgets a lease that etcd does not know any more.
func (s *Store) expired(lease clientv3.LeaseID, err error) error {
	if !isNoLease(err) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lease == lease {
		s.lease = 0
		stir(s.stirred)
		s.cfg.Log.Warn("the lease of this host has ended: others took it for dead", "host", s.cfg.Host)
	}
	return nil
}
