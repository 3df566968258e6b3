package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"

	"github.com/fairlead-lb/fairlead/controller"
	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/internal/hostaddr"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
	"github.com/fairlead-lb/fairlead/takeover"
)

// kubeProxyDevice is where kube-proxy's mode ipvs binds its addresses.
const kubeProxyDevice = "kube-ipvs0"

// takeOver removes what kube-proxy left, once the controller has everything in force, until ctx ends. It
// has sockets of its own, so that the controller never waits for it.
func takeOver(ctx context.Context, cfg Config, c *controller.Controller, warn func(reason, text string), status *notes, log *slog.Logger) error {
	kernel, err := takeover.Open()
	if err != nil {
		return err
	}
	defer kernel.Close()
	kernel.Until(sometimeAfter(ctx))
	left := takeover.New(kernel)
	adopt := func() error {
		adopted, err := adoptLeft(cfg, left)
		if adopted > 0 {
			log.Info("adopted virtual servers and addresses of kube-proxy's; those that no Service has drain and go", "entries", adopted)
			c.Reread()
		}
		if err != nil {
			return err
		}
		return unbindLeft(cfg, left)
	}
	(&takeovers{watch: takeover.NewWatch(left, adopt), log: log, warn: warn, notes: status}).follow(ctx, c.InForce())
	return nil
}

// inherited tells which virtual servers a kube-proxy left that does not run any more. Where that cannot be
// found out they are met one by one.
func inherited(cfg Config, log *slog.Logger) func(ipvs.Key) bool {
	kernel, err := takeover.Open()
	if err != nil {
		log.Warn("cannot look for what kube-proxy left", "err", err)
		return nil
	}
	defer kernel.Close()
	known, err := takeover.New(kernel).IPVS()
	running, runErr := kernel.Processes()
	host, hostErr := hostaddr.List(cfg.DummyInterface.Name, dummyif.Alias, kubeProxyDevice)
	if err := errors.Join(err, runErr, hostErr); err != nil {
		log.Warn("cannot look for what kube-proxy left", "err", err)
		return nil
	}
	if !known.Any() || len(running) > 0 {
		return nil
	}
	return func(k ipvs.Key) bool { return known.Has(k, host) }
}

// adoptLeft writes into Fairlead's memory, the sets, what kube-proxy's sets call its own: virtual servers
// and addresses. Those that Services have are there already. The rest would be nobody's, once kube-proxy's
// sets are gone.
func adoptLeft(cfg Config, left *takeover.Leftovers) (adopted int, err error) {
	known, err := left.IPVS()
	if err != nil || !known.Any() {
		return 0, err
	}
	table, err := ipvs.Open()
	if err != nil {
		return 0, err
	}
	defer table.Close()
	servers, err := table.Servers()
	if err != nil {
		return 0, fmt.Errorf("read the virtual servers: %w", err)
	}
	bound, err := boundTo(cfg.DummyInterface.Name)
	if err != nil {
		return 0, err
	}
	host, err := hostaddr.List(cfg.DummyInterface.Name, dummyif.Alias, kubeProxyDevice)
	if err != nil {
		return 0, err
	}
	entries, err := left.Adoptable(slices.Collect(maps.Keys(servers)), bound, host)
	if err != nil {
		return 0, err
	}
	return remember(entries)
}

// unbindLeft unbinds what kube-proxy bound to its device, where Fairlead binds to another one. By now all VIPs of Services are
// bound there. The device stays: it is not ours.
func unbindLeft(cfg Config, left *takeover.Leftovers) error {
	if cfg.DummyInterface.Name == kubeProxyDevice {
		return nil
	}
	known, err := left.IPVS()
	if err != nil || len(known.VIPs) == 0 {
		return err
	}
	device, err := dummyif.Open(kubeProxyDevice)
	if err != nil {
		return err
	}
	defer device.Close()
	if exists, err := device.Exists(); err != nil || !exists {
		return err
	}
	_, err = unbind(device, kubeProxyDevice, func(addr netip.Addr) bool { _, is := known.VIPs[addr]; return is })
	return err
}

// boundTo lists the addresses on a device.
func boundTo(name string) (addrs []netip.Addr, err error) {
	device, err := dummyif.Open(name)
	if err != nil {
		return nil, err
	}
	defer device.Close()
	if exists, err := device.Exists(); err != nil || !exists {
		return nil, err
	}
	bindings, err := device.Bindings()
	for b := range bindings {
		addrs = append(addrs, b.Addr)
	}
	return addrs, err
}

// remember writes those of the entries that are missing. The ports of an address come before the address:
// the guard refuses what goes to a VIP and to none of them.
func remember(entries []masq.Entry) (written int, err error) {
	sets, err := masq.Open()
	if err != nil {
		return 0, err
	}
	defer sets.Close()
	have, err := sets.Entries()
	if err != nil {
		return 0, err
	}
	var ops []masq.Op
	for _, set := range masq.Sets() {
		for _, e := range entries {
			if _, there := have[e]; e.Set == set && !there {
				ops = append(ops, masq.Op{Entry: e})
			}
		}
	}
	if len(ops) == 0 {
		return 0, nil
	}
	return len(ops), errors.Join(sets.Apply(ops)...)
}
