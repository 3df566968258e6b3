package controller

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// rounds is how many rounds have ended.
func (r *rig) rounds() float64 {
	return testutil.ToFloat64(r.c.Metrics.rounds.WithLabelValues("success"))
}

// TestManyChangesAreGatheredAndOneIsNot runs the loop on a clock that only waits move.
func TestManyChangesAreGatheredAndOneIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer stop()
		r := rigWith(t, 1_000)
		r.now = time.Now()
		go r.c.loop(ctx)
		time.Sleep(time.Second)

		change := func(n int) {
			synctest.Wait()                                                  // the loop waits: the world is ours
			r.plain(n, endpoints(endpoint(n), endpoint(n+1), endpoint(n+2))) // nothing drains, which would be another reason for rounds
		}
		for n := range 3 {
			before, messages := r.rounds(), r.messages()
			change(n)
			synctest.Wait()
			if rounds := r.rounds() - before; rounds != 1 || r.messages()-messages != 1 {
				t.Errorf("change %d by itself: %v rounds, %d messages, without time going by", n, rounds, r.messages()-messages)
			}
			time.Sleep(50 * time.Millisecond)
		}

		before, messages := r.rounds(), r.messages()
		for n := range 90 {
			change(100 + n)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		if rounds := r.rounds() - before; rounds != 2 || r.messages()-messages != 90 {
			t.Errorf("90 changes, one each millisecond: %v rounds, %d messages; want the first by itself and one for the rest", rounds, r.messages()-messages)
		}

		before = r.rounds()
		for n := range 700 {
			change(200 + n)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if rounds := r.rounds() - before; rounds < 7 || rounds > 10 {
			t.Errorf("700 changes without a pause: %v rounds; no change may wait for more than 100 ms, nor have many a round of its own", rounds)
		}
	})
}
