package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"

	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// cleanup removes everything that Fairlead created on this node and nothing else. It needs no
// earlier state: the sets in the kernel say what is Fairlead's. It goes on after errors, and says
// what it removed.
func cleanup(cfg Config, out io.Writer) error {
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
	errs := []error{
		cleanupDevice(cfg, entries, out),
		cleanupServers(cfg, entries, out),
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("the rules and sets are kept for another try: %w", err)
	}
	if err := rules.Remove(masq.NewRuleset(rules, masqOptions(cfg)).Chains()); err != nil {
		return fmt.Errorf("remove rules and sets: %w", err)
	}
	fmt.Fprintf(out, "iptables rules and ipsets removed (%d entries)\n", len(entries))
	return nil
}

// cleanupDevice unbinds the VIPs, and deletes the device if Fairlead made it and nothing is left.
func cleanupDevice(cfg Config, entries map[masq.Entry]uint32, out io.Writer) error {
	kernel, err := dummyif.Open(cfg.DummyInterface.Name)
	if err != nil {
		return err
	}
	defer kernel.Close()
	if exists, err := kernel.Exists(); err != nil || !exists {
		return err
	}
	bindings, err := kernel.Bindings()
	if err != nil {
		return fmt.Errorf("read what is bound to %s: %w", cfg.DummyInterface.Name, err)
	}
	var ops []dummyif.Op
	for b := range bindings {
		if _, ours := entries[masq.Entry{Set: masq.VIPs, Addr: b.Addr}]; ours {
			ops = append(ops, dummyif.Op{Verb: dummyif.Unbind, Binding: b})
		}
	}
	for _, err := range kernel.Apply(ops) {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("unbind from %s: %w", cfg.DummyInterface.Name, err)
		}
	}
	fmt.Fprintf(out, "%d VIPs unbound from %s\n", len(ops), cfg.DummyInterface.Name)
	return kernel.Remove()
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
	marks := masqOptions(cfg).Marks
	used := slices.Collect(maps.Values(entries))
	owned := func(k ipvs.Key) bool {
		if k.Mark != 0 {
			return marks.Contains(k.Mark) || slices.Contains(used, k.Mark)
		}
		_, ok := entries[masq.Entry{Set: masq.Served, Addr: k.Addr.Addr(), Port: k.Addr.Port(), Protocol: uint8(k.Protocol)}]
		return ok
	}
	if _, err := table.Resync(owned); err != nil {
		return err
	}
	servers := table.Pending()
	if err := table.Prune(func(ipvs.Key) bool { return true }); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d virtual servers deleted\n", servers)
	return nil
}
