package controller

import "time"

// The sections of an audit: what resyncAllBut reads at once, and an audit of many virtual servers one by one and page by page,
// for no change should wait for all of it.
const (
	auditSets = iota
	auditEntries
	auditRules
	auditDevice
	auditBindings
	auditServers
	auditReals // in the steps that follow
)

// leastPause is between two pages. They are small, and many.
const leastPause = 20 * time.Millisecond

// audit is how far an audit of many virtual servers has come.
type audit struct {
	section int
	drift   struct{ sets, servers, bindings int } // of the section so far
	took    time.Duration                         // all sections so far
}

// auditSection reads more of a section, or all. One that cannot be read is begun anew later, but for the rules, which have a
// retry of their own.
func (c *Controller) auditSection(now time.Time) error {
	started := time.Now()
	if c.audit.section == auditSets {
		c.audit = audit{}
		c.trigger.cycle(now, c.auditPeriod(), true)
	}
	more, err := c.readSection(now)
	took := time.Since(started)
	c.audit.took += took
	if err != nil && c.audit.section != auditRules {
		c.audit.again()
		c.trigger.step(now, c.auditPeriod()/auditSteps, true)
		return c.unreadable(err)
	}
	c.trigger.step(now, min(max(took*stepPause, leastPause), c.auditPeriod()/auditSteps), true)
	if more {
		return nil
	}
	c.found(c.audit.drift.sets, c.audit.drift.servers, c.audit.drift.bindings)
	c.audit.drift = struct{ sets, servers, bindings int }{}
	if c.audit.section++; c.audit.section == auditReals {
		c.audit.section = auditSets
		c.shareAudit()
		c.Metrics.audit.Set(c.audit.took.Seconds())
		if c.options.Sized != nil {
			c.options.Sized(c.ipvs.Size())
		}
	}
	return err
}

// again goes back to where a reading in pages begins.
func (a *audit) again() {
	if a.section == auditEntries || a.section == auditBindings {
		a.section--
	}
}

// readSection reads the section, or a page of it.
func (c *Controller) readSection(now time.Time) (more bool, err error) {
	n, drift := 0, &c.audit.drift
	switch c.audit.section {
	case auditSets:
		c.askAgain()
		err = c.masq.BeginSweep()
	case auditEntries:
		n, more, err = c.masq.NextPage()
		drift.sets += n
	case auditRules:
		err = c.ensureRules(now)
	case auditDevice:
		err = c.dummyif.BeginSweep(c.oursToBind)
	case auditBindings:
		n, more, err = c.dummyif.NextPage()
		drift.bindings += n
	case auditServers:
		drift.servers, err = c.ipvs.BeginServers(c.ours)
	}
	return more, err
}
