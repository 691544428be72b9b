package cloudapi

import (
	"crypto/rand"
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

// KeyRing has the access keys of a lab: one for each account, and temporary ones. Its
// methods may be called from any goroutine.
type KeyRing struct {
	store lab.Store
	form  KeyForm

	mu   sync.RWMutex
	byID map[string]Key
	// ofInstances are the temporary ones that outlive the daemon: programs on instances
	// do not ask for others before theirs end.
	ofInstances map[string]bool
}

// mostTemporary is how many temporary keys there may be at a time.
const mostTemporary = 10000

// KeyForm makes new keys in the form of a cloud: their identifiers and secrets.
type KeyForm func(account string, temporary bool) Key

func readKeys(store lab.Store, form KeyForm) (*KeyRing, error) {
	k := &KeyRing{store: store, form: form, byID: map[string]Key{}, ofInstances: map[string]bool{}}
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
		if key.Token != "" {
			k.ofInstances[key.ID] = true
		}
	}
	return k, nil
}

// AddAccounts gives a key to every account that has none.
func (k *KeyRing) AddAccounts(accounts []topology.Account) error {
	if !k.misses(accounts) {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	has := k.accountsLocked()
	for _, a := range accounts {
		if !has[a.Name] {
			key := k.form(a.Name, false)
			k.byID[key.ID] = key
		}
	}
	return k.saveLocked()
}

func (k *KeyRing) misses(accounts []topology.Account) bool {
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
func (k *KeyRing) accountsLocked() map[string]bool {
	out := map[string]bool{}
	for _, key := range k.byID {
		if key.Token == "" {
			out[key.Account] = true
		}
	}
	return out
}

// saveLocked writes down the keys that do not end, and those of instances; another
// temporary one ends with the daemon.
func (k *KeyRing) saveLocked() error {
	var lasting []Key
	for _, key := range k.byID {
		if key.Token == "" || k.ofInstances[key.ID] {
			lasting = append(lasting, key)
		}
	}
	text, err := json.MarshalIndent(lasting, "", "  ")
	if err != nil {
		panic("keys are plain data: " + err.Error())
	}
	return k.store.Save(KeysFile, text)
}

// RandomBytes are bytes that nobody can foresee.
func RandomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails
	return b
}

// Temporary makes a key that ends.
func (k *KeyRing) Temporary(account, role, session string, now time.Time, lifetime time.Duration) (Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.temporaryLocked(account, role, session, now, lifetime)
}

// OfInstance are keys of an instance's role: those that were given out before, or new
// ones, which last for lifetime, where the others end sooner than after rest. They
// outlive the daemon.
func (k *KeyRing) OfInstance(account, role, instance string, now time.Time, lifetime, rest time.Duration) (Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for id := range k.ofInstances {
		key := k.byID[id]
		if key.Account == account && key.Role == role && key.Session == instance && key.Expires.After(now.Add(rest)) {
			return key, nil
		}
	}
	key, err := k.temporaryLocked(account, role, instance, now, lifetime)
	if err == nil {
		k.ofInstances[key.ID] = true
		err = k.saveLocked()
	}
	return key, err
}

func (k *KeyRing) temporaryLocked(account, role, session string, now time.Time, lifetime time.Duration) (Key, error) {
	key := k.form(account, true)
	key.Token = base64.StdEncoding.EncodeToString(RandomBytes(96))
	key.Role, key.Session, key.Expires = role, session, now.Add(lifetime)
	for id, old := range k.byID {
		if old.Token != "" && old.Expires.Before(now) {
			delete(k.byID, id)
			delete(k.ofInstances, id)
		}
	}
	if len(k.byID) >= mostTemporary {
		return Key{}, fmt.Errorf("there are %d temporary keys", mostTemporary)
	}
	k.byID[key.ID] = key
	return key, nil
}

// Key is the key with an identifier, the zero value where there is none.
func (k *KeyRing) Key(id string) Key {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.byID[id]
}

// Secret is what belongs to a key's identifier at a time, for a verifier.
func (k *KeyRing) Secret(id string, now time.Time) (wire.Secret, bool) {
	key := k.Key(id)
	if key.ID == "" || !key.Expires.IsZero() && key.Expires.Before(now) {
		return wire.Secret{}, false
	}
	return wire.Secret{Key: key.Secret, Token: key.Token}, true
}

// Keys are the keys of the lab's accounts, in the order of the file, without the temporary
// ones.
func (s *Server) Keys() []Key {
	plan := s.CurrentPlan()
	_ = s.Ring.AddAccounts(plan.Accounts) // who cannot be given a key has none here
	s.Ring.mu.RLock()
	defer s.Ring.mu.RUnlock()
	out := []Key{}
	for _, a := range plan.Accounts {
		for _, key := range s.Ring.byID {
			if key.Account == a.Name && key.Token == "" {
				key.AccountID = a.ID
				out = append(out, key)
			}
		}
	}
	return out
}
