package controller

import (
	"cmp"
	"errors"
	"net/netip"
	"time"
)

// A step of the audit that takes longer than stepLimit was too large, and after one of many small ones there is a
// pause of so many times as long as it took.
const (
	stepLimit = 2 * time.Millisecond
	stepPause = 50
	leastStep = 4 // virtual servers
	firstStep = 64
)

// See auditPeriod.
const (
	manyServers = 4096 // virtual servers to read in each sync period
	mostPeriods = 4
)

// resync reads the kernel: all of it where there is reason to think that it is not as it was left,
// and for the audit step by step, so that no change ever waits for a whole one. Tables that cannot
// be read keep what they knew.
func (c *Controller) resync(now time.Time) error {
	auditing := !now.Before(c.trigger.audit)
	switch {
	case c.stale:
		return c.resyncAll(now)
	case !c.settled && c.ipvs.Unseen() > 0:
		return nil // first what is desired, and what is new
	case auditing && c.audit.section > 0:
		return c.auditSection(now)
	case auditing && c.ipvs.PageDue():
		return c.resyncPage(now)
	case auditing && c.ipvs.Unread() > 0 && (now.Before(c.trigger.next) || !c.ipvs.Tried()):
		return c.resyncReals(now, c.auditStep)
	case auditing && c.ipvs.Size().VirtualServers > c.auditWhole:
		return c.auditSection(now)
	case auditing:
		_, err := c.resyncAllBut(now)
		c.shareAudit()
		return err
	case c.rules.due(now):
		return c.ensureRules(now)
	}
	return nil
}

// auditPeriod is the time that one audit of the whole kernel takes: the sync period where there is little to read, and
// up to four of them where there is very much, so that an idle node stays idle.
func (c *Controller) auditPeriod() time.Duration {
	periods := 1 + c.ipvs.Size().VirtualServers/manyServers
	return c.options.SyncPeriod * time.Duration(min(periods, mostPeriods))
}

// shareAudit says how many virtual servers the steps of an audit read that begins.
func (c *Controller) shareAudit() {
	c.auditShare = c.ipvs.Unread()/(auditSteps/2) + 1
	c.auditStep = min(cmp.Or(c.auditStep, firstStep), c.auditShare)
}

// resyncAll reads the whole kernel at once, but for the real servers of virtual servers that are unseen: the steps
// of the audit read those, without a pause.
func (c *Controller) resyncAll(now time.Time) error {
	c.audit = audit{}
	read, err := c.resyncAllBut(now)
	if !read {
		return err
	}
	c.stale = false // real servers that cannot be read now are read again by the audit
	drift, readErr := c.ipvs.ResyncAllReals()
	if c.ipvs.Unread() > 0 {
		c.shareAudit()
	}
	c.readable = c.readable || readErr == nil && !c.settled // at the start a change can be served from here on
	return errors.Join(err, c.resynced(now, c.auditPeriod()/auditSteps, drift, readErr))
}

// resyncReals reads the real servers of so many virtual servers, as a step of the audit. How many the next
// step reads, and when, follows from how long this one took: no change waits long for it, and it takes a small
// share of the time. Where there are very many, an audit takes longer than a period for that reason.
func (c *Controller) resyncReals(now time.Time, limit int) error {
	started := time.Now()
	drift, err := c.ipvs.ResyncReals(limit)
	took := time.Since(started)
	share := c.auditShare
	switch {
	case took > stepLimit:
		c.auditStep = max(int(int64(limit)*int64(stepLimit)/int64(took)), leastStep)
	case c.ipvs.Unread() > 0: // the last step is a short one, and tells nothing
		c.auditStep = min(2*max(c.auditStep, 1), share)
	}
	pause := c.auditPeriod() / auditSteps
	if c.auditStep < share {
		pause = min(pause, max(took*stepPause, soonest))
	}
	return c.resynced(now, pause, drift, err)
}

// resyncPage reads the next virtual servers, where they are very many, as a step of the audit.
func (c *Controller) resyncPage(now time.Time) error {
	started := time.Now()
	drift, err := c.ipvs.NextPage()
	pause := max(time.Since(started)*stepPause, soonest)
	return c.resynced(now, min(pause, c.auditPeriod()/auditSteps), drift, err)
}

// resynced records a step of the audit, and when the next one is due.
func (c *Controller) resynced(now time.Time, pause time.Duration, drift int, err error) error {
	c.found(0, drift, 0)
	if err == nil && c.trigger.round.patience == 0 && c.ipvs.Unseen() > 0 {
		pause = 0 // what has changed while no daemon ran is found only now
	}
	c.trigger.step(now, pause, c.ipvs.Unread() > 0)
	if err != nil {
		return c.unreadable(err)
	}
	if c.ipvs.Unread() == 0 {
		c.audited(time.Now())
	}
	return nil
}

// resyncAllBut reads everything but the real servers of known virtual servers, and reports whether that
// went well. When only the rules could not be seen to, it did: the error says so, and they have a retry
// of their own.
func (c *Controller) resyncAllBut(now time.Time) (read bool, err error) {
	started := time.Now()
	c.trigger.step(now, c.auditPeriod()/auditSteps, true) // in case of failure
	c.askAgain()
	sets, err := c.masq.ResyncSets()
	if err != nil {
		return false, c.unreadable(err) // the sets say what is ours: without them nothing may be judged
	}
	rulesErr := c.ensureRules(now) // somebody may hold the lock; that is no reason to look at nothing
	servers, err := c.ipvs.ResyncServers(c.ours)
	if err != nil {
		return false, c.unreadable(errors.Join(rulesErr, err))
	}
	bindings, err := c.dummyif.Resync(c.oursToBind)
	if err != nil {
		return false, c.unreadable(errors.Join(rulesErr, err))
	}
	c.trigger.cycle(now, c.auditPeriod(), c.ipvs.Unread() > 0)
	if c.ipvs.Unread() == 0 {
		c.audited(time.Now())
	}
	c.Metrics.audit.Set(time.Since(started).Seconds())
	c.found(sets, servers, bindings)
	if c.options.Sized != nil {
		c.options.Sized(c.ipvs.Size())
	}
	return true, rulesErr
}

// askAgain has looked at again what an audit may find to be free.
func (c *Controller) askAgain() {
	c.schedulers.askAgain()
	for name := range c.claims.starved {
		c.dirty.add(name) // a mark may be free by now: one is when the kernel is rid of it
	}
}

// oursToBind says that a bound VIP was bound by Fairlead.
func (c *Controller) oursToBind(vip netip.Addr) bool { return c.masq.Has(vipEntry(vip)) }

// audited records that the whole kernel has been read. While part of it could not be, nothing is learned of how long that
// takes: or a kernel that fails again and again would be given twice as long each time.
func (c *Controller) audited(now time.Time) {
	c.masq.EndAudit()
	if c.readable && !c.record.audited.IsZero() {
		c.auditCycle = now.Sub(c.record.audited)
	}
	c.readable = true
	c.record.audited = now
	c.Metrics.audited.Store(now.UnixNano())
}

// found reports what was not as Fairlead left it. At the start that is what an earlier daemon left, or
// nobody.
func (c *Controller) found(sets, servers, bindings int) {
	if sets+servers+bindings > 0 && c.settled {
		c.record.found(sets, servers, bindings)
		c.Metrics.found(map[string]int{"masq": sets, "ipvs": servers, "dummyif": bindings})
		c.log.Warn("the kernel was not as Fairlead left it; putting it right",
			"rulesAndEntries", sets, "servers", servers, "addresses", bindings)
	}
}

func (c *Controller) unreadable(err error) error {
	c.readable = false
	c.Health.unreadable(2 * max(c.auditPeriod(), c.auditCycle))
	return err
}
