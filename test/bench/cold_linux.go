package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/fairlead-lb/fairlead/test/bench/dataset"
)

// cold starts the subject in a fresh network and connects to the API server's VIP, the DNS, and sampled VIPs until
// each has accepted a connection. A connection, not the presence in some kernel table: it is what a cluster waits for,
// and it is the same question for every subject.
func cold(ctx context.Context, s *session) error {
	if s.subject.fairlead {
		if err := s.programming(ctx); err != nil {
			return err
		}
	}
	if err := s.start(); err != nil {
		return err
	}
	watched, stop := s.run.watch(ctx)
	defer stop()
	targets := append([]netip.AddrPort{dataset.APIServer, dataset.DNS}, s.sampled()...)
	at := make([]time.Duration, len(targets))
	left := len(targets)
	err := s.site.served(watched, targets, func(i int, when time.Time) {
		at[i] = when.Sub(s.run.started)
		if left--; left%16 == 0 {
			s.record.say("  %d of %d sampled Services served after %.1fs", len(targets)-left, len(targets), at[i].Seconds())
		}
	})
	if err != nil && limited(ctx) {
		note := fmt.Sprintf("%d of %d sampled Services were served", len(targets)-left, len(targets))
		if err := s.addMore("last", "s", time.Since(s.run.started).Seconds(), note); err != nil {
			return err
		}
		return errNotServed
	}
	if err != nil {
		return err
	}
	if err := s.coldSamples(at); err != nil {
		return err
	}
	if s.subject.fairlead {
		if err := s.coldOfFairlead(ctx, at); err != nil {
			return err
		}
	}
	return s.quietened(ctx)
}

// coldSamples keeps when the API server, the DNS and the last other Service were served.
func (s *session) coldSamples(at []time.Duration) error {
	last := slices.Max(at[2:])
	cpu, err := s.run.cpu()
	if err != nil {
		return err
	}
	for _, m := range []struct {
		metric string
		value  time.Duration
	}{{"apiserver", at[0]}, {"dns", at[1]}, {"last", last}, {"cpu", cpu}} {
		if err := s.add(m.metric, "s", m.value.Seconds()); err != nil {
			return err
		}
	}
	return nil
}

// programming keeps, for the comparison with the floor, how long Fairlead writes at a cold start: its first round that
// writes begins when the informers have synced, and lasts until everything is in the kernel. Nobody connects to anything
// meanwhile: connections take processors, and the floor has them for itself.
func (s *session) programming(ctx context.Context) error {
	for range s.times() {
		err := s.aside(ctx, s.subject, func(alone *session) error {
			first, err := alone.firstRound(ctx)
			if err != nil {
				return err
			}
			return s.add("programming", "s", first.took.Seconds())
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// coldOfFairlead keeps what Fairlead's log and metrics tell of a cold start.
func (s *session) coldOfFairlead(ctx context.Context, at []time.Duration) error {
	first, err := s.firstRound(ctx)
	if err != nil {
		return err
	}
	synced := first.ended.Add(-first.took).Sub(s.run.started)
	values, err := metrics(s.site.near.Namespace)
	if err != nil {
		return err
	}
	for _, m := range []struct {
		metric, unit string
		value        float64
	}{
		{"informers-synced", "s", synced.Seconds()},
		{"apiserver-after-sync", "s", (at[0] - synced).Seconds()},
		{"dns-after-sync", "s", (at[1] - synced).Seconds()},
		{"writes", "messages", float64(first.writes)},
		{"messages", "messages", values["fairlead_kernel_messages_total"]},
	} {
		if err := s.add(m.metric, m.unit, m.value); err != nil {
			return err
		}
	}
	return nil
}

// firstRound waits for the first round of this run that wrote something, and returns it.
func (s *session) firstRound(ctx context.Context) (round, error) {
	watched, stop := s.run.watch(ctx)
	defer stop()
	for {
		list, err := rounds(s.run.log)
		switch {
		case err != nil:
			return round{}, err
		case len(list) > 0:
			return list[0], nil
		}
		if err := sleep(watched, 50*time.Millisecond); err != nil {
			return round{}, fmt.Errorf("waiting for a round in Fairlead's log, the end of which is:\n%s\n%w", s.run.tail(), err)
		}
	}
}

// quietened keeps when the subject had nothing more to do.
func (s *session) quietened(ctx context.Context) error {
	limit := min(40*time.Second, s.effort.limits["cold"])
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errTimeLimit)
	defer cancel()
	err := s.run.quiet(ctx, s.effort.quiet)
	since := time.Since(s.run.started).Seconds()
	switch {
	case err != nil && limited(ctx):
		return s.addMore("quiet", "s", since, "")
	case err != nil:
		return err
	}
	return s.add("quiet", "s", since-2*s.effort.quiet.Seconds()) // the windows that prove it
}

// idle watches the subject do nothing: processor time and memory. Fairlead is watched for one whole audit, which takes
// as many sync periods as (*controller.Controller).auditPeriod says.
func idle(ctx context.Context, s *session) error {
	before, err := s.run.cpu()
	if err != nil {
		return err
	}
	begin, window := time.Now(), s.effort.idle
	if s.subject.fairlead {
		window *= time.Duration(min(1+s.services/4096, 4))
	}
	if err := sleep(ctx, window); err != nil {
		return err
	}
	after, err := s.run.cpu()
	if err != nil {
		return err
	}
	s.idle = (after - before).Seconds() / time.Since(begin).Seconds()
	rss, peak, err := s.run.memory()
	if err != nil {
		return err
	}
	if err := s.add("cpu", "% of a core", 100*s.idle); err != nil {
		return err
	}
	if err := s.add("rss", "MiB", rss); err != nil {
		return err
	}
	return s.add("peak-rss", "MiB", peak)
}
