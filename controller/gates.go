package controller

import (
	"net/netip"

	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// The gates say of each object whether what it depends on is really there. Any single write may fail,
// so the order of the writes alone does not.

// byMark and byAddress tell the two kinds of virtual server apart. Those by mark come first and go
// last: nothing leads to them but a set entry.
func byMark(k ipvs.Key) bool    { return k.Mark != 0 }
func byAddress(k ipvs.Key) bool { return k.Mark == 0 }

// leads says that an entry may lead to a mark: its virtual server is there, or it is the mark to drop by.
func (c *Controller) leads(e masq.Entry, mark uint32) bool {
	return mark == c.options.Masq.Marks.Drop() || c.ipvs.Has(ipvs.MarkKey(mark, e.Addr.Is6()))
}

// leadsTo is the virtual server by mark that clients from outside are led to when they come to one by address.
func (c *Controller) leadsTo(k ipvs.Key) ipvs.Key {
	if mark := c.masq.Mark(frontend(masq.Local, k)); mark != 0 {
		return ipvs.MarkKey(mark, k.Addr.Addr().Is6())
	}
	return ipvs.Key{}
}

// led says that an entry leads to a virtual server by mark.
func (c *Controller) led(k ipvs.Key) bool {
	return c.masq.LeadsTo(k.Mark, masq.FamilyOf(k.Addr.Addr())) > 0
}

// unled says that a virtual server by mark may go: no entry leads there.
func (c *Controller) unled(k ipvs.Key) bool { return byMark(k) && !c.led(k) }

// marked says that a virtual server's set entry exists. It is what guards the VIP's other ports, and
// by it a restarted daemon knows the virtual server as its own.
func (c *Controller) marked(k ipvs.Key) bool { return c.masq.Has(served(k)) }

// ours says that a virtual server in the kernel was made by Fairlead. One in ipvs.excludeCIDRs can be:
// they were other ones then. It goes as a whole, and with its entry whoever comes there is invisible.
func (c *Controller) ours(k ipvs.Key) bool {
	if byMark(k) {
		return c.options.Masq.Marks.Contains(k.Mark) || c.led(k)
	}
	return c.marked(k) || !c.settled && c.options.Inherited != nil && c.options.Inherited(k)
}

// servable says that a virtual server may take traffic: its entries are in the sets, those that
// masquerade, lead aside and restrict among them. One that is there already may be changed in any
// case.
func (c *Controller) servable(k ipvs.Key) bool {
	if byMark(k) || !c.marked(k) {
		return byMark(k)
	}
	return c.ipvs.Has(k) || c.claims.settled(k)
}

// bindable says that a VIP may carry traffic: its guard entry and a virtual server exist.
func (c *Controller) bindable(vip netip.Addr) bool {
	return c.masq.Has(vipEntry(vip)) && c.ipvs.HasAddr(vip)
}

// heldVIP says that a VIP must stay bound: a virtual server is desired there or drains, one at a node
// port aside, for the address is the node's own then.
func (c *Controller) heldVIP(vip netip.Addr) bool {
	return c.ipvs.HoldsAddr(vip, func(k ipvs.Key) bool {
		claim := c.claims.servers[k]
		return claim == nil || claim.bound
	})
}

// guarded says that an entry must stay because what it is for is still in the kernel, or may be: as long
// as the kernel is not as it was read, there could be an object that nobody knows of. Without its entry
// it would be an orphan for ever. The answers hold for one Prune: whether the entries of a virtual server
// are settled is asked once for all that it loses.
func (c *Controller) guarded() func(masq.Entry) bool {
	settled := make(map[ipvs.Key]bool)
	return func(e masq.Entry) bool {
		k := keyOf(e)
		switch {
		case c.stale || c.masq.Strange(e):
			return true
		case e.Set == masq.VIPs:
			return c.dummyif.Has(e.Addr)
		case e.Set == masq.Hairpin || e.Set == masq.Health:
			return false
		case e.Set == masq.Local && !c.ipvs.Desires(k) && c.ipvs.Desires(c.leadsTo(k)):
			return false // it would still let new connections in
		case e.Set == masq.Served || !c.ipvs.Has(k) || !c.ipvs.Desires(k):
			return c.ipvs.Has(k)
		}
		// Of a virtual server that goes on, an entry may go when those that take its place are there.
		if _, asked := settled[k]; !asked {
			settled[k] = c.claims.settled(k)
		}
		return !settled[k]
	}
}

// lingers says that an entry which is guarded is so because of a virtual server that is not desired and drains: see release.
func (c *Controller) lingers(e masq.Entry) bool {
	switch {
	case c.stale || c.masq.Strange(e):
		return false
	case e.Set == masq.VIPs:
		return c.ipvs.LingersAt(e.Addr)
	}
	return c.ipvs.Lingers(keyOf(e))
}

// release has looked at again what waits for virtual servers that lingered, where these have changed.
func (c *Controller) release() {
	for addr := range c.ipvs.Lingered() {
		c.dummyif.Release(addr)
		c.masq.Release(addr)
	}
}
