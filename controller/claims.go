package controller

import (
	"net/netip"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/controller/render"
	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/internal/fwmark"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// claims decides what is desired where Services share: of two that want one virtual server one gets
// it, and an address or set entry is desired as long as anybody needs it. It writes only the desired
// side of the three tables.
type claims struct {
	ipvs    *ipvs.Table
	dummyif *dummyif.Device
	masq    *masq.Ruleset
	marks   *marks

	servers map[ipvs.Key]*claim
	names   map[types.NamespacedName]*held
	vips    counts[netip.Addr]
	shared  counts[masq.Entry]                               // of no single virtual server: of Hairpin and of Health
	wanted  map[netip.Addr]map[types.NamespacedName]struct{} // addresses that could be somebody else's, and who wants them

	starved map[types.NamespacedName]struct{} // Services without a mark that they need

	generation uint64 // of who has which virtual server

	noLocalInternal, noLocalExternal int // Services whose Local policy finds no endpoint here

	turned map[ipvs.Key]struct{} // UDP virtual servers whose clients may have to be told: see staleFlows
}

// expect makes room, here and in the tables, for as many Services as there are at the start, with one virtual
// server each.
func (c *claims) expect(services int) {
	c.servers = make(map[ipvs.Key]*claim, services)
	c.names = make(map[types.NamespacedName]*held, services)
	c.vips = make(counts[netip.Addr], services)
	c.ipvs.Expect(services)
	c.dummyif.Expect(services)
	c.masq.Expect(2 * services) // of the VIP, and of the frontend
}

// claim is a virtual server: who wants it, and what is desired in the sets for the one that has it.
type claim struct {
	claimants claimants // the first one has it
	entries   []entry
	bound     bool // its address is a VIP

	first [1]claimant // room for claimants: mostly there is one
}

// held is what one Service claims at present.
type held struct {
	servers  []ipvs.Key
	locals   map[ipvs.Key]struct{} // by mark
	owners   map[markOwner]struct{}
	shared   []masq.Entry
	external []netip.Addr

	noLocalInternal, noLocalExternal bool
}

// lost is a virtual server that a Service wants and another one has.
type lost struct {
	key    ipvs.Key
	winner types.NamespacedName
}

func newClaims(i *ipvs.Table, d *dummyif.Device, m *masq.Ruleset, numbers fwmark.Range) *claims {
	return &claims{
		ipvs: i, dummyif: d, masq: m,
		marks: newMarks(numbers, func(mark uint32) bool {
			return m.LeadsTo(mark, masq.IPv4)+m.LeadsTo(mark, masq.IPv6) > 0 ||
				i.Has(ipvs.MarkKey(mark, false)) || i.Has(ipvs.MarkKey(mark, true))
		}),
		servers: make(map[ipvs.Key]*claim),
		names:   make(map[types.NamespacedName]*held),
		vips:    make(counts[netip.Addr]),
		shared:  make(counts[masq.Entry]),
		wanted:  make(map[netip.Addr]map[types.NamespacedName]struct{}),
		starved: make(map[types.NamespacedName]struct{}),
		turned:  make(map[ipvs.Key]struct{}),
	}
}

// replaced is what came of a claim.
type replaced struct {
	losses  []lost
	woken   []types.NamespacedName // must be rendered anew: they now get, or no longer get, what they want
	noMarks bool                   // there was no free mark for local endpoints

	localsTurned bool // so may clients from outside have to be told: see claims.turned
}

// replace makes the Service's claims exactly what was rendered.
func (c *claims) replace(name types.NamespacedName, created time.Time, r render.Rendered) (result replaced) {
	it := c.names[name]
	if it == nil {
		it = new(held)
	}
	before, now := *it, held{
		servers: it.servers, shared: sharedEntries(&r), external: r.External,
		noLocalInternal: r.NoLocalInternal, noLocalExternal: r.NoLocalExternal,
	}
	c.noLocalInternal += change(before.noLocalInternal, now.noLocalInternal)
	c.noLocalExternal += change(before.noLocalExternal, now.noLocalExternal)
	marks := c.replaceLocals(name, &before, &now, &r, &result)
	again := func(ipvs.Key) bool { return true }
	if !slices.EqualFunc(before.servers, r.Servers, func(k ipvs.Key, s render.Server) bool { return k == s.Key }) {
		now.servers = keysOf(r.Servers)
		again, result.woken = c.releaseOthers(name, before.servers, now.servers)
	}
	for i := range r.Servers {
		server := &r.Servers[i]
		claim, woken := c.claim(server.Key, claimant{name, created, server.Kind}, again(server.Key))
		result.woken = append(result.woken, woken...)
		if winner := claim.claimants[0].name; winner != name {
			result.losses = append(result.losses, lost{server.Key, winner})
			continue
		}
		c.set(claim, server, marks, r.Settings.DrainTimeout)
		if result.localsTurned {
			c.turn(server.Key)
		}
	}
	c.replaceShared(before.shared, now.shared)
	c.replaceWanted(name, before.external, now.external)
	if len(now.servers) == 0 && len(now.external) == 0 {
		delete(c.names, name)
	} else {
		*it = now
		c.names[name] = it
	}
	return result
}

// releaseOthers releases the virtual servers that the Service wanted and does not want any more. It returns which of the
// others it has wanted before.
func (c *claims) releaseOthers(name types.NamespacedName, before, now []ipvs.Key) (again func(ipvs.Key) bool, woken []types.NamespacedName) {
	if len(before) == 0 {
		return func(ipvs.Key) bool { return false }, nil
	}
	stays := make(map[ipvs.Key]bool, len(now)) // whether it was there before
	for _, key := range now {
		stays[key] = false
	}
	for _, key := range before {
		if _, wanted := stays[key]; wanted {
			stays[key] = true
		} else {
			woken = append(woken, c.release(key, name)...)
		}
	}
	return func(key ipvs.Key) bool { return stays[key] }, woken
}

func keysOf(servers []render.Server) []ipvs.Key {
	keys := make([]ipvs.Key, len(servers))
	for i := range servers {
		keys[i] = servers[i].Key
	}
	return keys
}

// change is by how much a count of Services changes.
func change(before, now bool) int {
	switch {
	case now && !before:
		return 1
	case before && !now:
		return -1
	}
	return 0
}

// set makes the virtual server desired as rendered, for the Service that has it.
func (c *claims) set(claim *claim, s *render.Server, marks []uint32, drain *time.Duration) {
	mark := c.marks.numbers.Drop()
	if s.Outside == render.OutsideLocal {
		mark = marks[s.Local]
	}
	if c.setServer(s.Key, s.Config, s.Reals, drain) {
		c.turn(s.Key)
	}
	var room [4]entry
	c.replaceEntries(claim, appendEntries(room[:0], s, mark))
	c.bind(s.Key.Addr.Addr(), claim, s.Kind != render.NodePort)
}

// replaceEntries makes these the entries of a virtual server. There may be very many: whoever writes a
// Service may give it as many source ranges as the API server takes. It does not keep the slice.
func (c *claims) replaceEntries(claim *claim, now []entry) {
	if slices.Equal(claim.entries, now) {
		return
	}
	for _, e := range now {
		c.masq.SetMark(e.Entry, e.mark)
	}
	if len(claim.entries) > 0 {
		c.noteLed(claim.entries, now)
		c.unsetOthers(claim.entries, now)
	}
	claim.entries = slices.Clone(now)
}

// unsetOthers makes the entries undesired that were there before and are not now.
func (c *claims) unsetOthers(before, now []entry) {
	stay := make(map[masq.Entry]struct{}, len(now))
	for _, e := range now {
		stay[e.Entry] = struct{}{}
	}
	for _, e := range before {
		if _, stays := stay[e.Entry]; !stays {
			c.masq.Unset(e.Entry)
		}
	}
}

// noteLed notes where clients from outside were led to that are led there no more. Their connections count there.
func (c *claims) noteLed(before, now []entry) {
	for _, e := range before {
		if e.Set == masq.Local && !slices.Contains(now, e) {
			c.ipvs.LedTo(keyOf(e.Entry), ipvs.MarkKey(e.mark, e.Addr.Is6()))
		}
	}
}

func (c *claims) setServer(k ipvs.Key, v ipvs.VirtualServer, reals ipvs.Reals, drain *time.Duration) (turned bool) {
	turned = c.ipvs.Set(k, v, reals)
	c.ipvs.SetDrainTimeout(k, drain)
	return turned
}

// bind makes the address of a virtual server a VIP, or no longer one for its sake. Node ports are at
// addresses that the node has anyway.
func (c *claims) bind(addr netip.Addr, claim *claim, bound bool) {
	switch {
	case bound == claim.bound:
	case bound:
		if c.vips.add(addr) {
			c.masq.Set(vipEntry(addr))
			c.dummyif.Set(addr)
		}
	case c.vips.remove(addr):
		c.masq.Unset(vipEntry(addr))
		c.dummyif.Unset(addr)
	}
	claim.bound = bound
}

// claim adds or keeps the Service among those that want the virtual server; again is that it is among them, maybe as it was
// before. It returns the others, if another one has it now: the one that has got or lost it, and those that know by name who
// has it.
func (c *claims) claim(key ipvs.Key, me claimant, again bool) (it *claim, woken []types.NamespacedName) {
	it = c.servers[key]
	if it == nil {
		c.generation++
		it = new(claim)
		it.claimants = append(it.first[:0], me)
		c.servers[key] = it
		return it, nil
	}
	before := it.claimants[0]
	if !it.claimants.put(me, again) {
		return it, nil
	}
	if now := it.claimants[0]; now.name == before.name {
		c.generation += uint64(change(false, now.kind != before.kind))
		return it, nil
	}
	c.generation++
	return it, it.claimants.others(me.name) // one deleted and created again is younger now and may have lost
}

// release removes the Service from those that want the virtual server. It returns the others, if
// another one has it now.
func (c *claims) release(key ipvs.Key, name types.NamespacedName) (woken []types.NamespacedName) {
	it := c.servers[key]
	winner := it.claimants[0].name
	it.claimants.remove(name)
	c.generation++
	if len(it.claimants) > 0 {
		if winner == name {
			return it.claimants.others(name)
		}
		return nil
	}
	delete(c.servers, key)
	c.ipvs.Unset(key)
	c.turn(key)
	c.noteLed(it.entries, nil)
	for _, e := range it.entries {
		c.masq.Unset(e.Entry)
	}
	c.bind(key.Addr.Addr(), it, false)
	return nil
}

func (c *claims) replaceShared(before, now []masq.Entry) {
	for _, e := range now {
		if c.shared.add(e) {
			c.masq.Set(e)
		}
	}
	for _, e := range before {
		if c.shared.remove(e) {
			c.masq.Unset(e)
		}
	}
}

// replaceWanted keeps who must be asked again when an address gets, or loses, an owner.
func (c *claims) replaceWanted(name types.NamespacedName, before, now []netip.Addr) {
	for _, addr := range before {
		if delete(c.wanted[addr], name); len(c.wanted[addr]) == 0 {
			delete(c.wanted, addr)
		}
	}
	for _, addr := range now {
		if c.wanted[addr] == nil {
			c.wanted[addr] = make(map[types.NamespacedName]struct{})
		}
		c.wanted[addr][name] = struct{}{}
	}
}

// rebind makes every VIP desired anew, after the node's own addresses have changed.
func (c *claims) rebind() {
	for vip := range c.vips {
		c.dummyif.Set(vip)
	}
}

// settled says that every set entry of a virtual server is in the kernel as it is desired.
func (c *claims) settled(k ipvs.Key) bool {
	claim := c.servers[k]
	return claim == nil || !slices.ContainsFunc(claim.entries, func(e entry) bool { return !c.masq.Settled(e.Entry) })
}

// inForce says that the kernel has every virtual server of a Service just as desired.
func (c *claims) inForce(name types.NamespacedName) bool {
	held := c.names[name]
	return held == nil || !slices.ContainsFunc(held.servers, func(k ipvs.Key) bool { return !c.ipvs.Settled(k) })
}
