package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/plinksim/plinksim/pkg/aliapi"
	"github.com/plinksim/plinksim/pkg/api"
	"github.com/plinksim/plinksim/pkg/awsapi"
	"github.com/plinksim/plinksim/pkg/cloudapi"
	"github.com/plinksim/plinksim/pkg/lab"
)

// cloudFile is the file of the lab's store that says how a daemon that takes the lab over
// answers the clients of the cloud, as an api.CloudAPI.
const cloudFile = "api-cloud.json"

// cloud is where the server answers the clients of the lab's cloud.
type cloud struct {
	lab        *lab.Lab
	store      lab.Store
	log        *slog.Logger
	transition time.Duration
	changer    cloudapi.Changer // nil: the lab

	mu      sync.Mutex
	api     answering
	asked   api.CloudAPI
	at      string // the address that it became
	end     context.CancelFunc
	stopped bool
}

// answering is the API of a cloud for the lab.
type answering interface {
	Serve(ctx context.Context, ln net.Listener) error
	Keys() []api.CloudKey
	Calls() []api.CloudCall
}

// inside is an API that also answers programs on instances, and runs what clients give
// instances to run.
type inside interface {
	ServeInVPCs(on bool) error
	RunScripts(on bool)
}

// answeringFor is the API of the lab's cloud. Where there is none, the error says so.
func answeringFor(cfg cloudapi.Config) (answering, error) {
	if cfg.Lab.Plan().Profile.AlibabaAPI {
		return aliapi.New(cfg)
	}
	return awsapi.New(cfg)
}

func newCloud(s *Server) *cloud {
	c := &cloud{lab: s.Lab, store: s.Store, log: s.Log, transition: s.Transition}
	if s.Peers != nil {
		c.changer = leading{s.Peers, s.Lab}
	}
	if c.store == nil {
		c.store = &lab.MemoryStore{}
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	return c
}

// resume answers where the daemon before this one did.
func (c *cloud) resume() {
	text, err := c.store.Load(cloudFile)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var wanted api.CloudAPI
	if err == nil {
		err = json.Unmarshal(text, &wanted)
	}
	if err == nil {
		_, err = c.serve(wanted)
	}
	if err != nil {
		c.log.Error("the lab's API does not answer any more", "address", wanted.Address, "error", err)
	}
}

// serve answers as wanted says. It starts at the new address before it stops at the old one.
func (c *cloud) serve(wanted api.CloudAPI) (api.CloudAPI, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return api.CloudAPI{}, errors.New("the lab is just being taken down")
	}
	if c.api == nil {
		made, err := answeringFor(cloudapi.Config{Lab: c.lab, Changer: c.changer, Store: c.store, Log: c.log, Transition: c.transition})
		if err != nil {
			return api.CloudAPI{}, err
		}
		c.api = made
	}
	if c.end == nil || wanted.Address != c.asked.Address && wanted.Address != c.at {
		ln, err := api.ListenCloud(wanted.Address)
		if err != nil {
			return api.CloudAPI{}, err
		}
		c.closeLocked()
		c.asked.Address, c.at = wanted.Address, ln.Addr().String()
		c.serveLocked(ln)
	}
	if err := c.goInsideLocked(wanted); err != nil {
		return api.CloudAPI{}, err
	}
	return c.toldLocked(), c.saveLocked()
}

func (c *cloud) goInsideLocked(wanted api.CloudAPI) error {
	there, ok := c.api.(inside)
	if !ok {
		if wanted.InVPCs || wanted.Exec {
			return fmt.Errorf("the API of cloud %s neither answers in VPCs nor runs anything", c.lab.Plan().Cloud)
		}
		return nil
	}
	there.RunScripts(wanted.Exec)
	c.asked.Exec = wanted.Exec
	if wanted.InVPCs == c.asked.InVPCs {
		return nil
	}
	if err := there.ServeInVPCs(wanted.InVPCs); err != nil {
		return err
	}
	c.asked.InVPCs = wanted.InVPCs
	return nil
}

// saveLocked writes down how the API answers, with the port that it has.
func (c *cloud) saveLocked() error {
	text, err := json.Marshal(api.CloudAPI{Address: c.at, InVPCs: c.asked.InVPCs, Exec: c.asked.Exec})
	if err != nil {
		panic("how an API answers is plain data: " + err.Error())
	}
	return c.store.Save(cloudFile, text)
}

func (c *cloud) serveLocked(ln net.Listener) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	server := c.api
	go func() {
		defer close(done)
		if err := server.Serve(ctx, ln); err != nil {
			c.log.Error("the lab's API ended", "error", err)
		}
	}()
	c.end = func() {
		cancel()
		<-done
	}
}

// stop ends it for good.
func (c *cloud) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	c.closeLocked()
}

func (c *cloud) closeLocked() {
	if c.end != nil {
		c.end()
		c.end = nil
	}
}

// toldLocked is where the API answers, with the keys of the accounts.
func (c *cloud) toldLocked() api.CloudAPI {
	plan := c.lab.Plan()
	out := api.CloudAPI{Address: c.at, InVPCs: c.asked.InVPCs, Exec: c.asked.Exec, Cloud: string(plan.Cloud),
		Region: plan.Region, Keys: []api.CloudKey{}}
	if c.api != nil {
		out.Keys = c.api.Keys()
	}
	return out
}

func (c *cloud) start(w http.ResponseWriter, r *http.Request) {
	var asked api.CloudAPI
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	told, err := c.serve(asked)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	answer(w, told)
}

func (c *cloud) tell(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	answer(w, c.toldLocked())
}

func (c *cloud) calls(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	server := c.api
	c.mu.Unlock()
	calls := []api.CloudCall{}
	if server != nil {
		calls = append(calls, server.Calls()...)
	}
	answer(w, calls)
}
