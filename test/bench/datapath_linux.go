package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fairlead-lb/fairlead/test/bench/dataset"
	"github.com/fairlead-lb/fairlead/test/lab"
)

// callers is how many threads connect at the same time: enough to keep the machine's processors busy, so that what is
// measured is work, not waiting.
const callers = 4

// datapath counts connections through sampled VIPs, from a pod. The subject is stopped first, which changes nothing in
// the kernel: what it does beside is not what a connection costs. Whatever is compared takes turns, so that a machine that
// gets slower or faster does so for both: Fairlead with itself without its guard and mark rules, and each peer with
// Fairlead, whose network is still there.
func datapath(ctx context.Context, s *session) error {
	if err := s.run.stop(); err != nil {
		return err
	}
	if s.subject.Name == ipvsPeer {
		if err := s.finish(ctx); limited(ctx) {
			s.record.say("%s has not written its rules in time: its data path is left out", s.subject.Name)
			return s.run.stop()
		} else if err != nil {
			return err
		}
	}
	if !s.subject.fairlead {
		for range s.effort.windows {
			if err := s.window(ctx, "rate"); err != nil {
				return err
			}
			if err := s.duel(ctx); err != nil {
				return err
			}
		}
		return nil
	}
	s.measurement.ours = s
	return s.guard(ctx)
}

// guard compares Fairlead with itself without its guard and mark rules. A window is slower when the rules have just been
// changed, so they are before each: flushed and written, or written and flushed, with a while afterwards that does not
// count. Each goes first in half of the turns.
func (s *session) guard(ctx context.Context) error {
	rules, err := save(ctx, s.site.near.Namespace)
	if err != nil {
		return err
	}
	type step func(context.Context, *lab.Namespace) error
	turns := []struct {
		metric string
		steps  [2]step
	}{{"rate", [2]step{flush, rules.restore}}, {"rate-without-guard", [2]step{rules.restore, flush}}}
	for range s.effort.windows {
		for _, turn := range turns {
			for _, step := range turn.steps {
				if err := step(ctx, s.site.near.Namespace); err != nil {
					return err
				}
			}
			if _, _, err := rate(ctx, s.site.caller.Namespace, s.sampled(), s.effort.warmUp); err != nil {
				return err
			}
			if err := s.window(ctx, turn.metric); err != nil {
				return err
			}
		}
		slices.Reverse(turns)
	}
	return rules.restore(ctx, s.site.near.Namespace) // for those that are compared with it
}

// finish has kube-proxy's mode ipvs end its first round. It serves all VIPs long before: then it starts a process for each
// entry of its sets, for minutes under emulation, and only then writes its rules, so that until then nothing is masqueraded
// and no connection tracked. The entries are written for it, and it is started again.
func (s *session) finish(ctx context.Context) error {
	near := s.site.near.Namespace
	var entries strings.Builder
	for i := range s.services {
		vip := dataset.VIP(i)
		fmt.Fprintf(&entries, "add KUBE-CLUSTER-IP %s,tcp:%d\nadd KUBE-IPVS-IPS %s\n", vip.Addr(), vip.Port(), vip.Addr())
	}
	cmd := near.Command(ctx, "ipset", "restore", "-exist")
	cmd.Stdin = strings.NewReader(entries.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("write the entries of %s: %w: %s", s.subject.Name, err, out)
	}
	if err := s.start(); err != nil {
		return err
	}
	begin := time.Now()
	ctx, stop := s.run.watch(ctx)
	defer stop()
	for rules := ""; !strings.Contains(rules, "MASQUERADE"); {
		if err := sleep(ctx, 2*time.Second); err != nil {
			return fmt.Errorf("wait for the rules of %s: %w", s.subject.Name, err)
		}
		var err error
		if rules, err = near.Run(ctx, "iptables-save", "-t", "nat"); err != nil {
			return err
		}
	}
	s.record.say("%s has written its rules after another %s", s.subject.Name, time.Since(begin).Round(time.Second))
	return s.run.stop()
}

// window keeps the rate, and how it compares with the rate just before of connections from the far node to itself,
// which have nothing to do with the subject. The machine is faster at one moment than at the next, so the two take turns
// in short slices; what is compared between subjects is the second number.
func (s *session) window(ctx context.Context, metric string) error {
	self := []netip.AddrPort{netip.AddrPortFrom(dataset.Endpoints(0)[0], dataset.EndpointPort)}
	for range s.effort.slices {
		reference, _, err := rate(ctx, s.site.far.Namespace, self, s.effort.slice)
		if err != nil {
			return err
		}
		rate, failed, err := rate(ctx, s.site.caller.Namespace, s.sampled(), s.effort.slice)
		if err != nil {
			return err
		}
		sample := s.sample(metric, "connections/s", rate)
		if failed > 0 {
			sample.Note = fmt.Sprintf("%d failed", failed)
		}
		if err := s.record.add(sample); err != nil {
			return err
		}
		if err := s.add(metric+"-relative", "of the reference", rate/max(reference, 1)); err != nil {
			return err
		}
	}
	return nil
}

// duel keeps how long a connection through Fairlead takes compared with one through the subject, slice by slice. Each goes
// first in half of them.
func (s *session) duel(ctx context.Context) error {
	if s.ours == nil {
		return nil
	}
	rates := make(map[*session]float64)
	for i := range s.effort.slices {
		pair := []*session{s, s.ours}
		if i%2 == 1 {
			slices.Reverse(pair)
		}
		for _, one := range pair {
			var err error
			if rates[one], _, err = rate(ctx, one.site.caller.Namespace, one.sampled(), s.effort.slice); err != nil {
				return err
			}
		}
		if err := s.add("fairlead-time", "of the subject's", rates[s]/max(rates[s.ours], 1)); err != nil {
			return err
		}
	}
	return nil
}

// rate is how many connections per second a few threads open from the namespace to the targets in turn.
func rate(ctx context.Context, from *lab.Namespace, targets []netip.AddrPort, window time.Duration) (rate float64, failed int64, err error) {
	var good, bad atomic.Int64
	var group sync.WaitGroup
	errs := make([]error, callers)
	begin := time.Now()
	for c := range callers {
		group.Go(func() {
			errs[c] = from.Do(func() error {
				for n := c; time.Since(begin) < window && ctx.Err() == nil; n++ {
					if connect(targets[n%len(targets)], connectLimit) == nil {
						good.Add(1)
					} else {
						bad.Add(1)
					}
				}
				return ctx.Err()
			})
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return 0, 0, err
		}
	}
	return float64(good.Load()) / time.Since(begin).Seconds(), bad.Load(), nil
}

// ruleset is what iptables-save says about the tables that the guard and the marks are in. Masquerading is in the
// table nat, which stays.
type ruleset []string

var guardTables = []string{"filter", "mangle"}

func save(ctx context.Context, n *lab.Namespace) (r ruleset, err error) {
	for _, table := range guardTables {
		text, err := n.Run(ctx, "iptables-save", "-t", table)
		if err != nil {
			return nil, err
		}
		r = append(r, text)
	}
	return r, nil
}

func flush(ctx context.Context, n *lab.Namespace) error {
	for _, table := range guardTables {
		if _, err := n.Run(ctx, "iptables", "-t", table, "-F"); err != nil {
			return err
		}
	}
	return nil
}

func (r ruleset) restore(ctx context.Context, n *lab.Namespace) error {
	for _, text := range r {
		cmd := n.Command(ctx, "iptables-restore")
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("restore rules: %w: %s", err, out)
		}
	}
	return nil
}
