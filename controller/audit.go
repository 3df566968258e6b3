package controller

import "time"

// The sections of an audit: what resyncAllBut reads at once, and an audit of many virtual servers one by one, for no change
// should wait for all of them.
const (
	auditSets = iota
	auditRules
	auditBindings
	auditServers
	auditReals // in the steps that follow
)

// auditSection reads the next section. One that cannot be read is tried again later, but for the rules, which have a retry
// of their own.
func (c *Controller) auditSection(now time.Time) (err error) {
	started := time.Now()
	var rulesErr error
	var sets, servers, bindings int
	switch c.section {
	case auditSets:
		c.sectionsTook = 0
		c.trigger.cycle(now, c.auditPeriod(), true)
		sets, err = c.resyncSets()
	case auditRules:
		rulesErr = c.resyncRules(now)
	case auditBindings:
		bindings, err = c.resyncBindings()
	case auditServers:
		servers, err = c.ipvs.BeginServers(c.ours)
	}
	if err != nil {
		c.trigger.step(now, c.auditPeriod()/auditSteps, true)
		return c.unreadable(err)
	}
	c.sectionsTook += time.Since(started)
	c.trigger.step(now, soonest, true)
	c.found(sets, servers, bindings)
	if c.section++; c.section == auditReals {
		c.section = 0
		c.shareAudit()
		c.Metrics.audit.Set(c.sectionsTook.Seconds())
		if c.options.Sized != nil {
			c.options.Sized(c.ipvs.Size())
		}
	}
	return rulesErr
}
