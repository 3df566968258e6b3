package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// cleanup removes everything that Fairlead created on this node and nothing else. It needs no
// earlier state: the sets in the kernel say what is Fairlead's. It goes on after errors, and says
// what it removed. With a time to drain, another proxy serves already, and open connections may go on.
func cleanup(ctx context.Context, cfg Config, drain time.Duration, out io.Writer) error {
	if err := privileged(); err != nil {
		return err
	}
	rules, err := masq.Open()
	if err != nil {
		return fmt.Errorf("iptables is needed: %w", err)
	}
	defer rules.Close()
	entries, err := rules.Entries()
	if err != nil {
		return fmt.Errorf("read what Fairlead created: %w", err)
	}
	count := len(entries)
	if err := handOver(cfg, entries, out); err != nil {
		return err
	}
	if drain > 0 {
		if err := (&draining{cfg, rules, entries, out}).run(ctx, drain); err != nil {
			return fmt.Errorf("leave open connections to end: %w", err)
		}
	}
	errs := []error{
		cleanupDevices(cfg, entries, out),
		cleanupServers(cfg, entries, out),
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("the rules and sets are kept for another try: %w", err)
	}
	if err := rules.Remove(masq.NewRuleset(rules, masqOptions(cfg)).Chains()); err != nil {
		return fmt.Errorf("remove rules and sets: %w", err)
	}
	fmt.Fprintf(out, "iptables rules and ipsets removed (%d entries)\n", count)
	return nil
}

// cleanupDevices unbinds the VIPs from the configured device and from every one that Fairlead created,
// under whatever name it did. Where VIPs are bound to none of these the configuration names the wrong
// device: without the sets nobody would know them as Fairlead's any more.
func cleanupDevices(cfg Config, entries map[masq.Entry]uint32, out io.Writer) error {
	isVIP := func(addr netip.Addr) bool {
		_, ours := entries[masq.Entry{Set: masq.VIPs, Addr: addr}]
		return ours
	}
	holders, err := dummyif.Holders(isVIP)
	if err != nil {
		return err
	}
	var errs []error
	found := false
	for _, h := range holders {
		if h.Ours || h.Name == cfg.DummyInterface.Name {
			found = true
			errs = append(errs, cleanupDevice(h.Name, isVIP, out))
		}
	}
	if !found && len(holders) > 0 {
		return fmt.Errorf("VIPs are bound to %s, not to %s: is dummyInterface.name right?", holders[0].Name, cfg.DummyInterface.Name)
	}
	return errors.Join(errs...)
}

// cleanupDevice unbinds the VIPs from a device, and deletes it if Fairlead made it and nothing is left.
func cleanupDevice(name string, isVIP func(netip.Addr) bool, out io.Writer) error {
	kernel, err := dummyif.Open(name)
	if err != nil {
		return err
	}
	defer kernel.Close()
	exists, err := kernel.Exists()
	if err != nil || !exists {
		return err
	}
	unbound, err := unbind(kernel, name, isVIP)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d VIPs unbound from %s\n", unbound, name)
	return kernel.Remove()
}

// unbind unbinds VIPs from a device that there is, and returns how many.
func unbind(device *dummyif.Linux, name string, isVIP func(netip.Addr) bool) (unbound int, err error) {
	bindings, err := device.Bindings()
	if err != nil {
		return 0, fmt.Errorf("read what is bound to %s: %w", name, err)
	}
	var ops []dummyif.Op
	for b := range bindings {
		if isVIP(b.Addr) {
			ops = append(ops, dummyif.Op{Verb: dummyif.Unbind, Binding: b})
		}
	}
	for _, err := range device.Apply(ops) {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, fmt.Errorf("unbind from %s: %w", name, err)
		}
	}
	return len(ops), nil
}

// cleanupServers deletes the virtual servers. A kernel without IPVS has none.
func cleanupServers(cfg Config, entries map[masq.Entry]uint32, out io.Writer) error {
	kernel, err := ipvs.Open()
	if errors.Is(err, ipvs.ErrNoIPVS) {
		return nil
	}
	if err != nil {
		return err
	}
	defer kernel.Close()
	table := ipvs.NewTable(kernel, 0)
	if _, err := table.Resync(ownedBy(cfg, entries)); err != nil {
		return err
	}
	servers := table.Pending()
	if err := table.Prune(func(ipvs.Key) bool { return true }); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d virtual servers deleted\n", servers)
	return nil
}

// ownedBy tells by the sets which virtual servers are Fairlead's.
func ownedBy(cfg Config, entries map[masq.Entry]uint32) func(ipvs.Key) bool {
	marks := masqOptions(cfg).Marks
	used := slices.Collect(maps.Values(entries))
	return func(k ipvs.Key) bool {
		if k.Mark != 0 {
			return marks.Contains(k.Mark) || slices.Contains(used, k.Mark)
		}
		_, ok := entries[servedEntry(k)]
		return ok
	}
}

func servedEntry(k ipvs.Key) masq.Entry {
	return masq.Entry{Set: masq.Served, Addr: k.Addr.Addr(), Port: k.Addr.Port(), Protocol: uint8(k.Protocol)}
}
