package server

import (
	"context"
	"encoding/json"
	"errors"
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

// addressFile is the file of the lab's store that says where a daemon that takes the lab
// over answers the clients of the cloud.
const addressFile = "api-address"

// cloud is where the server answers the clients of the lab's cloud.
type cloud struct {
	lab        *lab.Lab
	store      lab.Store
	log        *slog.Logger
	transition time.Duration

	mu      sync.Mutex
	api     answering
	asked   string
	at      string // what it became
	end     context.CancelFunc
	stopped bool
}

// answering is the API of a cloud for the lab.
type answering interface {
	Serve(ctx context.Context, ln net.Listener) error
	Keys() []api.CloudKey
	Calls() []api.CloudCall
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
	address, err := c.store.Load(addressFile)
	if err != nil || len(address) == 0 {
		return
	}
	if _, err := c.listen(string(address)); err != nil {
		c.log.Error("the lab's API does not answer any more", "address", string(address), "error", err)
	}
}

// listen starts at the new address before it stops at the old one.
func (c *cloud) listen(address string) (api.CloudAPI, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return api.CloudAPI{}, errors.New("the lab is just being taken down")
	}
	if c.end != nil && (address == c.asked || address == c.at) {
		return c.toldLocked(), nil
	}
	if c.api == nil {
		made, err := answeringFor(cloudapi.Config{Lab: c.lab, Store: c.store, Log: c.log, Transition: c.transition})
		if err != nil {
			return api.CloudAPI{}, err
		}
		c.api = made
	}
	ln, err := api.ListenCloud(address)
	if err != nil {
		return api.CloudAPI{}, err
	}
	if err := c.store.Save(addressFile, []byte(ln.Addr().String())); err != nil {
		ln.Close()
		return api.CloudAPI{}, err
	}
	c.closeLocked()
	c.asked, c.at = address, ln.Addr().String()
	c.serveLocked(ln)
	return c.toldLocked(), nil
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
	out := api.CloudAPI{Address: c.at, Cloud: string(plan.Cloud), Region: plan.Region, Keys: []api.CloudKey{}}
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
	told, err := c.listen(asked.Address)
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
