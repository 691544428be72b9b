package host

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// Drops counts the packets that security groups kept from starting a flow. A
// client that tries again is counted again.
type Drops struct {
	Ingress, Egress uint64
}

// SecurityGroupDrops reads how many packets the security groups of the
// instance in this namespace have dropped. It is zero where there are none.
func (n *Namespace) SecurityGroupDrops() (Drops, error) {
	c, err := n.counts()
	if err != nil {
		err = fmt.Errorf("read the security group counters of %s: %w", n.name, err)
	}
	return c.Drops, err
}

// Counts are the counters of one namespace.
type Counts struct {
	Drops   Drops
	Spoofed map[string]uint64 // by device: see SpoofedFrames
}

func (n *Namespace) counts() (c Counts, err error) {
	err = n.Do(func() (err error) {
		c, err = countsHere()
		return err
	})
	return c, err
}

// countsHere are those of the namespace of the thread.
func countsHere() (Counts, error) {
	c := Counts{Spoofed: map[string]uint64{}}
	counters, err := countersHere()
	for _, one := range counters {
		switch {
		case one.family == guardTable().Family:
			c.Spoofed[strings.TrimPrefix(one.name, "port-")] = one.packets
		case one.name == ingressSide.counter:
			c.Drops.Ingress = one.packets
		case one.name == egressSide.counter:
			c.Drops.Egress = one.packets
		}
	}
	return c, err
}

// CountsIn reads the counters of many namespaces of the lab in dir. Those that cannot be
// read are left out or 0.
func CountsIn(dir string, names []string) map[string]Counts {
	var mu sync.Mutex
	var next atomic.Int64
	var wait sync.WaitGroup
	counts := make(map[string]Counts, len(names))
	for range min(len(names), workers()) {
		wait.Go(func() {
			_ = onThread(func() error {
				for i := int(next.Add(1)) - 1; i < len(names); i = int(next.Add(1)) - 1 {
					if c, err := countsOf(dir, names[i]); err == nil {
						mu.Lock()
						counts[names[i]] = c
						mu.Unlock()
					}
				}
				return nil
			})
		})
	}
	wait.Wait()
	return counts
}

// countsOf moves the thread into a namespace.
func countsOf(dir, name string) (c Counts, err error) {
	file, err := openNamespace(dir, name)
	if err != nil {
		return c, err
	}
	defer file.Close()
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return c, err
	}
	return countsHere()
}

func (f Firewall) do(k *kernel) (bool, error) {
	table, mark := firewallTable(), f.mark()
	write := func(conn *nftables.Conn) {
		conn.AddTable(table)
		sets := &sets{conn: conn, table: table}
		for _, c := range f.chains() {
			c.write(sets, mark)
		}
	}
	if k.there == nothing {
		return true, k.writeNFT(f.Namespace, write)
	}
	conn, done, err := k.nft(f.Namespace)
	if err != nil {
		return false, err
	}
	defer done()
	if k.there == unknown && markOf(conn) == mark {
		return false, nil
	}
	// All in one transaction: no packet sees the time in between. Counters go on.
	if !f.FiltersEgress && hasChain(conn, egressSide) {
		conn.AddTable(table)
		conn.DelTable(table)
	}
	write(conn)
	return true, conn.Flush()
}

// hasChain says whether the table that is there filters a direction.
func hasChain(conn *nftables.Conn, s side) bool {
	table := firewallTable()
	_, err := conn.GetRules(table, &nftables.Chain{Name: s.chain, Table: table})
	return err == nil
}

func (f Firewall) undo(k *kernel) error {
	conn, done, err := k.nft(f.Namespace)
	if err != nil {
		return ignoreGone(err)
	}
	defer done()
	table := firewallTable()
	conn.AddTable(table)
	conn.DelTable(table)
	return conn.Flush()
}

// tableName is that of all our tables.
const tableName = "plinksim"

func firewallTable() *nftables.Table {
	return &nftables.Table{Name: tableName, Family: nftables.TableFamilyINet}
}

// mark is a comment on the table's first rule, by which a table that is right
// is known.
func (f Firewall) mark() string { return markFor(f.String()) }

func markFor(step string) string {
	sum := sha256.Sum256([]byte(step))
	return "plinksim " + hex.EncodeToString(sum[:8])
}

// markOf is the mark of the table that is there, or "".
func markOf(conn *nftables.Conn) string {
	table := firewallTable()
	rules, err := conn.GetRules(table, &nftables.Chain{Name: ingressSide.chain, Table: table})
	if err != nil || len(rules) == 0 {
		return "" // no such table, as a rule; if not, writing it says what is wrong
	}
	mark, _ := userdata.GetString(rules[0].UserData, userdata.TypeComment)
	return mark
}

// sets are those of a transaction.
type sets struct {
	conn  *nftables.Conn
	table *nftables.Table
	last  uint32
}

// add makes a set that ends with the rule that refers to it, and that reference.
func (s *sets) add(all [][]byte) *expr.Lookup {
	s.last++
	set := &nftables.Set{
		Table: s.table, ID: s.last, Name: "__set%d", Anonymous: true, Constant: true, KeyType: nftables.TypeIPAddr,
	}
	if len(all[0]) == 16 {
		set.KeyType = nftables.TypeIP6Addr
	}
	elements := make([]nftables.SetElement, len(all))
	for i, key := range all {
		elements[i].Key = key
	}
	if err := s.conn.AddSet(set, elements); err != nil {
		panic(err) // such a set can always be written
	}
	return &expr.Lookup{SourceRegister: 1, SetID: set.ID, SetName: set.Name}
}

func (c *chain) write(sets *sets, mark string) {
	conn, table := sets.conn, sets.table
	conn.AddObj(&nftables.CounterObj{Table: table, Name: c.side.counter})
	policy := nftables.ChainPolicyDrop
	nft := conn.AddChain(&nftables.Chain{
		Name: c.side.chain, Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: c.side.hooknum(), Priority: nftables.ChainPriorityFilter, Policy: &policy,
	})
	conn.FlushChain(nft)
	for i, r := range c.rules {
		rule := &nftables.Rule{Table: table, Chain: nft, Exprs: r.kernel(sets)}
		if i == 0 {
			rule.UserData = userdata.AppendString(nil, userdata.TypeComment, mark)
		}
		conn.AddRule(rule)
	}
}

func (s side) hooknum() *nftables.ChainHook {
	if s == ingressSide {
		return nftables.ChainHookInput
	}
	return nftables.ChainHookOutput
}

// kernel are the expressions of a rule as netlink takes them. All use the same
// register. The sets of one that has none may be nil.
func (r nftRule) kernel(sets *sets) (out []expr.Any) {
	for _, e := range r.exprs {
		if a, ok := e.(among); ok {
			out = append(out, sets.add(a.all))
			continue
		}
		out = append(out, kernelExpr(e))
	}
	return out
}

func kernelExpr(e expression) expr.Any {
	switch e := e.(type) {
	case meta:
		return &expr.Meta{Key: metaKeys[e.key], Register: 1}
	case payload:
		return &expr.Payload{DestRegister: 1, Base: headerBases[e.base], Offset: e.offset, Len: e.bytes}
	case bitwise:
		size := len(e.mask)
		return &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: uint32(size), Mask: e.mask, Xor: make([]byte, size)}
	case compare:
		op := expr.CmpOpEq
		if e.not {
			op = expr.CmpOpNeq
		}
		return &expr.Cmp{Op: op, Register: 1, Data: e.data}
	case between:
		return &expr.Range{Op: expr.CmpOpEq, Register: 1, FromData: e.from, ToData: e.to}
	case connectionState:
		return &expr.Ct{Key: expr.CtKeySTATE, Register: 1}
	case count:
		return &expr.Objref{Type: unix.NFT_OBJECT_COUNTER, Name: e.counter}
	case verdict:
		if e.accept {
			return &expr.Verdict{Kind: expr.VerdictAccept}
		}
		return &expr.Verdict{Kind: expr.VerdictDrop}
	}
	panic(fmt.Sprintf("an expression that the kernel does not get: %T", e))
}

var metaKeys = map[metaKey]expr.MetaKey{
	metaNFPROTO: expr.MetaKeyNFPROTO, metaL4PROTO: expr.MetaKeyL4PROTO, metaPROTOCOL: expr.MetaKeyPROTOCOL,
	metaIIF: expr.MetaKeyIIF, metaOIF: expr.MetaKeyOIF, metaIIFTYPE: expr.MetaKeyIIFTYPE,
	metaPKTTYPE: expr.MetaKeyPKTTYPE,
}

var headerBases = map[headerBase]expr.PayloadBase{
	linkHeader: expr.PayloadBaseLLHeader, networkHeader: expr.PayloadBaseNetworkHeader,
	transportHeader: expr.PayloadBaseTransportHeader,
}
