package lab

import (
	"io/fs"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/plinksim/plinksim/pkg/control"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/topofile"
	"github.com/plinksim/plinksim/pkg/topology"
)

const offered = `
name: saved
cloud: rfc
region: r1
vpcs:
  vpc1: {cidr: 10.0.0.0/16, subnets: {vsw1: {zone: a, cidr: 10.0.0.0/24}}}
  vpc2: {cidr: 10.1.0.0/16, subnets: {vsw2: {zone: a, cidr: 10.1.0.0/24}}, instances: {ecs2: {subnet: vsw2}}}
server_groups:
  rs1: {vpc: vpc2, servers: [{instance: ecs2, port: 80}]}
load_balancers:
  clb1: {type: clb, vpc: vpc2, subnets: [vsw2], listeners: [{protocol: tcp, port: 80, server_group: rs1}]}
endpoint_services:
  svc1: {resources: [clb1]}
endpoints:
  ep1: {service: svc1, vpc: vpc1, subnets: [vsw1]}
`

func newSavedPlane(t *testing.T) *control.Plane {
	t.Helper()
	plan, err := topofile.Parse("saved.yaml", []byte(offered))
	require.NoError(t, err)
	plane, err := control.NewPlane(plan, time.Now)
	require.NoError(t, err)
	return plane
}

// What cannot be saved is told to whoever asks, until it is.
func TestWhatCannotBeSavedIsTold(t *testing.T) {
	dir := labdir.Dir(t.TempDir())
	files := newStateFiles(dir, slog.New(slog.DiscardHandler))
	plane := newSavedPlane(t)
	files.restore(plane)
	require.NoError(t, files.save())
	require.Empty(t, files.problems())

	require.NoError(t, os.Mkdir(dir.Path("state.json.next"), 0o700)) // nobody can write it now
	_, err := plane.Do(topology.Operation{Verb: "accept", Service: "svc1", Endpoint: "ep1"})
	require.NoError(t, err)
	var unsaved *NotSavedError
	require.ErrorAs(t, files.save(), &unsaved)
	require.ErrorContains(t, unsaved, "the change was made, but it could not be saved: open ")
	require.ErrorAs(t, files.save(), &unsaved, "and again, though nothing has changed since")
	require.ErrorAs(t, files.put(faultsFile, []byte("{}")), &unsaved, "and with another file, which is written")
	require.FileExists(t, dir.Path(faultsFile))
	require.Len(t, files.problems(), 1)
	require.Contains(t, files.problems()[0], "the newest changes could not be saved: ")

	require.NoError(t, os.Remove(dir.Path("state.json.next")))
	require.NoError(t, files.save())
	require.Empty(t, files.problems())
	next := newSavedPlane(t)
	newStateFiles(dir, slog.New(slog.DiscardHandler)).restore(next)
	require.Equal(t, control.Connecting, next.State().Connections[0].State)
}

// A lab comes up without what it cannot read, and says so.
func TestWhatCannotBeRestoredIsTold(t *testing.T) {
	dir := labdir.Dir(t.TempDir())
	for _, name := range []string{stateFile, faultsFile} {
		require.NoError(t, os.WriteFile(dir.Path(name), []byte("{"), 0o600))
	}
	files := newStateFiles(dir, slog.New(slog.DiscardHandler))
	files.restore(newSavedPlane(t))
	require.Empty(t, files.edits())
	require.NotNil(t, restoreFaults(files))
	got := files.problems()
	require.Len(t, got, 3)
	for i, want := range []string{
		"the state of the control plane could not be restored from " + dir.Path(stateFile),
		"what was edited and created beside the topology file could not be restored from " + dir.Path(stateFile),
		"the faults that were set could not be restored from " + dir.Path(faultsFile),
	} {
		require.Contains(t, got[i], want)
	}
}

// Labs of older versions, which kept edits apart, and of one that only knew
// additions, go on with them.
func TestOlderFilesAreRead(t *testing.T) {
	want := []topology.Change{{Edit: topology.Edit{Path: "endpoints/ep2", Value: "service: svc1\n"}}}
	for name, text := range map[string]string{
		addedFile: `[{"key": "endpoints", "name": "ep2", "value": "service: svc1\n"}]`,
		editsFile: `[{"path": "endpoints/ep2", "value": "service: svc1\n"}]`,
	} {
		store := &MemoryStore{}
		before := newSavedPlane(t)
		_, err := before.Do(topology.Operation{Verb: "accept", Service: "svc1", Endpoint: "ep1"})
		require.NoError(t, err)
		state, err := before.Save()
		require.NoError(t, err)
		require.NoError(t, store.Save(stateFile, state))
		require.NoError(t, store.Save(name, []byte(text)))
		for range 2 { // also as it is written now
			files, plane := newStateFiles(store, slog.New(slog.DiscardHandler)), newSavedPlane(t)
			require.Equal(t, want, files.edits())
			files.restore(plane)
			require.Equal(t, control.Connecting, plane.State().Connections[0].State)
			require.Empty(t, files.problems())
			files.saveEdits(want)
			_, err = store.Load(name)
			require.ErrorIs(t, err, fs.ErrNotExist)
		}
	}
}
