package awsapi

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/lab"
	"github.com/plinksim/plinksim/pkg/topology"
	"github.com/plinksim/plinksim/pkg/wire"
)

// KeysFile is the file of a lab's directory that holds the access keys, as a []Key.
const KeysFile = "api-keys.json"

// Key is an access key of an account.
type Key = api.CloudKey

// keys are the access keys of a lab: one for each account, and temporary ones.
type keys struct {
	store lab.Store

	mu   sync.RWMutex
	byID map[string]Key
}

// mostTemporary is how many temporary keys there may be at a time.
const mostTemporary = 10000

func readKeys(store lab.Store) (*keys, error) {
	k := &keys{store: store, byID: map[string]Key{}}
	text, err := store.Load(KeysFile)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	var all []Key
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		return nil, fmt.Errorf("the access keys of the lab cannot be read from %s: %w", KeysFile, err)
	}
	for _, key := range all {
		k.byID[key.ID] = key
	}
	return k, nil
}

// addAccounts gives a key to every account that has none.
func (k *keys) addAccounts(accounts []topology.Account) error {
	if !k.misses(accounts) {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	has := k.accountsLocked()
	for _, a := range accounts {
		if !has[a.Name] {
			key := newKey("AKIA", a.Name)
			k.byID[key.ID] = key
		}
	}
	return k.saveLocked()
}

func (k *keys) misses(accounts []topology.Account) bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	has := k.accountsLocked()
	for _, a := range accounts {
		if !has[a.Name] {
			return true
		}
	}
	return false
}

// accountsLocked are the accounts with a key of their own.
func (k *keys) accountsLocked() map[string]bool {
	out := map[string]bool{}
	for _, key := range k.byID {
		if key.Token == "" {
			out[key.Account] = true
		}
	}
	return out
}

// saveLocked writes down the keys that do not end; a temporary one ends with the
// daemon.
func (k *keys) saveLocked() error {
	var lasting []Key
	for _, key := range k.byID {
		if key.Token == "" {
			lasting = append(lasting, key)
		}
	}
	text, err := json.MarshalIndent(lasting, "", "  ")
	if err != nil {
		panic("keys are plain data: " + err.Error())
	}
	return k.store.Save(KeysFile, text)
}

// newKey has the form of AWS's: 20 capitals and digits, and 40 characters (AWS IAM user
// guide, "IAM identifiers", unique ID prefixes).
func newKey(prefix, account string) Key {
	return Key{
		Account: account, ID: prefix + base32.StdEncoding.EncodeToString(random(10)),
		Secret: base64.StdEncoding.EncodeToString(random(30)),
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails
	return b
}

// temporary makes a key that ends.
func (k *keys) temporary(account, role, session string, now time.Time, lifetime time.Duration) (Key, error) {
	key := newKey("ASIA", account)
	key.Token = base64.StdEncoding.EncodeToString(random(96))
	key.Role, key.Session, key.Expires = role, session, now.Add(lifetime)
	k.mu.Lock()
	defer k.mu.Unlock()
	for id, old := range k.byID {
		if old.Token != "" && old.Expires.Before(now) {
			delete(k.byID, id)
		}
	}
	if len(k.byID) >= mostTemporary {
		return Key{}, wire.Errorf("RequestLimitExceeded", "There are %d temporary keys", mostTemporary)
	}
	k.byID[key.ID] = key
	return key, nil
}

func (k *keys) key(id string) Key {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.byID[id]
}

func (k *keys) secret(id string, now time.Time) (wire.Secret, bool) {
	key := k.key(id)
	if key.ID == "" || !key.Expires.IsZero() && key.Expires.Before(now) {
		return wire.Secret{}, false
	}
	return wire.Secret{Key: key.Secret, Token: key.Token}, true
}

// Keys are the keys of the lab's accounts, in the order of the file, without the temporary
// ones.
func (s *Server) Keys() []Key {
	plan := s.plan()
	_ = s.keys.addAccounts(plan.Accounts) // who cannot be given a key has none here
	s.keys.mu.RLock()
	defer s.keys.mu.RUnlock()
	out := []Key{}
	for _, a := range plan.Accounts {
		for _, key := range s.keys.byID {
			if key.Account == a.Name && key.Token == "" {
				key.AccountID = a.ID
				out = append(out, key)
			}
		}
	}
	return out
}
