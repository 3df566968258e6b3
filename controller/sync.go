package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/view"
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

// shownErrors is how many errors of one round are logged.
const shownErrors = 10

// round does everything that is due: the audit, the names in the dirty set, what is pending from
// earlier failures, and drains. All that waits for a time waits for the given one. It returns how many Services it
// looked at.
func (c *Controller) round(ctx context.Context, now time.Time) (services int) {
	started := time.Now()
	c.tellComplete()
	c.stale = c.reread.Swap(false) || c.stale
	c.retry(now)
	errs := []error{c.followFacts(), c.landRules(now), c.resync(now)}
	before := c.writes()
	for p := c.firstPortion(); ctx.Err() == nil; {
		services += len(p.services)
		p.more = c.takesMore(started, services)
		next := c.following(p)
		c.Health.started(p.since, len(p.services) > 0)
		first := !p.more && !c.settled
		c.settled = c.settled || !p.more
		errs = append(errs, c.sync(p, now))
		if first {
			c.claims.turnLater()
			c.readLatestFirst()
		}
		if !p.more {
			c.tellSettled()
		}
		if !p.more && !c.takesMore(started, services) { // nothing has come while the last portion was written
			break
		}
		c.answer()
		p = next()
	}
	errs = append(errs, c.flights.land(), c.deleteStaleFlows())
	took := time.Since(started)
	err := c.finish(now.Add(took), errors.Join(errs...))
	c.tellInForce(err)
	c.Metrics.wrote(c.lanes)
	c.Metrics.synced(c, took, err)
	c.Metrics.kubeProxy.programmed(c.dirty.happened(func(name types.NamespacedName) bool {
		return err == nil && c.ipvs.Unseen() == 0 || c.claims.inForce(name)
	}), time.Now())
	c.record.ended(err)
	c.tellRested(err)
	if writes := c.writes() - before; writes > 0 {
		c.record.synced(services, writes, took)
		c.log.Info("synced", "services", services, "writes", writes,
			"took", took.Round(time.Microsecond), "draining", c.ipvs.Draining())
	}
	return services
}

// readLatestFirst has the real servers that nobody has read since the start be read in the order of the changes of
// EndpointSlices, the latest first: what has changed while no daemon ran is found soon.
func (c *Controller) readLatestFirst() {
	if c.ipvs.Unseen() == 0 {
		return
	}
	var keys []ipvs.Key
	for _, name := range c.objects.changedLast() {
		keys = append(keys, c.serversOf(name)...)
	}
	c.ipvs.ReadFirst(keys)
}

// tellSettled says once that everything listed at the start has been written, and how much that is. Where very many
// virtual servers were there already, that is known when all of them have been read.
func (c *Controller) tellSettled() {
	if c.told || c.ipvs.Unseen() > 0 {
		return
	}
	c.told = true
	c.claims.turnAll()
	c.record.phase = view.PhaseRunning
	if c.options.Settled != nil {
		c.options.Settled()
	}
	if c.options.Sized != nil {
		c.options.Sized(c.ipvs.Size())
	}
}

// sync is the one path. It claims what a portion of Services wants and writes what is pending, theirs and
// whatever failed before. Each kernel package grows in the order of dependence and shrinks in the
// reverse, and adds come before removes.
//
// Where portions follow one another, the entries of one, the virtual servers of the one before and the bindings of the
// one before that are written at the same time, while the next is rendered. In each kernel package, and
// for each Service, the order is the same.
func (c *Controller) sync(p portion, now time.Time) error {
	errs := []error{c.flights.land()}
	if p.follows {
		launch(&c.flights, c.ipvs.Upserts(c.servable), c.ipvs.Write, c.ipvs.Record)
		launch(&c.flights, c.dummyif.Upserts(c.bindable), c.dummyif.Write, c.dummyif.Record)
	}
	c.claimAll(p.services)
	if c.ipvs.Awaited() > 0 {
		errs = append(errs, c.flights.land(), c.ipvs.ReadAwaited())
	}
	if !p.follows {
		errs = append(errs, c.ipvs.Upsert(byMark))
	} else if marked := c.ipvs.Upserts(byMark); len(marked) > 0 {
		errs = append(errs, c.flights.land(), c.ipvs.Record(marked, c.ipvs.Write(marked)))
	}
	if p.more && !p.alone {
		launch(&c.flights, c.masq.Upserts(c.leads), c.masq.Write, c.masq.Record)
	} else {
		errs = append(errs, c.flights.land(), c.finishSync(now, len(p.services) > 0))
	}
	err := errors.Join(errs...)
	c.stale = c.stale || contradicts(err)
	return err
}

// claimAll claims what Services want, and what those want that this wakes: each once, however many wake it.
func (c *Controller) claimAll(services []rendered) {
	woken := make(map[types.NamespacedName]struct{})
	wake := func(names []types.NamespacedName) {
		for _, name := range names {
			woken[name] = struct{}{}
		}
	}
	for i := range services {
		wake(c.claim(&services[i]))
	}
	for len(woken) > 0 {
		for name := range woken {
			delete(woken, name) // it may be woken again
			r := c.lookAt(name)
			wake(c.claim(&r))
		}
	}
}

// finishSync writes all that is pending, step by step. The caller is busy when something has changed.
func (c *Controller) finishSync(now time.Time, busy bool) error {
	errs := []error{
		c.masq.Upsert(c.leads),
		c.ipvs.Upsert(c.servable),
		c.dummyif.Upsert(c.bindable),
	}
	if c.settled && c.source.Complete() {
		errs = append(errs,
			c.masq.Prune(c.guarded(), c.lingers), // so that nobody is led to what drains
			c.ipvs.Drain(now),
			c.ipvs.Expire(now, func() bool { return busy || c.dirty.len() > 0 }), // what drains can wait for what comes
			c.pruneBindings(),
			c.ipvs.Prune(byAddress),
			c.masq.Prune(c.guarded(), c.lingers),
			c.ipvs.Prune(c.unled),
		)
	} else {
		errs = append(errs, c.ipvs.DrainRemoved())
	}
	return errors.Join(errs...)
}

// pruneBindings unbinds the VIPs that nothing holds any more.
func (c *Controller) pruneBindings() error {
	c.release()
	return c.dummyif.Prune(c.heldVIP, c.ipvs.LingersAt)
}

// contradicts reports that the kernel is not as it was read, or may not be.
func contradicts(err error) bool {
	return errors.Is(err, fs.ErrExist) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, nlbatch.ErrUnknown)
}

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

// retry has what failed tried again if the time for that has come, or the kernel is read anew. A change that comes before does
// not do it: it would cost as much as there is that fails.
func (c *Controller) retry(now time.Time) {
	if c.retrying = c.stale || !now.Before(c.trigger.round.at); c.retrying {
		c.masq.Retry()
		c.ipvs.Retry()
		c.dummyif.Retry()
	}
}

// finish records how a round went that has just ended. It returns what has failed, and be it earlier.
func (c *Controller) finish(now time.Time, err error) (failed error) {
	if c.retrying {
		c.trigger.round.ended(now, err)
	}
	if err != nil {
		c.log.Error("some of it failed and will be tried again", "in", c.trigger.round.at.Sub(now), "err", firstErrors(err))
	}
	if c.retrying || err != nil {
		c.failed = err
	}
	c.Health.finished(time.Now(), c.readable)
	return c.failed
}

// firstErrors shortens a joined error to what a person reads.
func firstErrors(err error) error {
	lines := strings.Split(err.Error(), "\n")
	if len(lines) <= shownErrors {
		return err
	}
	return fmt.Errorf("%s\n... and %d more", strings.Join(lines[:shownErrors], "\n"), len(lines)-shownErrors)
}

func (c *Controller) writes() uint64 { return c.masq.Writes() + c.ipvs.Writes() + c.dummyif.Writes() }
