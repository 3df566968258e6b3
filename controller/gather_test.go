package controller

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/ipvs"
)

// rounds is how many rounds have ended.
func (r *rig) rounds() float64 {
	return testutil.ToFloat64(r.c.Metrics.rounds.WithLabelValues("success"))
}

// writingRounds is how many rounds have written something.
func (r *rig) writingRounds() int { return strings.Count(r.log.String(), "msg=synced ") }

// looping runs the loop over 1,000 Services on a clock that only waits move, after edit. The last round is long ago.
func looping(t *testing.T, edit func(*rig), test func(*testing.T, *rig)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer stop()
		r := rigWith(t, 1_000)
		r.now, r.c.longest = time.Now(), longestRound
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

// slowWrites is a kernel that takes its time to write virtual servers.
type slowWrites struct {
	*ipvs.Fake
	each time.Duration
}

func (s *slowWrites) Apply(ops []ipvs.Op) []error {
	time.Sleep(s.each)
	return s.Fake.Apply(ops)
}

// slowly has writes take so long, once everything is there.
func slowly(each time.Duration) func(*rig) {
	return func(r *rig) {
		kernel := &slowWrites{Fake: r.ipvs}
		r.c = newTestController(r.world, Kernel{IPVS: kernel, Dummyif: r.dummyif, Masq: r.masq}, r.log, func() bool { return true })
		for name := range r.world.services {
			r.c.dirty.add(name)
		}
		r.round()
		kernel.each = each
	}
}

// grow gives some Services a third endpoint, so that nothing drains, or makes them. The world changes first, while the loop
// waits: it may look as soon as it has been told.
func (r *rig) grow(first, many int) {
	synctest.Wait()
	var names []types.NamespacedName
	for n := first; n < first+many; n++ {
		svc := service(fmt.Sprint("web", n), vip(n))
		name := types.NamespacedName{Namespace: svc.Namespace, Name: svc.Name}
		r.world.services[name] = svc
		r.world.slices[name] = []*discoveryv1.EndpointSlice{endpoints(endpoint(n), endpoint(n+1), endpoint(n+2))}
		names = append(names, name)
	}
	for _, name := range names {
		r.c.dirty.add(name)
	}
}

func TestARoundOfManyTakesInWhatComesMeanwhile(t *testing.T) {
	var coming atomic.Bool
	looping(t, slowly(50*time.Millisecond), func(t *testing.T, r *rig) {
		before, messages := r.writingRounds(), r.messages()
		r.c.source.Coming = coming.Load
		coming.Store(true)
		r.grow(0, enough)
		for n := range 20 {
			time.Sleep(10 * time.Millisecond)
			r.grow(enough+10*n, 10)
		}
		time.Sleep(100 * time.Millisecond)
		coming.Store(false)
		time.Sleep(time.Second)
		synctest.Wait()
		if rounds, written := r.writingRounds()-before, r.messages()-messages; rounds != 1 || written != enough+200 {
			t.Errorf("%d rounds wrote %d messages; want one, and %d", rounds, written, enough+200)
		}
	})
}

// TestARoundOfManyTakesInWhatComesWhileItsLastPortionIsWritten: the reader had fallen behind for a moment.
func TestARoundOfManyTakesInWhatComesWhileItsLastPortionIsWritten(t *testing.T) {
	var coming atomic.Bool
	looping(t, slowly(50*time.Millisecond), func(t *testing.T, r *rig) {
		before, messages := r.writingRounds(), r.messages()
		r.c.source.Coming = coming.Load
		coming.Store(true) // until all have been told
		r.grow(0, enough)
		coming.Store(false)
		time.Sleep(10 * time.Millisecond)
		r.grow(enough, 100)
		time.Sleep(time.Second)
		synctest.Wait()
		if rounds, written := r.writingRounds()-before, r.messages()-messages; rounds != 1 || written != enough+100 {
			t.Errorf("%d rounds wrote %d messages; want one, and %d", rounds, written, enough+100)
		}
	})
}

// TestARoundEndsAlthoughChangesGoOn: drains wait for it.
func TestARoundEndsAlthoughChangesGoOn(t *testing.T) {
	var coming atomic.Bool
	looping(t, slowly(50*time.Millisecond), func(t *testing.T, r *rig) {
		r.c.source.Coming = coming.Load
		coming.Store(true)
		before := r.rounds()
		const lasts = 4 * longestRound
		r.grow(0, enough)
		for n := 0; n < int(lasts/(20*time.Millisecond)); n++ {
			time.Sleep(20 * time.Millisecond)
			r.grow(enough+4*n, 4)
		}
		if rounds := r.rounds() - before; rounds < 3 || rounds > 4 {
			t.Errorf("%v rounds in %s, want one in %s and a little", rounds, lasts, longestRound)
		}
		coming.Store(false)
		time.Sleep(longestRound) // it comes to rest
	})
}

// TestALongRoundIsFollowedByTheNext: what it left is not forgotten.
func TestALongRoundIsFollowedByTheNext(t *testing.T) {
	const each, many = 2 * longestRound, 16 * portionSize
	var coming atomic.Bool
	looping(t, slowly(each), func(t *testing.T, r *rig) {
		r.c.source.Coming = coming.Load
		messages := r.messages()
		coming.Store(true) // until all have been told
		r.grow(1_000, many)
		time.Sleep(silence)
		coming.Store(false)
		time.Sleep(20 * each)
		synctest.Wait()
		if left := r.c.dirty.len(); left > 0 || r.messages()-messages < 3*many {
			t.Errorf("%d are left, %d messages", left, r.messages()-messages)
		}
	})
}
