package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiwatch "k8s.io/apimachinery/pkg/watch"

	"github.com/fairlead-lb/fairlead/test/bench/dataset"
	"github.com/fairlead-lb/fairlead/test/bench/result"
)

// burst makes many changes at once, and again when that is done.
func burst(ctx context.Context, s *session) error {
	for range s.times() {
		if err := s.burst(ctx); err != nil || limited(ctx) {
			return err
		}
	}
	return nil
}

// burst is one burst. The API server cannot write them at once, so the subject is stopped (SIGSTOP) while
// they are written, and finds all of them when it goes on. The clock starts then, and stops when the last of the sampled
// ones is served.
func (s *session) burst(ctx context.Context) error {
	n := min(s.effort.burst, s.services)
	all := make([]change, n)
	for i := range all {
		all[i] = s.cluster.nextChange(i * s.services / n)
	}
	var sampled []change
	for _, i := range spread(n, s.effort.samples/4) { // to probe each takes time, which is not the subject's
		sampled = append(sampled, all[i])
	}
	version, err := s.cluster.version(ctx)
	if err != nil {
		return err
	}
	before, err := s.roundsNow()
	if err != nil {
		return err
	}
	process := s.run.cmd.Process
	if err := process.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("stop the subject: %w", err)
	}
	defer process.Signal(syscall.SIGCONT) //nolint:errcheck // on the way out after an error
	if err := s.cluster.applyAll(ctx, all); err != nil {
		return err
	}
	var begin time.Time
	arrivals, err := s.site.reached(ctx, sampled, func() error {
		begin = time.Now()
		return process.Signal(syscall.SIGCONT)
	})
	if err != nil {
		return err
	}
	if err := s.keepBurst(ctx, begin, arrivals, n); err != nil || limited(ctx) {
		return err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	if err := s.keepRounds(before); err != nil {
		return err
	}
	return s.keepWatch(ctx, version, n)
}

func (s *session) keepBurst(ctx context.Context, begin time.Time, arrivals []time.Time, n int) error {
	var last time.Duration
	missing := 0
	for _, at := range arrivals {
		if at.IsZero() {
			missing++
			continue
		}
		last = max(last, at.Sub(begin))
	}
	switch {
	case missing > 0 && limited(ctx):
		note := fmt.Sprintf("%d of %d sampled changes were not served", missing, len(arrivals))
		return s.addMore("last", "s", time.Since(begin).Seconds(), note)
	case missing > 0:
		return context.Cause(ctx)
	}
	if err := s.add("changes", "changes", float64(n)); err != nil {
		return err
	}
	return s.add("last", "s", last.Seconds())
}

// roundsNow is how many rounds Fairlead has logged; 0 for others.
func (s *session) roundsNow() (int, error) {
	if !s.subject.fairlead {
		return 0, nil
	}
	list, err := rounds(s.run.log)
	return len(list), err
}

// keepRounds keeps in how many rounds Fairlead wrote the burst, and what the largest one was.
func (s *session) keepRounds(before int) error {
	if !s.subject.fairlead {
		return nil
	}
	list, err := rounds(s.run.log)
	if err != nil {
		return err
	}
	var largest round
	n := 0
	for _, r := range list[min(before, len(list)):] {
		if r.services == 0 {
			continue // what drained is deleted, a while after
		}
		n++
		s.record.say("  a round of %d Services, %d messages, %s, ended at %s", r.services, r.writes, r.took, r.ended.Format("05.000"))
		if r.writes > largest.writes {
			largest = r
		}
	}
	if err := s.add("rounds", "rounds", float64(n)); err != nil {
		return err
	}
	if err := s.add("largest-round", "messages", float64(largest.writes)); err != nil {
		return err
	}
	return s.add("programming", "s", largest.took.Seconds())
}

// keepWatch measures the watch's own time: how long a client that does nothing else takes to receive as many changes
// that are there already. It counts as the floor's.
func (s *session) keepWatch(ctx context.Context, version string, n int) error {
	took, err := s.cluster.watch(ctx, version, n)
	if err != nil {
		return err
	}
	return s.record.add(result.Sample{
		Row: s.row, Subject: floorName, Services: s.services, Metric: "watch", Unit: "s", Value: took.Seconds(),
	})
}

// applyAll writes many changes, many at a time.
func (c *cluster) applyAll(ctx context.Context, all []change) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writers)
	for _, ch := range all {
		group.Go(func() error {
			_, err := c.apply(ctx, ch)
			return err
		})
	}
	return group.Wait()
}

// version is the version of the EndpointSlices as a whole.
func (c *cluster) version(ctx context.Context) (string, error) {
	list, err := c.client.DiscoveryV1().EndpointSlices(dataset.Namespace).List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return "", fmt.Errorf("ask for the version of the EndpointSlices: %w", err)
	}
	return list.ResourceVersion, nil
}

// watchSince watches the EndpointSlices from a version on.
func (c *cluster) watchSince(ctx context.Context, version string) (apiwatch.Interface, error) {
	w, err := c.client.DiscoveryV1().EndpointSlices(dataset.Namespace).Watch(ctx, metav1.ListOptions{ResourceVersion: version})
	if err != nil {
		return nil, fmt.Errorf("watch the EndpointSlices: %w", err)
	}
	return w, nil
}

// watch receives n events that are later than a version.
func (c *cluster) watch(ctx context.Context, version string, n int) (time.Duration, error) {
	begin := time.Now()
	w, err := c.watchSince(ctx, version)
	if err != nil {
		return 0, err
	}
	defer w.Stop()
	for range n {
		select {
		case event, ok := <-w.ResultChan():
			if !ok || event.Type == "ERROR" {
				return 0, fmt.Errorf("watch the EndpointSlices: ended early: %v", event.Object)
			}
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
	return time.Since(begin), nil
}

// list fetches all Services and EndpointSlices at once, as informers do at their start.
func (c *cluster) list(ctx context.Context) (time.Duration, error) {
	begin := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	cached := metav1.ListOptions{ResourceVersion: "0"}
	group.Go(func() error {
		_, err := c.client.CoreV1().Services("").List(ctx, cached)
		return err
	})
	group.Go(func() error {
		_, err := c.client.DiscoveryV1().EndpointSlices("").List(ctx, cached)
		return err
	})
	err := group.Wait()
	return time.Since(begin), err
}
