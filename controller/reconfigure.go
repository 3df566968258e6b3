package controller

import (
	"reflect"
	"time"

	"github.com/fairlead-lb/fairlead/masq"
)

// Reconfigure makes Run go on with other options. It is safe for concurrent use, and returns at once:
// like what happens to the node, it is a note that the next round begins with. When there is a newer
// note by then, only that one counts.
//
// NodeName, Host, Events, BindRoutes and, in Masq, the bit and the marks stay what they were at the
// start: what the kernel holds already says so.
func (c *Controller) Reconfigure(o Options) {
	c.next.Store(&o)
	c.dirty.poke()
}

// followOptions takes over the options that are noted, if there are any, and has every Service rendered
// anew. What comes out as before costs no message: only differences are ever written, and a virtual
// server whose scheduler differs is edited in place.
func (c *Controller) followOptions(now time.Time) {
	o := c.next.Swap(nil)
	if o == nil {
		return
	}
	c.schedulers.sure(o.Scheduler) // whoever calls Reconfigure has asked the kernel
	c.options.Scheduler, c.options.Flags, c.options.Excluded = o.Scheduler, o.Flags, o.Excluded
	c.options.AllowedExternalIPs, c.options.NodePorts = o.AllowedExternalIPs, o.NodePorts
	c.render.Scheduler, c.render.Flags, c.render.Excluded = o.Scheduler, o.Flags, o.Excluded
	c.render.AllowedExternalIPs, c.render.Localhost = o.AllowedExternalIPs, o.NodePorts.Localhost
	c.followPace(now, o)
	c.followPods(o)
	for _, name := range c.objects.names() {
		c.dirty.add(name)
	}
	c.feed.factsStale.Store(true) // which addresses serve node ports follows from the facts
}

// followPace takes over everything about time. What waits for longer than it now should is brought
// forward; a drain that has begun keeps its deadline.
func (c *Controller) followPace(now time.Time, o *Options) {
	c.options.MinSyncPeriod, c.options.DrainTimeout = o.MinSyncPeriod, o.DrainTimeout
	c.ipvs.SetDefaultDrainTimeout(o.DrainTimeout)
	if c.options.SyncPeriod != o.SyncPeriod {
		c.options.SyncPeriod = o.SyncPeriod
		c.Health.setLimit(healthLimit(o.SyncPeriod))
		c.trigger.hasten(now.Add(o.SyncPeriod))
	}
}

// followPods takes over what the rules say about masquerading and about pods. The rules come in one
// commit of each table, the new ones as the old ones go.
func (c *Controller) followPods(o *Options) {
	rules := c.options.Masq
	rules.MasqueradeAll, rules.Pods = o.Masq.MasqueradeAll, o.Masq.Pods
	c.options.NodeCIDR = o.NodeCIDR
	if o.NodeCIDR {
		rules.Pods = masq.Pods{CIDRs: c.node.podCIDRs, Unknown: len(c.node.podCIDRs) == 0}
	}
	if reflect.DeepEqual(rules, c.options.Masq) {
		return
	}
	c.options.Masq = rules
	c.masq.SetOptions(rules)
	c.rules.change()
}

// healthLimit is how long a change may wait.
func healthLimit(syncPeriod time.Duration) time.Duration { return 2 * syncPeriod }
