package main

import (
	"context"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
)

// wideGap is shorter than the time after which Fairlead looks at drains: an endpoint that comes back within it
// gets its weight back, and nothing is deleted.
const wideGap = 400 * time.Millisecond

// wide takes an endpoint out of a Service that has thousands, and puts it back. Each time one message has to do. Nobody
// can wait for a connection to one endpoint out of so many, so the time is not measured: messages and processor time
// are.
func wide(ctx context.Context, s *session) error {
	begin := time.Now()
	before, err := s.run.cpu()
	if err != nil {
		return err
	}
	if err := sleep(ctx, s.effort.idle/4); err != nil {
		return err
	}
	after, err := s.run.cpu()
	if err != nil {
		return err
	}
	s.idle = (after - before).Seconds() / time.Since(begin).Seconds()

	u, err := s.use()
	if err != nil {
		return err
	}
	for n := range s.effort.wide {
		full := wideSliceOf(s.wide, n)
		less := full.DeepCopy()
		less.Endpoints = less.Endpoints[1:]
		for _, slice := range []*discoveryv1.EndpointSlice{less, full} {
			if _, err := s.cluster.update(ctx, slice); err != nil {
				return err
			}
			if err := sleep(ctx, wideGap); err != nil {
				return err
			}
		}
	}
	rss, _, err := s.run.memory()
	if err != nil {
		return err
	}
	if err := s.add("rss", "MiB", rss); err != nil {
		return err
	}
	return u.keep(2*s.effort.wide, false)
}
