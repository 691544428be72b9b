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

func (g PortGuard) do(k *kernel) (bool, error) {
	if err := k.enter(g.Namespace); err != nil {
		return false, err
	}
	conn, err := nftables.New()
	if err != nil {
		return false, err
	}
	table, mark := guardTable(), markFor(g.String())
	if rules, err := conn.GetRules(table, g.chain(table)); err == nil && len(rules) > 0 {
		if has, _ := userdata.GetString(rules[0].UserData, userdata.TypeComment); has == mark {
			return false, nil
		}
	}
	conn.AddTable(table)
	conn.AddObj(&nftables.CounterObj{Table: table, Name: g.chainName()})
	chain := conn.AddChain(g.chain(table))
	conn.FlushChain(chain)
	for i, r := range g.rules() {
		rule := &nftables.Rule{Table: table, Chain: chain, Exprs: r.kernel()}
		if i == 0 {
			rule.UserData = userdata.AppendString(nil, userdata.TypeComment, mark)
		}
		conn.AddRule(rule)
	}
	err = conn.Flush()
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT) {
		err = fmt.Errorf("%w: the source check needs nftables at devices (CONFIG_NF_TABLES_NETDEV): "+
			"without it, write source_dest_check: false at each instance", err)
	}
	return true, err
}

// undo takes the chain away. Where the port is gone, the kernel has done that.
func (g PortGuard) undo(k *kernel) error {
	if err := k.enter(g.Namespace); err != nil {
		return ignoreGone(err)
	}
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	table := guardTable()
	if chains, err := conn.ListChainsOfTableFamily(table.Family); err == nil {
		for _, chain := range chains {
			if chain.Table.Name == table.Name && chain.Name == g.chainName() {
				conn.FlushChain(chain)
				conn.DelChain(chain)
				if err := conn.Flush(); err != nil {
					return err
				}
			}
		}
	}
	conn.DeleteObject(&nftables.CounterObj{Table: table, Name: g.chainName()})
	return ignoreGone(conn.Flush())
}

func (g PortGuard) chain(table *nftables.Table) *nftables.Chain {
	policy := nftables.ChainPolicyDrop
	return &nftables.Chain{
		Name: g.chainName(), Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookIngress,
		Priority: nftables.ChainPriorityFilter, Policy: &policy, Device: g.Port,
	}
}

// SpoofedFrames counts what PortGuards of the namespace have dropped, by port.
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
