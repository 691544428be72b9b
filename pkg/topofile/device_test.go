package topofile

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/plinksim/plinksim/pkg/packet"
)

func TestDeviceNamesOfOneNamespaceDiffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, seen := newDevices(), map[string]bool{}
		wishes := rapid.SliceOfN(rapid.StringMatching(`[ab]{1,3}(-[a-c]{0,20}[a-c])?`), 1, 60).Draw(t, "wishes")
		for _, wish := range wishes {
			name := d.name(wish)
			require.False(t, seen[name], name)
			require.NotEmpty(t, name)
			require.LessOrEqual(t, len(name), maxDevice)
			seen[name] = true
		}
	})
}

// No frame leaves a subnet, and in it each MAC is that of one device.
func TestNoTwoDevicesOfASubnetHaveOneMAC(t *testing.T) {
	files, err := filepath.Glob("../../testdata/topologies/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		if strings.HasSuffix(file, "as-printed.yaml") {
			continue // they have the faults of the documents
		}
		plan, err := Load(file)
		require.NoError(t, err)
		owner := map[string]string{}
		add := func(vpc, subnet string, mac packet.MAC, name string) {
			key := fmt.Sprintf("%s %s %s", vpc, subnet, mac)
			require.Empty(t, owner[key], "%s: %s and %s have %s", file, owner[key], name, mac)
			owner[key] = name
		}
		for _, vpc := range plan.VPCs {
			for _, s := range vpc.Subnets {
				add(vpc.Name, s.Name, s.MAC, "the gateway")
			}
			for _, i := range vpc.Instances {
				add(vpc.Name, i.Subnet, i.MAC, i.Name)
			}
		}
		for _, eni := range plan.ENIs() {
			add(eni.VPC, eni.Subnet, eni.MAC, eni.Name)
		}
		for _, balancer := range plan.LoadBalancers {
			for _, node := range balancer.Nodes {
				if node.Proxy != nil {
					add(balancer.VPC, node.Subnet, node.Proxy.MAC, node.ENI.Name)
				}
			}
		}
	}
}
