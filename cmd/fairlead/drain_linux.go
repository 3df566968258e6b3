package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"time"

	"github.com/fairlead-lb/fairlead/conntrack"
	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/internal/hostaddr"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
	"github.com/fairlead-lb/fairlead/takeover"
)

// drainPoll is how often the connections are looked at.
const drainPoll = time.Second

// handOver forgets, of Fairlead's entries, the virtual servers and addresses that kube-proxy's own sets name: in
// mode ipvs it has taken them over, and who deletes them now cuts its connections.
func handOver(cfg Config, entries map[masq.Entry]uint32, out io.Writer) error {
	kernel, err := takeover.Open()
	if err != nil {
		return err
	}
	defer kernel.Close()
	known, err := takeover.New(kernel).IPVS()
	if err != nil || !known.Any() {
		return err
	}
	host, err := hostaddr.List(cfg.DummyInterface.Name, dummyif.Alias, kubeProxyDevice)
	if err != nil {
		return err
	}
	left := 0
	for e := range entries {
		_, vip := known.VIPs[e.Addr]
		key := ipvs.Key{Addr: netip.AddrPortFrom(e.Addr, e.Port), Protocol: ipvs.Protocol(e.Protocol)}
		if e.Set == masq.VIPs && vip || e.Set == masq.Served && known.Has(key, host) {
			delete(entries, e)
			left++
		}
	}
	fmt.Fprintf(out, "%d virtual servers and addresses left to kube-proxy, which has taken them over\n", left)
	return nil
}

// draining lets the connections end that Fairlead has opened, while another proxy takes the new ones.
type draining struct {
	cfg     Config
	rules   *masq.Linux
	entries map[masq.Entry]uint32
	out     io.Writer
}

// run returns when no connection is left, or the time is over.
func (d *draining) run(ctx context.Context, limit time.Duration) error {
	if err := d.withdraw(); err != nil {
		return err
	}
	if err := d.moveDatagrams(); err != nil {
		return err
	}
	table, err := ipvs.Open()
	if errors.Is(err, ipvs.ErrNoIPVS) {
		return nil
	}
	if err != nil {
		return err
	}
	defer table.Close()
	deadline, told := time.Now().Add(limit), -1
	for {
		select { // first: a connection that is being opened does not count yet
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(drainPoll):
		}
		open, err := d.open(table)
		if err != nil {
			return err
		}
		if open != told {
			fmt.Fprintf(d.out, "%d connections still open\n", open)
		}
		if told = open; open == 0 || time.Now().After(deadline) {
			return nil
		}
	}
}

// withdraw takes the rules out of force that lead new traffic. What open connections need stays: answers are
// accepted in filter FORWARD, and conntrack remembers who is masqueraded.
func (d *draining) withdraw() error {
	jumps := make(map[masq.Family][]masq.Chain)
	for f, chains := range masq.NewRuleset(d.rules, masqOptions(d.cfg)).Chains() {
		for _, c := range chains {
			if c.BuiltIn && c.Name != "FORWARD" && c.Name != "POSTROUTING" {
				c.Rules = nil
				jumps[f] = append(jumps[f], c)
			}
		}
	}
	if _, err := d.rules.EnsureRules(jumps); err != nil {
		return fmt.Errorf("take the rules out of force: %w", err)
	}
	return nil
}

// moveDatagrams makes conntrack forget the UDP flows through Fairlead: the next datagram of each is a new one,
// and the other proxy's. Unlike a TCP connection it does not matter to it which endpoint it meets.
func (d *draining) moveDatagrams() error {
	frontends := make(conntrack.Frontends)
	for e := range d.entries {
		if e.Set == masq.Served && ipvs.Protocol(e.Protocol) == ipvs.UDP {
			frontends[netip.AddrPortFrom(e.Addr, e.Port)] = nil
		}
	}
	if len(frontends) == 0 {
		return nil
	}
	flows, err := conntrack.Open()
	if err != nil {
		return err
	}
	defer flows.Close()
	moved, err := flows.DeleteStale(frontends)
	fmt.Fprintf(d.out, "%d UDP flows left to the other proxy\n", moved)
	return err
}

// open counts the open connections through Fairlead's virtual servers. Datagrams have been moved. Where kube-proxy's
// mode ipvs has taken over a frontend, only those are Fairlead's that came by its mark, and the virtual server tells
// them.
func (d *draining) open(table *ipvs.Linux) (open int, err error) {
	all, err := table.OpenConnections()
	if err != nil {
		return 0, err
	}
	for key, n := range all {
		if d.serves(key) && key.Protocol != ipvs.UDP {
			open += n
		}
	}
	for key := range d.marksBeside() {
		reals, err := table.RealServers(key)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, fmt.Errorf("read the real servers of %s: %w", key, err)
		}
		for _, real := range reals {
			open += real.ActiveConnections
		}
	}
	return open, nil
}

func (d *draining) serves(key ipvs.Key) bool {
	_, ours := d.entries[servedEntry(key)]
	return ours
}

// marksBeside returns the virtual servers by mark, for clients from outside, of frontends that were left to kube-proxy.
func (d *draining) marksBeside() map[ipvs.Key]struct{} {
	keys := make(map[ipvs.Key]struct{})
	for e, mark := range d.entries {
		key := ipvs.Key{Addr: netip.AddrPortFrom(e.Addr, e.Port), Protocol: ipvs.Protocol(e.Protocol)}
		if e.Set == masq.Local && !d.serves(key) {
			keys[ipvs.MarkKey(mark, e.Addr.Is6())] = struct{}{}
		}
	}
	return keys
}
