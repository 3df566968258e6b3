package main

import (
	"context"
	"fmt"
	"time"
)

// restart ends the subject and starts it again. First with nothing changed, to see what Fairlead writes; then with one
// change at the moment of the start, to see when it is served.
func restart(ctx context.Context, s *session) error {
	if s.subject.fairlead {
		if err := s.restartUnchanged(ctx); err != nil {
			return err
		}
	}
	if err := s.run.stop(); err != nil {
		return err
	}
	ch := s.cluster.nextChange(s.services / 2)
	arrivals, err := s.site.reached(ctx, []change{ch}, func() error {
		if _, err := s.cluster.apply(ctx, ch); err != nil {
			return err
		}
		return s.start()
	})
	switch {
	case err != nil:
		return err
	case arrivals[0].IsZero() && limited(ctx):
		return s.addMore("change-served", "s", time.Since(s.run.started).Seconds(), "")
	case arrivals[0].IsZero():
		return context.Cause(ctx)
	}
	if err := s.add("change-served", "s", arrivals[0].Sub(s.run.started).Seconds()); err != nil {
		return err
	}
	if err := s.keepSynced(ctx); err != nil {
		return err
	}
	return s.settle(ctx)
}

// keepSynced keeps when Fairlead's informers had synced: when its first round that writes began.
func (s *session) keepSynced(ctx context.Context) error {
	if !s.subject.fairlead {
		return nil
	}
	first, err := s.firstRound(ctx)
	if err != nil {
		return err
	}
	return s.add("informers-synced", "s", first.ended.Add(-first.took).Sub(s.run.started).Seconds())
}

func (s *session) restartUnchanged(ctx context.Context) error {
	if err := s.drained(ctx); err != nil {
		return err
	}
	if err := s.run.stop(); err != nil {
		return err
	}
	if err := s.start(); err != nil {
		return err
	}
	watched, stop := s.run.watch(ctx)
	defer stop()
	for get(s.site.near.Namespace, "http://127.0.0.1:10256/healthz", func(string) {}) != nil {
		if err := sleep(watched, 20*time.Millisecond); err != nil {
			if limited(ctx) {
				return s.addMore("healthy", "s", time.Since(s.run.started).Seconds(), "")
			}
			return err
		}
	}
	if err := s.add("healthy", "s", time.Since(s.run.started).Seconds()); err != nil {
		return err
	}
	if err := s.settle(watched); err != nil {
		return err
	}
	n, err := writes(s.run.log)
	if err != nil {
		return err
	}
	values, err := metrics(s.site.near.Namespace)
	if err != nil {
		return err
	}
	if err := s.add("messages", "messages", values["fairlead_kernel_messages_total"]); err != nil {
		return err
	}
	return s.add("writes", "messages", float64(n))
}

// drained waits until no real server drains any more: their deletion would be a write that has nothing to do with
// the restart.
func (s *session) drained(ctx context.Context) error {
	for {
		values, err := metrics(s.site.near.Namespace)
		if err != nil {
			return err
		}
		if values["fairlead_draining_real_servers"] == 0 {
			return nil
		}
		if err := sleep(ctx, 500*time.Millisecond); err != nil {
			return fmt.Errorf("%v real servers still drain: %w", values["fairlead_draining_real_servers"], err)
		}
	}
}
