package store

import (
	"math/bits"
	"sync/atomic"
	"unsafe"
)

// Ledger has a record of each session in memory that outlives the process. What
// packets change of a session is in its flows, in such memory too; the record is
// what never changes, with a check value over it, and is written when the session
// opens and struck when it ends. So another process can tell which flows are
// whole, whatever this one was doing when it was killed. Where the memory is of
// this process alone there is no ledger, and nothing is written.
type Ledger struct {
	records memory[Record]
	addrs   memory[Addresses]
	touched SessionID
}

// The names of the ledger's memory.
const (
	RecordsRegion   = "records"
	AddressesRegion = "addresses"
)

// Addresses are those of a session with IPv6, in the order of Record's numbers.
type Addresses [4][16]byte

// Record is what never changes of a session. Addresses are numbers as everywhere;
// where one of them stands for an address of IPv6, all are also among Addresses.
type Record struct {
	Link                                    uint64 // what tells its link from all others
	Src, Dst, Local, Target                 uint32 // consumer, endpoint, NAT IP and server
	SrcPort, DstPort, LocalPort, TargetPort uint16
	check                                   uint64
}

// Init makes room for sessions, where the memory outlives the process.
func (l *Ledger) Init(sessions int, backing Backing) error {
	if backing.Source == nil {
		return nil
	}
	onTouch := Backing{Source: backing.Source}
	if err := l.records.init(RecordsRegion, sessions, onTouch); err != nil {
		return err
	}
	return l.addrs.init(AddressesRegion, sessions, onTouch)
}

// Close gives the memory back.
func (l *Ledger) Close() error {
	if err := l.records.Close(); err != nil {
		return err
	}
	return l.addrs.Close()
}

// Enter notes a session, of which everything else is in its place by now. The
// record is sealed.
func (l *Ledger) Enter(id SessionID, r *Record) {
	l.touched = max(l.touched, id+1)
	at, sealed := &l.records.All[id], *r
	sealed.check = 0
	*at = sealed
	atomic.StoreUint64(&at.check, r.check)
}

// Seal gives a record its check value, before it is entered.
func (l *Ledger) Seal(id SessionID, r *Record, addrs *Addrs) {
	var a *Addresses
	if r.HasIPv6() {
		a = &l.addrs.All[id]
		for i, n := range r.Numbers() {
			a[i] = addrs.Addr(n).As16()
		}
	}
	r.check = r.sum(id, a)
}

// Strike is told of a session that ends, before anything of it is taken away.
func (l *Ledger) Strike(id SessionID) {
	if l.records.All != nil {
		atomic.StoreUint64(&l.records.All[id].check, 0)
	}
}

// Trim gives memory back that is behind all of the sessions', a huge page at a
// time, and says whether it did.
func (l *Ledger) Trim(sessions *Sessions) bool {
	const perChunk = HugePage / SessionID(unsafe.Sizeof(Record{}))
	if l.touched < perChunk || l.touched-perChunk < sessions.Touched {
		return false
	}
	l.records.release(int(l.touched-perChunk), int(l.touched))
	l.touched -= perChunk
	return true
}

// IsRecorded says whether there is a record, whole or not.
func (r *Record) IsRecorded() bool { return r.check != 0 }

// IsWhole says whether a record is that of a session, as it was entered. addrs is
// what there is for a session with IPv6.
func (r *Record) IsWhole(id SessionID, addrs *Addresses) bool {
	return r.check != 0 && r.check == r.sum(id, addrs)
}

// HasIPv6 says whether an address is one of IPv6.
func (r *Record) HasIPv6() bool {
	return IsIPv6(r.Src) || IsIPv6(r.Dst) || IsIPv6(r.Local) || IsIPv6(r.Target)
}

// Numbers are the addresses.
func (r *Record) Numbers() [4]uint32 { return [4]uint32{r.Src, r.Dst, r.Local, r.Target} }

// Is says whether a flow is the one of the record's session in a direction.
func (r *Record) Is(e *Flow, d Direction) bool {
	k := e.Key
	if d == ToProvider {
		return k.Src() == r.Src && k.Dst() == r.Dst && k.SrcPort() == r.SrcPort && k.DstPort() == r.DstPort
	}
	return k.Src() == r.Target && k.Dst() == r.Local && k.SrcPort() == r.TargetPort && k.DstPort() == r.LocalPort
}

// Sum is a check value over bytes that belong to the record's session and change
// as little as it does.
func (r *Record) Sum(bytes []byte) uint64 {
	sum := fold(r.check, uint64(len(bytes)))
	for ; len(bytes) > 0; bytes = bytes[min(8, len(bytes)):] {
		var word uint64
		for i, b := range bytes[:min(8, len(bytes))] {
			word |= uint64(b) << (8 * i)
		}
		sum = fold(sum, word)
	}
	return sum
}

// sum is never 0. addrs is nil where there is no IPv6.
func (r *Record) sum(id SessionID, addrs *Addresses) uint64 {
	sum := fold(r.Link, uint64(id))
	sum = fold(sum, uint64(r.Src)<<32|uint64(r.Dst))
	sum = fold(sum, uint64(r.Local)<<32|uint64(r.Target))
	sum = fold(sum, uint64(r.SrcPort)<<48|uint64(r.DstPort)<<32|uint64(r.LocalPort)<<16|uint64(r.TargetPort))
	if addrs != nil {
		for _, word := range (*[8]uint64)(unsafe.Pointer(addrs)) {
			sum = fold(sum, word)
		}
	}
	return max(sum, 1)
}

// fold mixes a word into a check value: against accidents, not against anybody
// who can write to the memory. A single bit changes about half of the bits.
func fold(sum, word uint64) uint64 {
	high, low := bits.Mul64(sum^0x9e3779b97f4a7c15, word^0xd6e8feb86659fd93)
	return high ^ low ^ bits.RotateLeft64(sum, 29) ^ word
}
