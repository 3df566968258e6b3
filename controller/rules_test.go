package controller

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// heldRules is an iptables that waits, as for the lock, until it is told how to go on.
type heldRules struct {
	masq.Kernel
	held  chan error // nil: it does not wait
	tries int
}

func (h *heldRules) EnsureRules(chains map[masq.Family][]masq.Chain) (int, error) {
	h.tries++
	if h.held != nil {
		if err := <-h.held; err != nil {
			return 0, err
		}
	}
	return h.Kernel.EnsureRules(chains)
}

// holdRules has the rules of a running controller wait from now on.
func (r *rig) holdRules() *heldRules {
	h := &heldRules{Kernel: r.masq}
	r.c = newTestController(r.world, Kernel{IPVS: r.ipvs, Dummyif: r.dummyif, Masq: h}, r.log, func() bool { return r.complete })
	for name := range r.world.services {
		r.c.dirty.add(name)
	}
	r.round()
	r.c.beside = func(f func()) { go f() }
	h.held = make(chan error)
	return h
}

// TestAChangeDoesNotWaitForTheRules: to list them takes a program seconds where others have very many, and half a minute where
// somebody holds iptables' lock.
func TestAChangeDoesNotWaitForTheRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.set(service("web", "10.96.0.10"), endpoints("10.1.0.1"))
		r.round()
		h := r.holdRules()
		tries := h.tries
		r.later(r.c.options.SyncPeriod) // an audit
		r.set(service("web", "10.96.0.10"), endpoints("10.1.0.1", "10.1.0.2"))
		r.later(r.c.options.SyncPeriod) // the next one
		if reals := r.c.ipvs.Reals(r.key("10.96.0.10:80", ipvs.TCP)); len(reals) != 2 || !r.c.ipvs.Settled(r.key("10.96.0.10:80", ipvs.TCP)) {
			t.Errorf("behind the rules waits %v", reals)
		}
		synctest.Wait()
		if h.tries != tries+1 {
			t.Errorf("%d at once see to the rules", h.tries-tries)
		}
		if r.c.rules.stale || r.c.trigger.round.patience > 0 {
			t.Error("to wait is a failure")
		}
		h.held <- errors.New("the lock is taken")
		synctest.Wait()
		r.round()
		if !r.c.rules.stale || !strings.Contains(r.log.String(), "the lock is taken") {
			t.Errorf("the failure is not told of:\n%s", r.log)
		}
		close(h.held)
		r.later(lastRetry)
		synctest.Wait()
		r.round()
		if r.c.rules.stale || h.tries != tries+2 {
			t.Errorf("after the lock is free: stale %t, %d tries", r.c.rules.stale, h.tries-tries)
		}
	})
}

// TestRulesThatChangeMeanwhileAreSeenToAgain: what was begun before is for rules that nobody wants any more.
func TestRulesThatChangeMeanwhileAreSeenToAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		h := r.holdRules()
		r.later(r.c.options.SyncPeriod)
		synctest.Wait()
		tries := h.tries
		o := r.c.options
		o.Masq.MasqueradeAll = true
		r.c.Reconfigure(o)
		r.c.followOptions(r.now)
		r.round()
		if wait := r.c.trigger.wait(r.now, r.c.rules.retry(), time.Time{}, false); wait < time.Second || h.tries != tries {
			t.Errorf("the round spins, or two see to the rules: %s, %d tries", wait, h.tries-tries)
		}
		for range 2 { // with the rules as they were, then as they should be
			h.held <- nil
			synctest.Wait()
			r.round()
		}
		if !strings.Contains(r.masq.Rules(), "all (masqueradeAll)") || r.c.rules.stale {
			t.Errorf("stale %t:\n%s", r.c.rules.stale, r.masq.Rules())
		}
		r.c.awaitRules()
	})
}
