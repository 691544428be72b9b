package host

import (
	"errors"
	"fmt"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

func guardTable() *nftables.Table {
	return &nftables.Table{Name: tableName, Family: nftables.TableFamilyNetdev}
}

func (g PortGuard) do(k *kernel) (bool, error)     { return g.chain().do(k) }
func (g PortGuard) undo(k *kernel) error           { return g.chain().undo(k) }
func (g ReceiverGuard) do(k *kernel) (bool, error) { return g.chain().do(k) }
func (g ReceiverGuard) undo(k *kernel) error       { return g.chain().undo(k) }

func (c deviceChain) do(k *kernel) (bool, error) {
	if k.there == nothing {
		return true, guardError(k.writeNFT(c.namespace, func(conn *nftables.Conn) {
			table := guardTable()
			conn.AddTable(table)
			c.write(conn, table)
		}))
	}
	conn, done, err := k.nft(c.namespace)
	if err != nil {
		return false, err
	}
	defer done()
	table := guardTable()
	if rules, err := conn.GetRules(table, c.in(table)); err == nil && len(rules) > 0 {
		if has, _ := userdata.GetString(rules[0].UserData, userdata.TypeComment); has == markFor(c.String()) {
			return false, nil
		}
	}
	conn.AddTable(table)
	c.write(conn, table)
	return true, guardError(conn.Flush())
}

func (c deviceChain) write(conn *nftables.Conn, table *nftables.Table) {
	conn.AddObj(&nftables.CounterObj{Table: table, Name: chainOf(c.device)})
	chain := conn.AddChain(c.in(table))
	conn.FlushChain(chain)
	for i, r := range c.rules {
		rule := &nftables.Rule{Table: table, Chain: chain, Exprs: r.kernel(nil)}
		if i == 0 {
			rule.UserData = userdata.AppendString(nil, userdata.TypeComment, markFor(c.String()))
		}
		conn.AddRule(rule)
	}
}

func guardError(err error) error {
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT) {
		return fmt.Errorf("%w: the source/destination check needs nftables at devices (CONFIG_NF_TABLES_NETDEV): "+
			"without it, write source_dest_check: false at each instance", err)
	}
	return err
}

// guards are PortGuards of one namespace that are done together: the kernel looks at
// all chains of a table with each transaction, so that one by one they would take a time
// that grows with the square of their number (linux: net/netfilter/nf_tables_api.c,
// nf_tables_validate).
type guards struct {
	namespace string
	steps     []PortGuard
}

// mostGuards is how many guards are in one transaction.
const mostGuards = 500

// guardsOf are the PortGuards among tasks.
func guardsOf(g group) (out []group) {
	var all guards
	for i, t := range g {
		guard, ok := t.Step.(PortGuard)
		if ok {
			all.namespace, all.steps = guard.Namespace, append(all.steps, guard)
		}
		if n := len(all.steps); n == mostGuards || n > 0 && i == len(g)-1 {
			what := "source checks of namespace " + all.namespace
			out, all = append(out, group{task{what, all}}), guards{}
		}
	}
	return out
}

func (g guards) String() string   { return g.steps[0].String() }
func (g guards) replaces() string { return "" }

func (g guards) do(k *kernel) (made bool, err error) {
	if k.there == nothing {
		return true, guardError(g.write(k))
	}
	for _, s := range g.steps {
		m, err := s.do(k)
		if made = made || m; err != nil {
			return made, err
		}
	}
	return made, nil
}

// write makes them in as many transactions as the kernel wants: an ordinary user may not
// send much at once.
func (g guards) write(k *kernel) error {
	err := k.writeNFT(g.namespace, func(conn *nftables.Conn) {
		table := guardTable()
		conn.AddTable(table)
		for _, s := range g.steps {
			s.chain().write(conn, table)
		}
	})
	if half := len(g.steps) / 2; errors.Is(err, unix.EMSGSIZE) && half > 0 {
		err = guards{g.namespace, g.steps[:half]}.write(k)
		if err == nil {
			err = guards{g.namespace, g.steps[half:]}.write(k)
		}
	}
	return err
}

func (g guards) undo(k *kernel) error {
	var errs []error
	for _, s := range slices.Backward(g.steps) {
		errs = append(errs, s.undo(k))
	}
	return errors.Join(errs...)
}

// undo takes the chain away, and the table with the last of them. Where the device
// is gone, the kernel has taken the chain.
func (c deviceChain) undo(k *kernel) error {
	conn, done, err := k.nft(c.namespace)
	if err != nil {
		return ignoreGone(err)
	}
	defer done()
	table := guardTable()
	if chains, err := conn.ListChainsOfTableFamily(table.Family); err == nil {
		for _, chain := range chains {
			if chain.Table.Name == table.Name && chain.Name == chainOf(c.device) {
				conn.FlushChain(chain)
				conn.DelChain(chain)
				if err := conn.Flush(); err != nil {
					return err
				}
			}
		}
	}
	conn.DeleteObject(&nftables.CounterObj{Table: table, Name: chainOf(c.device)})
	if err := conn.Flush(); err != nil {
		return ignoreGone(err)
	}
	if counters, err := conn.GetObjects(table); err != nil || len(counters) > 0 {
		return err
	}
	conn.DelTable(table)
	return ignoreGone(conn.Flush())
}

func (c deviceChain) in(table *nftables.Table) *nftables.Chain {
	policy := nftables.ChainPolicyDrop
	if c.policy == "accept" {
		policy = nftables.ChainPolicyAccept
	}
	return &nftables.Chain{
		Name: chainOf(c.device), Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookIngress,
		Priority: nftables.ChainPriorityFilter, Policy: &policy, Device: c.device,
	}
}

// SpoofedFrames counts what PortGuards and ReceiverGuards of the namespace have
// dropped, by device.
func (n *Namespace) SpoofedFrames() (map[string]uint64, error) {
	c, err := n.counts()
	if err != nil {
		err = fmt.Errorf("read the counters of ports of %s: %w", n.name, err)
	}
	return c.Spoofed, err
}
