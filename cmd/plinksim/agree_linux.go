package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/plinksim/plinksim/pkg/etcd"
	"github.com/plinksim/plinksim/pkg/labdir"
	"github.com/plinksim/plinksim/pkg/peer"
	"github.com/plinksim/plinksim/pkg/topology"
)

// addEtcd is the flag that says where the hosts of a lab agree.
func addEtcd(cmd *cobra.Command, members *[]string) {
	cmd.Flags().StringSliceVar(members, "etcd", nil, "with --host and --tls: the members of an etcd by which the hosts agree, "+
		"https://HOST:PORT,...: operations and edits on one host are in force on all")
}

// checkEtcd says why the hosts cannot agree by etcd.
func checkEtcd(members []string, host, tlsDir string) error {
	switch {
	case len(members) == 0:
		return nil
	case host == "" || tlsDir == "":
		return &usageError{errors.New("--etcd is for a host of a topology over several that has a certificate: give --host and --tls, too")}
	}
	if err := etcd.CheckEndpoints(members); err != nil {
		return &usageError{err}
	}
	return nil
}

// Files of a lab's directory: how its host reaches the store, so that it can be taken out of
// there without its daemon, and what the hosts agreed on, as pkg/lab keeps it.
const (
	etcdFile   = "etcd.json"
	agreedFile = "agreed.json"
)

// etcdOf is how the host of a lab reaches its store.
type etcdOf struct {
	Members []string `json:"members"`
	TLS     string   `json:"tls"` // directory
	Host    string   `json:"host"`
	Place   string   `json:"place"` // see etcd.Config
}

// openEtcd connects the host of a lab to its store, nil where it has none.
func openEtcd(ctx context.Context, dir labdir.Dir, members []string, host, tlsDir string, log *slog.Logger) (*etcd.Store, error) {
	if len(members) == 0 {
		return nil, nil
	}
	of, err := readEtcd(dir)
	if err != nil {
		return nil, err
	}
	if of == nil || of.Host != host {
		of = &etcdOf{Place: etcd.NewPlace()}
	}
	of.Members, of.TLS, of.Host = members, tlsDir, host
	text, err := json.Marshal(of)
	if err != nil {
		return nil, err
	}
	if err := dir.Save(etcdFile, text); err != nil {
		return nil, err
	}
	_, err = dir.Load(agreedFile)
	return of.open(ctx, dir, err == nil, log)
}

// readEtcd is how the host of a lab reaches its store, nil where it has none.
func readEtcd(dir labdir.Dir) (*etcdOf, error) {
	text, err := dir.Load(etcdFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	of := &etcdOf{}
	if err == nil {
		err = json.Unmarshal(text, of)
	}
	return of, err
}

func (of *etcdOf) open(ctx context.Context, dir labdir.Dir, goesOn bool, log *slog.Logger) (*etcd.Store, error) {
	own, err := peer.Load(of.TLS, &topology.Host{Name: of.Host}, time.Now())
	if err != nil {
		return nil, err
	}
	return etcd.Open(ctx, etcd.Config{
		Endpoints: of.Members, TLS: own.Client(""), Lab: dir.Name(), Host: of.Host, Place: of.Place, GoesOn: goesOn, Log: log,
	})
}

// leaveEtcd takes the host of a lab out of its store where its daemon has not done so.
func leaveEtcd(ctx context.Context, dir labdir.Dir) error {
	of, err := readEtcd(dir)
	if of == nil || err != nil {
		return err
	}
	store, err := of.open(ctx, dir, false, nil)
	if err != nil {
		return err
	}
	return store.Down()
}

// sameEtcd says whether a lab that is up agrees by these members, whatever their order.
func sameEtcd(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}
