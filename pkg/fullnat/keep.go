package fullnat

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"
	"unsafe"

	"github.com/plinksim/plinksim/pkg/fullnat/internal/store"
)

// Memory is where a table has what must outlive the process: regions of memory
// with names, which another process finds again. There is one region of each name
// at a time. Packets read and write it as any other memory; nothing is called for
// them.
type Memory interface {
	// Map makes a region of size bytes, all zero, that starts with a page. Pages
	// that nobody writes to should take no memory.
	Map(name string, size int) ([]byte, error)
	// Unmap ends a region, and forgets what is in it.
	Unmap(name string, region []byte) error
	// Release gives whole pages of a region back, which read as zero from then on.
	Release(pages []byte)
}

// labelRegion is the name of the region that says what the others are.
const labelRegion = "label"

// label is what a table writes down before everything else.
type label struct {
	Magic     [8]byte
	Layout    uint64 // of all that the regions have
	Epoch     int64  // Options.Epoch
	Shard, Of uint64
	Check     uint64 // over the others
}

// copiesOfLabel is how many labels there are: it is the one thing that no session
// can do without.
const copiesOfLabel = 8

func (l label) sum() uint64 {
	l.Check = 0
	return (&store.Record{}).Sum((*[unsafe.Sizeof(l)]byte)(unsafe.Pointer(&l))[:])
}

var labelMagic = [8]byte{'p', 'l', 'i', 'n', 'k', 'n', 'a', 't'}

// layoutVersion is to be raised when something changes its place or its meaning in
// memory that outlives the process.
const layoutVersion = 1

// layout is layoutVersion with the sizes of everything, which differ where
// somebody has forgotten to raise it.
const layout = layoutVersion<<48 |
	uint64(unsafe.Sizeof(store.Flow{}))<<36 | uint64(unsafe.Sizeof(store.Session{}))<<24 |
	uint64(unsafe.Sizeof(store.Record{}))<<12 | uint64(unsafe.Sizeof(identityState{}))

// heritage is what a table has of an earlier one, and says of itself to a later.
type heritage struct {
	left    *Left // until it is taken over
	epoch   time.Duration
	resumed Resumed

	memory Memory
	region []byte
}

// label says in memory whose it is.
func (h *heritage) label(memory Memory, shard store.Shard) (err error) {
	var l label
	if h.region, err = memory.Map(labelRegion, copiesOfLabel*int(unsafe.Sizeof(l))); err != nil {
		return fmt.Errorf("label the session table: %w", err)
	}
	h.memory = memory
	l = label{labelMagic, layout, int64(h.epoch), uint64(shard.Number), uint64(shard.Of), 0}
	l.Check = l.sum()
	for i := range copiesOfLabel {
		store.View[label](h.region)[i] = l
	}
	return nil
}

func (h *heritage) close() error {
	if h.region == nil {
		return nil
	}
	region := h.region
	h.region = nil
	return h.memory.Unmap(labelRegion, region)
}

// markOf is a number that two links share only if they have the same name and
// the same interfaces and match the same: a link of another tenant has another
// one, whatever its addresses are.
func markOf(l *link, name string) uint64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %s %d",
		name, l.ingress.Name, l.egress.Name, l.Match, l.Protocol))
	return binary.LittleEndian.Uint64(sum[:])
}

// record notes a session of which everything is in its place, for a process that
// goes on with it.
func (t *Table) record(id store.SessionID, l *link) {
	if t.heritage.memory == nil {
		return
	}
	there := t.flows.At(t.sessions.At(id).Slots[store.ToProvider])
	k, to := there.Key, &there.Rewrite
	r := store.Record{
		Link: l.mark, Src: k.Src(), Dst: k.Dst(), Local: to.Src, Target: to.Dst,
		SrcPort: k.SrcPort(), DstPort: k.DstPort(), LocalPort: to.SrcPort, TargetPort: to.DstPort,
	}
	t.ledger.Seal(id, &r, &t.addrs)
	if there.Flags&store.Identifies != 0 {
		c := t.identities.at(id)
		c.check = c.sum(&r)
	}
	t.ledger.Enter(id, &r)
}

// sum is a check value over what never changes in the state of r's session. It
// must not be asked of one that tells a header longer than there is room for.
func (c *identityState) sum(r *store.Record) uint64 {
	fixed := [8]byte{0: byte(c.length), 1: byte(c.optionSize), 2: byte(c.optionSize >> 8)}
	if c.early {
		fixed[3] = 1
	}
	return r.Sum(fixed[:]) ^ r.Sum(c.header[:c.length])
}
