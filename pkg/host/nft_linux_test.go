package host

import (
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/plinksim/plinksim/pkg/topology"
)

// manyInstances is twoVPCs with more instances in the first VPC.
func manyInstances(n int) *topology.Plan {
	plan := twoVPCs()
	for i := range n {
		addInstanceTo(&plan.VPCs[0], "vsw1", fmt.Sprintf("many%d", i), fmt.Sprintf("10.10.2.%d", 20+i))
	}
	for i := range plan.VPCs[0].Instances {
		plan.VPCs[0].Instances[i].SourceCheck = true
	}
	return plan
}

func TestInstancesAreDoneSideBySide(t *testing.T) {
	plan := manyInstances(3)
	all := stages(groups(plan))
	require.Len(t, all, 4)
	count, total := map[string]int{}, 0
	for i, stage := range all {
		for _, g := range stage {
			total += len(g)
			for _, task := range g[1:] {
				if _, netns := task.Step.(Netns); netns && i > 0 {
					t.Fatalf("stage %d: %s comes after others of its group", i, task.Step)
				}
			}
			if n, ok := g[0].Step.(Netns); ok {
				count[fmt.Sprintf("%d %s", i, n.Name)]++
			}
		}
	}
	require.Equal(t, map[string]int{
		"0 dataplane": 1, "1 vpc1": 1, "1 vpc2": 1, "2 vpc1.ecs1": 1, "2 vpc1.many0": 1, "2 vpc1.many1": 1,
		"2 vpc1.many2": 1, "2 vpc2.ecs2": 1, "2 vpc2.ecs3": 1,
	}, count)
	require.Len(t, all[3], 1, "the source checks of vpc1 are one step")
	guards := all[3][0][0].Step.(guards)
	require.Len(t, guards.steps, 4)
	require.Equal(t, len(tasks(plan)), total-1+len(guards.steps), "no step is lost")
}

func TestGuardsOfManyInstancesAreSeveralTransactions(t *testing.T) {
	var g group
	for i := range 2*mostGuards + 1 {
		g.add("instance", Netns{fmt.Sprint(i)}, PortGuard{Namespace: "vpc1", Port: fmt.Sprint("p", i)})
	}
	var sizes []int
	for _, one := range guardsOf(g) {
		sizes = append(sizes, len(one[0].Step.(guards).steps))
	}
	require.Equal(t, []int{mostGuards, mostGuards, 1}, sizes)
}

func TestATransactionOfNftablesIsWholeOrRefused(t *testing.T) {
	plan := manyInstances(0)
	dir := built(t, plan)
	require.NoError(t, onThread(func() error {
		k := newKernel(dir)
		defer k.close()
		table := &nftables.Table{Name: "tried", Family: nftables.TableFamilyINet}
		err := k.writeNFT("vpc1", func(conn *nftables.Conn) {
			conn.AddTable(table)
			conn.AddRule(&nftables.Rule{Table: table, Chain: &nftables.Chain{Name: "missing", Table: table}})
		})
		require.ErrorIs(t, err, unix.ENOENT)
		conn, done, err := k.nft("vpc1")
		require.NoError(t, err)
		defer done()
		tables, err := conn.ListTables()
		require.NoError(t, err)
		for _, other := range tables {
			require.NotEqual(t, table.Name, other.Name, "nothing of it is there")
		}
		require.NoError(t, k.writeNFT("vpc1", func(conn *nftables.Conn) { conn.AddTable(table) }))
		tables, err = conn.ListTables()
		require.NoError(t, err)
		require.Contains(t, []string{tables[0].Name, tables[len(tables)-1].Name}, table.Name)
		return nil
	}))
}

func TestParametersOfManyNamespacesAreSet(t *testing.T) {
	plan := manyInstances(mostUses + 8)
	dir := built(t, plan)
	for _, instance := range plan.VPCs[0].Instances {
		ns, err := Open(dir, instance.Namespace)
		require.NoError(t, err)
		require.NoError(t, ns.Do(func() error {
			for parameter, want := range map[string]string{"ipv6/conf/all/disable_ipv6": "1\n", "ipv4/ip_forward": "0\n"} {
				has, err := os.ReadFile("/proc/sys/net/" + parameter)
				require.NoError(t, err)
				require.Equal(t, want, string(has), "%s of %s", parameter, instance.Name)
			}
			return nil
		}))
		require.NoError(t, ns.Close())
	}
}

func TestCountersOfManyNamespacesAreThoseOfEach(t *testing.T) {
	plan := manyInstances(20)
	plan.VPCs[0].SecurityGroups = []topology.SecurityGroup{{Name: "none"}}
	plan.VPCs[0].Instances[0].SecurityGroups = []string{"none"}
	dir := built(t, plan)
	var names []string
	for i, instance := range plan.VPCs[0].Instances {
		names = append(names, instance.Namespace)
		if i > 0 {
			continue
		}
		ns := open(t, dir, plan.VPCs[0].Instances[1].Namespace)
		require.NoError(t, ns.Do(func() error { // which the group does not let in
			conn, err := net.Dial("udp", instance.IP.String()+":9")
			require.NoError(t, err)
			defer conn.Close()
			_, err = conn.Write([]byte("x"))
			return err
		}))
	}
	require.Eventually(t, func() bool {
		return CountsIn(dir, names)[names[0]].Drops.Ingress == 1
	}, 10*time.Second, 10*time.Millisecond)
	counts := CountsIn(dir, append(names, "missing", "vpc1"))
	require.Len(t, counts, len(names)+1)
	require.Len(t, counts["vpc1"].Spoofed, len(names), "one for each port")
	require.Equal(t, map[string]uint64{"eth0": 0}, counts[names[1]].Spoofed)
}
