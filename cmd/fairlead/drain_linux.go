package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"slices"
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
		open, err := d.deleteIdle(table)
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
	for f, chains := range masq.NewRuleset(d.rules, masqOptions(d.cfg)).Chains() {
		var jumps []masq.Chain
		for _, c := range chains {
			if c.BuiltIn && c.Name != "FORWARD" && c.Name != "POSTROUTING" {
				c.Rules = nil
				jumps = append(jumps, c)
			}
		}
		if _, err := d.rules.EnsureRules(f, jumps); err != nil {
			return fmt.Errorf("take the %s rules out of force: %w", f, err)
		}
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

// deleteIdle deletes the virtual servers that nobody is connected to any more, and returns how many connections
// the others have. Datagrams have been moved. Closed connections that the kernel still remembers do not count.
func (d *draining) deleteIdle(table *ipvs.Linux) (open int, err error) {
	servers, err := table.Servers()
	if err != nil {
		return 0, fmt.Errorf("read the virtual servers: %w", err)
	}
	owned := ownedBy(d.cfg, d.entries)
	var idle []ipvs.Op
	for k := range servers {
		if !owned(k) {
			continue
		}
		reals, err := table.RealServers(k)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, fmt.Errorf("read the real servers of %s: %w", k, err)
		}
		active := 0
		for _, real := range reals {
			active += real.ActiveConnections
		}
		if open += active; active == 0 {
			idle = append(idle, ipvs.Op{Verb: ipvs.DeleteServer, Key: k})
		}
	}
	failed := slices.DeleteFunc(table.Apply(idle), func(err error) bool { return err == nil || errors.Is(err, fs.ErrNotExist) })
	return open, errors.Join(failed...)
}
