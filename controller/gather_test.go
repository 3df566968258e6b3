package controller

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// rounds is how many rounds have ended.
func (r *rig) rounds() float64 {
	return testutil.ToFloat64(r.c.Metrics.rounds.WithLabelValues("success"))
}

// looping runs the loop over 1,000 Services on a clock that only waits move, after edit. The last round is long ago.
func looping(t *testing.T, edit func(*rig), test func(*testing.T, *rig)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer stop()
		r := rigWith(t, 1_000)
		r.now = time.Now()
		edit(r)
		go r.c.loop(ctx)
		time.Sleep(time.Second)
		test(t, r)
	})
}

func TestManyChangesAreGatheredAndOneIsNot(t *testing.T) {
	looping(t, func(*rig) {}, func(t *testing.T, r *rig) {
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
		time.Sleep(2 * lull)
		synctest.Wait()
		if rounds := r.rounds() - before; rounds != 2 || r.messages()-messages != 90 {
			t.Errorf("90 changes, one each millisecond: %v rounds, %d messages; want the first by itself and one for the rest", rounds, r.messages()-messages)
		}

		before = r.rounds()
		for n := range 700 {
			change(200 + n)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(longest)
		synctest.Wait()
		if rounds := r.rounds() - before; rounds < 3 || rounds > 5 {
			t.Errorf("700 changes without a pause: %v rounds; no change may wait for more than %v, nor have many a round of its own", rounds, longest)
		}
	})
}

// TestABurstIsOneRound: while the source still reads what has arrived, nothing is written.
func TestABurstIsOneRound(t *testing.T) {
	var coming atomic.Bool
	looping(t, func(r *rig) { r.c.source.Coming = coming.Load }, func(t *testing.T, r *rig) {
		for i, burst := range []struct {
			changes, rounds int
			pause           time.Duration
		}{
			{100, 1, time.Millisecond},
			{20, 1, 10 * time.Millisecond}, // slower than what counts as silence
			{50, 2, 10 * time.Millisecond}, // longer than any change may wait
		} {
			synctest.Wait()
			before, messages := r.rounds(), r.messages()
			coming.Store(true)
			for n := range burst.changes {
				synctest.Wait() // the loop waits: the world is ours
				n := 200*i + n
				r.plain(n, endpoints(endpoint(n), endpoint(n+1), endpoint(n+2))) // nothing drains
				time.Sleep(burst.pause)
			}
			coming.Store(false)
			time.Sleep(2 * lull)
			synctest.Wait()
			if rounds := r.rounds() - before; rounds != float64(burst.rounds) || r.messages() == messages {
				t.Errorf("%d changes, one each %v, and more to come: %v rounds, %d messages; want %d", burst.changes, burst.pause, rounds, r.messages()-messages, burst.rounds)
			}
			time.Sleep(time.Second)
		}
	})
}
