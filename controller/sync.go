package controller

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/view"
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
		return err == nil && c.ipvs.Unseen() == 0 && !c.rescheduling || c.claims.inForce(name)
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
	return errors.Join(append(errs, c.reschedule(func() bool { return c.dirty.len() > 0 }))...)
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
