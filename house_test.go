package plinksim

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/internal/house"
)

// A type with more functions than this, its methods and those of its package
// whose first parameter it is, cannot be read or tested in parts.
const mostFunctions = 60

// large are the types that may have more, and why.
var large = map[string]string{
	"pkg/fullnat.Table": "it judges every packet; what it remembers is in types of pkg/fullnat/internal/store",
}

func TestNoTypeIsTooLargeToBeRead(t *testing.T) {
	for _, r := range tree(t).Receivers() {
		if large[r.Name] == "" {
			require.LessOrEqual(t, r.Functions, mostFunctions, "%s: split it", r.Name)
		} else {
			require.Greater(t, r.Functions, mostFunctions, "%s needs no exception any more", r.Name)
		}
	}
}

// Nearly all lines can be read without scrolling: struct tags and long texts
// are the others.
func TestLinesAreAtMost120Columns(t *testing.T) {
	var files []house.File
	for _, p := range tree(t).Sorted() {
		files = append(files, p.Files...)
	}
	wide, all := house.Wide(files, 120)
	require.Less(t, 1000*wide, 5*all, "%d of %d lines are longer; \"make count\" says in which packages", wide, all)
}

// A program that asks a lab's daemon over its socket runs where no lab can.
func TestTheClientOfTheSocketNeedsNoKernel(t *testing.T) {
	ours, others := tree(t).Imports("pkg/api")
	for _, kernel := range []string{"pkg/host", "pkg/lab", "pkg/dataplane"} {
		require.NotContains(t, ours, kernel)
	}
	for _, kernel := range []string{"netlink", "netns", "nftables", "mdlayher"} {
		require.False(t, slices.ContainsFunc(others, func(name string) bool { return strings.Contains(name, kernel) }),
			"%s among %s", kernel, others)
	}
}

// gVisor is for tests: it would make the program larger, and say nothing about
// kernels.
func TestTheProgramLinksNoNetworkStack(t *testing.T) {
	ours, others := tree(t).Imports("cmd/plinksim")
	require.NotContains(t, ours, "pkg/machine/netstack")
	require.NotContains(t, ours, "pkg/plinktest")
	require.False(t, slices.ContainsFunc(others, func(name string) bool { return strings.HasPrefix(name, "gvisor.dev/") }),
		"gVisor among %s", others)
	_, others = tree(t).Imports("pkg/machine/netstack")
	require.True(t, slices.ContainsFunc(others, func(name string) bool { return strings.HasPrefix(name, "gvisor.dev/") }),
		"this test sees what a package links")
}

// The client of etcd is large, and whoever embeds a lab does without it: the program alone
// has it, and hands it to pkg/lab, which knows an interface.
func TestTheProgramAloneLinksEtcd(t *testing.T) {
	etcd := func(name string) bool {
		return strings.HasPrefix(name, "go.etcd.io/") || strings.HasPrefix(name, "google.golang.org/grpc")
	}
	for dir := range goFiles(t) {
		ours, others := tree(t).Imports(dir)
		linked := slices.Contains(ours, "pkg/etcd") || slices.ContainsFunc(others, etcd)
		require.Equal(t, dir == "cmd/plinksim" || dir == "pkg/etcd", linked, "%s links etcd", dir)
	}
}

// What differs between clouds is a named field of a profile, with its source.
// Code that asks for a cloud's name hides a difference.
func TestNoCodeAsksWhichCloudItIs(t *testing.T) {
	require.Empty(t, tree(t).CloudComparisons(), "make it a field of topology.Profile")
}

var readTree = sync.OnceValues(func() (*house.Tree, error) { return house.Read(".") })

func tree(t *testing.T) *house.Tree {
	t.Helper()
	tree, err := readTree()
	require.NoError(t, err)
	return tree
}
