package controller

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/conntrack"
	"github.com/fairlead-lb/fairlead/controller/healthcheck"
	"github.com/fairlead-lb/fairlead/controller/render"
	"github.com/fairlead-lb/fairlead/controller/source"
	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
	"github.com/fairlead-lb/fairlead/view"
)

// Options are the controller's part of the configuration.
type Options struct {
	NodeName      string
	Host          Host
	Events        Events          // nil: problems are only logged
	Sized         func(ipvs.Size) // called with how much there is, once in each audit; nil: not
	Rehearsal     bool            // the kernels are in memory: nothing is listened on, for that would be real
	Settled       func()          // called once, when all that was listed at the start has been written; nil: not
	Rested        func(error)     // called from the first round on after which nothing is left to do but to wait, with what failed; nil: not
	Scheduler     string
	Flags         ipvs.Flags
	Excluded      []netip.Prefix // addresses that no Service gets
	SyncPeriod    time.Duration  // between audits of the whole kernel state
	MinSyncPeriod time.Duration
	DrainTimeout  time.Duration
	BindRoutes    bool
	Masq          masq.Options
	NodeCIDR      bool // pods are what comes from the Node's podCIDRs
	NodePorts     NodePorts

	// Inherited tells which virtual servers are another proxy's that this one replaces: they are known from
	// the start, instead of being met when they are to be made. nil: none are.
	Inherited func(ipvs.Key) bool

	// Feed is what the source tells, if it is followed already.
	Feed *Feed

	AllowedExternalIPs []netip.Prefix // the only ones that Services may name; none: all
}

// Kernel is everything that the controller writes to.
type Kernel struct {
	IPVS    ipvs.Kernel
	Dummyif dummyif.Kernel
	Masq    masq.Kernel
	Flows   conntrack.Kernel // nil: stale UDP flows stay
}

// Controller keeps the kernel of one node equal to the cluster's Services. Run owns all its state;
// Health and Metrics may be used from any goroutine, and whoever else wants to know something asks: see look.
type Controller struct {
	options Options
	render  render.Options
	log     *slog.Logger

	source  source.Source
	feed    *Feed
	objects objects
	dirty   *dirty
	node    node
	next    atomic.Pointer[Options] // see Reconfigure; nil: go on with these

	owners       map[netip.Addr]owner
	problems     *problems
	settings     *settings
	schedulers   *schedulers
	healthChecks *healthcheck.Servers
	relays       *relays

	ipvs    *ipvs.Table
	dummyif *dummyif.Device
	masq    *masq.Ruleset
	flows   conntrack.Kernel
	claims  *claims

	trigger      trigger
	rules        rules
	beside       func(func())  // runs something beside everything else
	stale        bool          // the kernel is not as it was read: Resync before the next write
	retrying     bool          // what failed before is tried again in this round
	failed       error         // what the last round that retried said, or a later one
	readable     bool          // nothing has been unreadable since the last whole Resync
	audit        audit         // see audit.go
	longest      time.Duration // see longestRound
	rescheduling bool          // a round has not got to all virtual servers that get another scheduler
	auditWhole   int           // virtual servers up to which an audit is not cut into sections
	auditStep    int           // virtual servers whose real servers the next step of the audit reads
	auditShare   int           // and as many as it should, for the audit to take one period
	auditCycle   time.Duration // from the end of one audit to that of the next, the last time that both went well
	incomplete   bool          // the source does not know all objects, which has been told
	settled      bool          // everything listed at the start has been written once: now Prune may delete
	told         bool          // tellSettled has said so
	inForce      chan struct{}
	reread       atomic.Bool // see Reread

	lanes   *lanes
	flights flights
	record  record
	looks   chan func()   // see look
	ended   chan struct{} // closed when Run returns

	Health  *Health
	Metrics *Metrics
}

// New returns a controller that has not touched anything yet.
func New(src source.Source, k Kernel, o Options, log *slog.Logger) *Controller {
	o.Masq.Pods.Unknown = o.NodeCIDR
	feed := o.Feed
	if o.Feed = nil; feed == nil { // the options live longer
		feed = NewFeed(src, o.NodeName, log)
	}
	written := new(lanes)
	k = written.on(k)
	c := &Controller{
		options: o, log: log, source: src, feed: feed, objects: feed.reflectors, dirty: feed.dirty,
		stale: true, flows: k.Flows, inForce: make(chan struct{}),
		looks: make(chan func()), ended: make(chan struct{}), record: newRecord(),
		problems: newProblems(),
		settings: newSettings(),
		relays:   newRelays(log),
		Health:   newHealth(healthLimit(o.SyncPeriod), k.Masq.Families()),
		Metrics:  newMetrics(k.Masq.Families(), feed),
		lanes:    written,

		beside: func(f func()) { go f() }, auditWhole: manyServers, longest: longestRound,
	}
	if o.Rehearsal {
		c.beside = func(f func()) { f() } // the kernels are not made for more
	}
	if src.Contacts != nil {
		c.Metrics.connected(src.Contacts)
	}
	c.schedulers = newSchedulers(k.IPVS.ProbeScheduler, o.Scheduler)
	c.render = render.Options{
		Scheduler: o.Scheduler, Flags: o.Flags, NodeName: o.NodeName, Excluded: o.Excluded,
		Usable: c.schedulers.usable, Localhost: o.NodePorts.Localhost,
		AllowedExternalIPs: o.AllowedExternalIPs, Refused: c.refused,
	}
	for _, family := range k.Masq.Families() {
		c.render.IPv6 = c.render.IPv6 || family == masq.IPv6
	}
	c.ipvs = ipvs.NewTable(k.IPVS, o.DrainTimeout)
	c.ipvs.SetMarks(o.Masq.Marks)
	c.ipvs.SetLeads(c.leadsTo)
	c.dummyif = dummyif.NewDevice(k.Dummyif, o.BindRoutes, func(vip netip.Addr) netip.Addr { return c.node.ip(vip) })
	c.masq = masq.NewRuleset(k.Masq, o.Masq)
	c.claims = newClaims(c.ipvs, c.dummyif, c.masq, o.Masq.Marks)
	c.Health.since = c.dirty.oldest
	c.Health.answered(c.Metrics)
	c.healthChecks = healthcheck.New(c.Health.Healthy, nil, c.cannotListen)
	return c
}

// cannotListen reports a health check node port that is taken. It is called from other goroutines.
func (c *Controller) cannotListen(name types.NamespacedName, port uint16, err error) {
	c.log.Error("cannot serve a health check node port yet", "service", name.String(), "port", port, "err", err)
	if svc := c.objects.service(name); svc != nil && c.options.Events != nil {
		c.options.Events.Warning(svc, "FailedToStartServiceHealthcheck",
			fmt.Sprintf("cannot listen on health check node port %d yet: %v", port, err))
	}
}

// Run keeps the kernel in step until ctx ends, and then leaves it as it is. It returns an error when
// the kernel cannot be read at the start, or when the source fails.
func (c *Controller) Run(ctx context.Context) error {
	defer close(c.ended)
	defer c.awaitRules()
	defer c.healthChecks.Close()
	defer c.relays.relay.Close()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.work(ctx, c.feed.reflectors.wait) })
	c.feed.Follow(ctx) // what there is comes while the kernel is read
	if c.source.Run != nil {
		group.Go(func() error { return c.source.Run(ctx) })
	}
	if c.options.Host.Watch != nil {
		group.Go(func() error { return c.options.Host.Watch(ctx, c.feed.factsChanged) })
	}
	return group.Wait()
}

// work does what Run says, with the caches that synced waits for.
func (c *Controller) work(ctx context.Context, synced func(context.Context) error) error {
	if err := c.resync(time.Now()); err != nil { // rules and sets before anything else, and whatever the API server does
		return fmt.Errorf("read the kernel: %w", err)
	}
	c.record.phase = view.PhaseWaiting
	c.log.Info("waiting for the first list of Services and EndpointSlices")
	if err := c.restUntil(func() error { return synced(ctx) }); err != nil {
		return nil // stopped
	}
	c.record.phase = view.PhaseFilling
	c.claims.expect(c.objects.count())
	c.loop(ctx)
	return nil
}

// incompletePoll is how often an incomplete source is asked again: deletions wait for its answer.
const incompletePoll = time.Second

// tellComplete says when the source begins to be incomplete, and when it is complete again.
func (c *Controller) tellComplete() {
	complete := c.source.Complete()
	c.Metrics.sourceComplete(complete)
	switch incomplete := !complete; {
	case incomplete == c.incomplete:
		return
	case incomplete:
		c.log.Warn("the source does not know all objects yet (see its errors); until it does nothing is deleted")
	default:
		c.log.Info("the source knows all objects now; what is not wanted is deleted")
	}
	c.incomplete = !complete
}

// Changes that come close behind others, or while more of them wait to be read, are many, and are gathered: one round for
// all of them costs less than many. A change by itself never waits. A round of many takes in what comes meanwhile.
const (
	closeBehind = 20 * time.Millisecond  // of the end of a round that looked at Services
	silence     = 5 * time.Millisecond   // after the last change
	lull        = 20 * time.Millisecond  // the same, where many names are dirty
	manyDirty   = 32                     // more than so many names
	enough      = portionSize / 2        // names for a round
	longest     = 250 * time.Millisecond // that any change is kept waiting
)

// gather waits for the end of a row of changes. The last ones before were written then.
func (c *Controller) gather(ctx context.Context, written time.Time) {
	oldest, any := c.dirty.oldest()
	if !any {
		return
	}
	gathering := oldest.Sub(written) <= closeBehind
	for ctx.Err() == nil && c.dirty.len() < enough {
		coming := c.coming()
		if gathering = gathering || coming; !gathering { // what was being read a moment ago is about to be told
			break
		}
		quiet := silence
		if c.dirty.len() > manyDirty {
			quiet = lull
		}
		end := c.dirty.latest().Add(quiet)
		if coming {
			end = time.Now().Add(silence)
		}
		wait := min(time.Until(end), time.Until(oldest.Add(longest)))
		if wait <= 0 {
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	select {
	case <-c.dirty.wake: // it was for what the coming round takes
	default:
	}
}

// coming reports that changes have arrived which are still being read.
func (c *Controller) coming() bool { return c.source.Coming != nil && c.source.Coming() }

// loop runs rounds until ctx ends.
func (c *Controller) loop(ctx context.Context) {
	var written time.Time
	for {
		started := time.Now()
		c.followOptions(started)
		if c.round(ctx, started) > 0 {
			written = time.Now()
		}
		drain, draining := c.ipvs.NextDrain()
		wait := c.trigger.wait(time.Now(), c.rules.retry(), drain, draining)
		if !c.source.Complete() {
			wait = min(wait, incompletePoll)
		}
		if c.dirty.len() > 0 || c.rescheduling {
			wait = 0 // the round was long enough
		}
		c.rest(ctx, wait, c.dirty.wake)
		c.gather(ctx, written)
		if pause := c.options.MinSyncPeriod - time.Since(started); pause > 0 && c.ipvs.Unseen() == 0 { // else there is much to read
			c.rest(ctx, pause, nil)
		}
		if ctx.Err() != nil {
			return
		}
	}
}
