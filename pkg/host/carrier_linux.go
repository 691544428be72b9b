package host

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
)

// carrierTimeout is how long the kernel may take to notice.
const carrierTimeout = 30 * time.Second

// awaitCarriers waits until what is sent through the devices that tasks have made passes.
// The kernel notices in its own time that the other end of a pair has come up,
// and until then drops without a word what is sent into this one (linux:
// net/core/link_watch.c). That is so for ports, which are up before their
// peers, and for the bridges that they are on.
func awaitCarriers(ctx context.Context, dir string, made []group) error {
	late := fmt.Errorf("the kernel has not taken it up within %s", carrierTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, carrierTimeout, late)
	defer cancel()
	devices := map[string][]string{} // by namespace
	for _, t := range slices.Concat(made...) {
		if v, ok := t.Step.(Veth); ok {
			devices[v.Namespace] = append(devices[v.Namespace], v.Port)
			if v.Bridge != "" {
				devices[v.Namespace] = append(devices[v.Namespace], v.Bridge)
			}
		}
	}
	if len(devices) == 0 {
		return nil
	}
	return onThread(func() error {
		k := newKernel(dir)
		defer k.close()
		for _, ns := range slices.Sorted(maps.Keys(devices)) {
			if err := k.awaitCarriers(ctx, ns, devices[ns]); err != nil {
				return err
			}
			k.trim()
		}
		return nil
	})
}

func (k *kernel) awaitCarriers(ctx context.Context, namespace string, devices []string) error {
	s, err := k.space(namespace)
	if err != nil {
		return err
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		up, err := s.carriers(devices)
		if err != nil {
			return fmt.Errorf("look at the devices of namespace %s: %w", namespace, err)
		}
		i := slices.IndexFunc(devices, func(name string) bool { return !up[name] })
		if i < 0 {
			return nil
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("wait for the carrier of %s in namespace %s: %w",
				devices[i], namespace, context.Cause(ctx))
		}
	}
}

// fewDevices are as many as are asked for one by one: the list of a namespace has
// all that are there.
const fewDevices = 8

// carriers says which devices of a namespace are up.
func (s *space) carriers(devices []string) (map[string]bool, error) {
	up := map[string]bool{}
	if len(devices) > fewDevices {
		links, err := s.link.LinkList()
		for _, l := range links {
			up[l.Attrs().Name] = l.Attrs().OperState == netlink.OperUp
		}
		return up, err
	}
	for _, name := range devices {
		l, err := s.link.LinkByName(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		up[name] = l.Attrs().OperState == netlink.OperUp
	}
	return up, nil
}
