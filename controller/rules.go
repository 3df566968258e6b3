package controller

import "time"

// rules is how it stands with the constant rules. Programs list and write them, which takes long where somebody else has very
// many or holds iptables' lock. So they are seen to beside everything else, but for the first time: nothing is written
// before they have been tried.
type rules struct {
	stale   bool // they are not known to be as they should
	trigger backoff
	wanted  uint64            // counts what they should have been
	running chan rulesEnsured // nil: nobody sees to them
	tried   bool              // once
}

// rulesEnsured is what came of a try.
type rulesEnsured struct {
	wanted  uint64
	written int
	took    time.Duration
	err     error
}

// change says that the rules should be others from now on.
func (r *rules) change() {
	r.stale, r.trigger = true, backoff{} // at once
	r.wanted++
}

// due reports that they are to be tried again.
func (r *rules) due(now time.Time) bool {
	return r.stale && r.running == nil && !now.Before(r.trigger.at)
}

// retry is when they are tried again. While they are, who does it says when that is over.
func (r *rules) retry() backoff {
	if r.running != nil {
		return backoff{}
	}
	return r.trigger
}

// ensureRules makes sure of the rules, or begins to.
func (c *Controller) ensureRules(now time.Time) error {
	r := &c.rules
	if r.running != nil {
		return nil
	}
	started := time.Now()
	ensure, wanted, ended := c.masq.EnsuresRules(), r.wanted, make(chan rulesEnsured, 1)
	try := func() {
		written, err := ensure()
		ended <- rulesEnsured{wanted, written, time.Since(started), err}
		c.dirty.poke()
	}
	r.running = ended
	if !r.tried {
		r.tried = true
		try()
	} else {
		c.beside(try)
	}
	return c.landRules(now.Add(time.Since(started)))
}

// landRules takes over what came of it, if it has ended by now. Rules that are written because the last try failed, or
// because what they should be has changed, are nobody else's doing.
func (c *Controller) landRules(now time.Time) error {
	r := &c.rules
	select {
	case done := <-r.running:
		r.running = nil
		if done.written > 0 || done.err != nil {
			c.lanes.rules.wrote(done.took, done.err)
		}
		if !r.stale {
			c.found(done.written, 0, 0)
		}
		r.stale = done.err != nil || done.wanted != r.wanted
		r.trigger.ended(now, done.err)
		return done.err
	default:
		return nil
	}
}

// awaitRules waits until nobody sees to the rules.
func (c *Controller) awaitRules() {
	if c.rules.running != nil {
		<-c.rules.running
	}
}
