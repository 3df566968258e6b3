package main

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/fairlead-lb/fairlead/test/bench/dataset"
)

// estimateFrom is from how many Services on there is something to see.
const estimateFrom = 10_000

// estimation measures what the kernel's rate estimators do to connections, without any proxy: one thread connects
// through a VIP again and again, while they run and while they do not, in windows that take turns.
func (f *floorSite) estimation(ctx context.Context) error {
	if f.services < estimateFrom {
		return nil
	}
	s := &session{measurement: f.measurement, subject: Subject{Name: floorName}, site: f.site, row: f.row}
	took := make(map[string][]time.Duration)
	for range f.effort.windows {
		for _, state := range []struct{ name, value string }{{"on", "1"}, {"off", "0"}} {
			if err := f.site.near.SetSysctl("ipv4/vs/run_estimation", state.value); err != nil {
				return err
			}
			times, err := s.connections(ctx, 2*time.Duration(f.effort.slices)*f.effort.slice)
			if err != nil {
				return err
			}
			took[state.name] = append(took[state.name], times...)
		}
	}
	for _, state := range []string{"on", "off"} {
		times := took[state]
		slices.Sort(times)
		for _, m := range []struct {
			metric string
			q      float64
		}{{"p50", 0.5}, {"p999", 0.999}, {"max", 1}} {
			at := times[min(int(m.q*float64(len(times))), len(times)-1)]
			if err := s.add(m.metric+"-"+state, "ms", milliseconds(at)); err != nil {
				return err
			}
		}
	}
	return nil
}

// connections is how long each of a row of connections took to be set up.
func (s *session) connections(ctx context.Context, window time.Duration) (took []time.Duration, err error) {
	target := netip.AddrPortFrom(dataset.VIP(0).Addr(), dataset.Port)
	err = s.site.caller.Namespace.Do(func() error {
		for end := time.Now().Add(window); time.Now().Before(end) && ctx.Err() == nil; {
			begin := time.Now()
			if connect(target, connectLimit) == nil {
				took = append(took, time.Since(begin))
			}
		}
		return ctx.Err()
	})
	return took, err
}
