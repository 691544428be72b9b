package host

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

func guardTable() *nftables.Table {
	return &nftables.Table{Name: "plinksim", Family: nftables.TableFamilyNetdev}
}

func (g PortGuard) do(k *kernel) (bool, error)     { return g.chain().do(k) }
func (g PortGuard) undo(k *kernel) error           { return g.chain().undo(k) }
func (g ReceiverGuard) do(k *kernel) (bool, error) { return g.chain().do(k) }
func (g ReceiverGuard) undo(k *kernel) error       { return g.chain().undo(k) }

func (c deviceChain) do(k *kernel) (bool, error) {
	conn, done, err := k.nft(c.namespace)
	if err != nil {
		return false, err
	}
	defer done()
	table, mark := guardTable(), markFor(c.String())
	if rules, err := conn.GetRules(table, c.in(table)); err == nil && len(rules) > 0 {
		if has, _ := userdata.GetString(rules[0].UserData, userdata.TypeComment); has == mark {
			return false, nil
		}
	}
	conn.AddTable(table)
	conn.AddObj(&nftables.CounterObj{Table: table, Name: chainOf(c.device)})
	chain := conn.AddChain(c.in(table))
	conn.FlushChain(chain)
	for i, r := range c.rules {
		rule := &nftables.Rule{Table: table, Chain: chain, Exprs: r.kernel()}
		if i == 0 {
			rule.UserData = userdata.AppendString(nil, userdata.TypeComment, mark)
		}
		conn.AddRule(rule)
	}
	err = conn.Flush()
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT) {
		err = fmt.Errorf("%w: the source/destination check needs nftables at devices (CONFIG_NF_TABLES_NETDEV): "+
			"without it, write source_dest_check: false at each instance", err)
	}
	return true, err
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
	frames := map[string]uint64{}
	err := n.Do(func() error {
		conn, err := nftables.New()
		if err != nil {
			return err
		}
		objects, err := conn.GetObjects(guardTable())
		if err != nil {
			return fmt.Errorf("read the counters of ports of %s: %w", n.name, err)
		}
		for _, o := range objects {
			if c, ok := o.(*nftables.CounterObj); ok {
				frames[strings.TrimPrefix(c.Name, "port-")] = c.Packets
			}
		}
		return nil
	})
	return frames, err
}
