package main

import (
	"context"
	"fmt"
	"time"
)

// changes replaces one endpoint of one Service after the other, and sends to its VIP until a packet arrives at the
// new endpoint. The clock starts when the API server has answered; it may have told the subject before that.
//
// A slow subject makes fewer changes: none begins in the last part of the row's time, so that each has long enough.
func changes(ctx context.Context, s *session) error {
	u, err := s.use()
	if err != nil {
		return err
	}
	done, more, err := s.changeMany(ctx)
	if err != nil {
		return err
	}
	return u.keep(done, more)
}

// changeMany makes changes and keeps the latency of each. With more, the last one was not over within the time limit.
func (s *session) changeMany(ctx context.Context) (done int, more bool, err error) {
	begin, times := time.Now(), s.times()
	for time.Since(begin) < s.effort.changing*time.Duration(times) && done < s.effort.changes*times {
		latency, err := s.changeOne(ctx, done*7919%s.services) // a prime: not one after the other
		if limited(ctx) && latency > 0 {
			return done + 1, true, s.addMore("latency", "ms", milliseconds(latency), fmt.Sprintf("after %d changes", done))
		}
		if err != nil {
			return done, false, err
		}
		if err := s.add("latency", "ms", milliseconds(latency)); err != nil {
			return done, false, err
		}
		done++
		if err := sleep(ctx, s.effort.gap); err != nil {
			return done, false, err
		}
	}
	return done, false, nil
}

// changeOne makes one change. Past the time limit, the latency is how long it has lasted already.
func (s *session) changeOne(ctx context.Context, i int) (latency time.Duration, err error) {
	ch := s.cluster.nextChange(i)
	var answered time.Time
	arrivals, err := s.site.reached(ctx, []change{ch}, func() (err error) {
		answered, err = s.cluster.apply(ctx, ch)
		return err
	})
	switch {
	case err != nil:
		return 0, err
	case arrivals[0].IsZero() && limited(ctx):
		return time.Since(answered), nil
	case arrivals[0].IsZero():
		return 0, context.Cause(ctx)
	}
	return arrivals[0].Sub(answered), nil
}

// use is what the subject had used at the beginning of something.
type use struct {
	s      *session
	begin  time.Time
	cpu    time.Duration
	writes int
}

func (s *session) use() (u use, err error) {
	u = use{s: s, begin: time.Now()}
	if u.cpu, err = s.run.cpu(); err != nil || !s.subject.fairlead {
		return u, err
	}
	u.writes, err = writes(s.run.log)
	return u, err
}

// keep keeps what a change cost, n having been made: processor time in all, the same without what the subject uses
// anyhow, and Fairlead's writes to the kernel. Some of these are deletions of what drained, of earlier changes. With more,
// the last one was not over yet.
func (u use) keep(n int, more bool) error {
	now, err := u.s.use()
	if err != nil {
		return err
	}
	gross := (now.cpu - u.cpu).Seconds()
	net := gross - u.s.idle*now.begin.Sub(u.begin).Seconds()
	for metric, seconds := range map[string]float64{"cpu-gross": gross, "cpu": net} {
		sample := u.s.sample(metric, "ms", 1000*seconds/float64(n))
		sample.More = more
		if err := u.s.record.add(sample); err != nil {
			return err
		}
	}
	if !u.s.subject.fairlead {
		return nil
	}
	return u.s.add("writes", "messages", float64(now.writes-u.writes)/float64(n))
}

func milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }
