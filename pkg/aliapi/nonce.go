package aliapi

import (
	"crypto/sha256"
	"sync"
	"time"
)

// nonces are those of requests that were answered. A request is good until window after its
// time, which may be window ahead, so that each nonce is kept for at least twice as long, unless
// more than mostNonces come meanwhile.
type nonces struct {
	mu        sync.Mutex
	now, last map[[16]byte]bool // this generation, and the one before
	since     time.Time         // when this one began
}

const mostNonces = 100_000

// use says whether a key's nonce was not used before, and is used now.
func (n *nonces) use(key, nonce string, at time.Time) (first bool) {
	sum := sha256.Sum256([]byte(key + " " + nonce))
	id := [16]byte(sum[:])
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.now == nil || at.Sub(n.since) > 2*window || len(n.now) >= mostNonces {
		n.last, n.now, n.since = n.now, map[[16]byte]bool{}, at
	}
	if n.now[id] || n.last[id] {
		return false
	}
	n.now[id] = true
	return true
}
