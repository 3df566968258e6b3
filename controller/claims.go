package controller

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/controller/render"
	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// claims decides what is desired where Services share: of two that want one virtual server the
// older gets it, and an address or set entry is desired as long as anybody needs it. It writes only
// the desired side of the three tables.
type claims struct {
	ipvs    *ipvs.Table
	dummyif *dummyif.Device
	masq    *masq.Ruleset

	servers map[ipvs.Key][]claimant // the first one has it
	names   map[types.NamespacedName]held
	vips    counts
	hairpin counts
}

// claimant is a Service that wants a virtual server.
type claimant struct {
	name    types.NamespacedName
	created time.Time
}

func (c claimant) compare(o claimant) int {
	return cmp.Or(c.created.Compare(o.created), cmp.Compare(c.name.String(), o.name.String()))
}

// held is what one Service claims at present.
type held struct {
	servers []ipvs.Key
	hairpin []netip.Addr
}

// lost is a virtual server that a Service wants and an older one has.
type lost struct {
	key    ipvs.Key
	winner types.NamespacedName
}

func newClaims(i *ipvs.Table, d *dummyif.Device, m *masq.Ruleset) *claims {
	return &claims{
		ipvs: i, dummyif: d, masq: m,
		servers: make(map[ipvs.Key][]claimant),
		names:   make(map[types.NamespacedName]held),
		vips:    make(counts),
		hairpin: make(counts),
	}
}

// replace makes the Service's claims exactly what was rendered. It returns what the Service wants
// and does not get, and the Services that must be rendered anew because they now get, or no longer
// get, what they want.
func (c *claims) replace(name types.NamespacedName, created time.Time, r render.Rendered) (losses []lost, wake []types.NamespacedName) {
	before := c.names[name]
	for _, key := range before.servers {
		if !slices.ContainsFunc(r.Servers, func(s render.Server) bool { return s.Key == key }) {
			wake = append(wake, c.release(key, name)...)
		}
	}
	var now held
	for _, server := range r.Servers {
		now.servers = append(now.servers, server.Key)
		wake = append(wake, c.claim(server.Key, claimant{name, created})...)
		if winner := c.servers[server.Key][0].name; winner != name {
			losses = append(losses, lost{server.Key, winner})
			continue
		}
		c.ipvs.Set(server.Key, server.Config, server.Reals)
	}
	now.hairpin = r.Hairpin
	c.replaceHairpin(before.hairpin, now.hairpin)
	if len(now.servers) == 0 {
		delete(c.names, name)
	} else {
		c.names[name] = now
	}
	return losses, wake
}

// claim adds or keeps the Service among those that want the virtual server. It returns the other
// Service, if any, that has just got it or lost it.
func (c *claims) claim(key ipvs.Key, me claimant) (woken []types.NamespacedName) {
	list := c.servers[key]
	if len(list) == 0 {
		c.masq.Set(served(key))
		if c.vips.add(key.Addr.Addr()) {
			c.masq.Set(vipEntry(key.Addr.Addr()))
			c.dummyif.Set(key.Addr.Addr())
		}
		c.servers[key] = []claimant{me}
		return nil
	}
	winner := list[0].name
	list = slices.DeleteFunc(list, func(o claimant) bool { return o.name == me.name })
	list = append(list, me)
	slices.SortFunc(list, claimant.compare)
	c.servers[key] = list
	switch list[0].name {
	case winner:
		return nil
	case me.name:
		return []types.NamespacedName{winner}
	}
	return []types.NamespacedName{list[0].name} // deleted and created again, the Service is younger now
}

// release removes the Service from those that want the virtual server. It returns the Service that
// gets it now.
func (c *claims) release(key ipvs.Key, name types.NamespacedName) (woken []types.NamespacedName) {
	winner := c.servers[key][0].name
	list := slices.DeleteFunc(c.servers[key], func(o claimant) bool { return o.name == name })
	if len(list) > 0 {
		c.servers[key] = list
		if winner == name {
			return []types.NamespacedName{list[0].name}
		}
		return nil
	}
	delete(c.servers, key)
	c.ipvs.Unset(key)
	c.masq.Unset(served(key))
	if c.vips.remove(key.Addr.Addr()) {
		c.masq.Unset(vipEntry(key.Addr.Addr()))
		c.dummyif.Unset(key.Addr.Addr())
	}
	return nil
}

func (c *claims) replaceHairpin(before, now []netip.Addr) {
	for _, addr := range now {
		if c.hairpin.add(addr) {
			c.masq.Set(masq.Entry{Set: masq.Hairpin, Addr: addr})
		}
	}
	for _, addr := range before {
		if c.hairpin.remove(addr) {
			c.masq.Unset(masq.Entry{Set: masq.Hairpin, Addr: addr})
		}
	}
}

// rebind makes every VIP desired anew, after the node's own addresses have changed.
func (c *claims) rebind() {
	for vip := range c.vips {
		c.dummyif.Set(vip)
	}
}

func served(k ipvs.Key) masq.Entry {
	return masq.Entry{Set: masq.Served, Addr: k.Addr.Addr(), Port: k.Addr.Port(), Protocol: uint8(k.Protocol)}
}

func vipEntry(vip netip.Addr) masq.Entry { return masq.Entry{Set: masq.VIPs, Addr: vip} }

func keyOf(e masq.Entry) ipvs.Key {
	return ipvs.Key{Addr: netip.AddrPortFrom(e.Addr, e.Port), Protocol: ipvs.Protocol(e.Protocol)}
}

// counts says how many need an address.
type counts map[netip.Addr]int

// add reports whether this is the first one.
func (c counts) add(addr netip.Addr) bool {
	c[addr]++
	return c[addr] == 1
}

// remove reports whether this was the last one.
func (c counts) remove(addr netip.Addr) bool {
	if c[addr]--; c[addr] > 0 {
		return false
	}
	delete(c, addr)
	return true
}
