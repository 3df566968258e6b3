package controller

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/controller/render"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// replaceLocals makes the virtual servers of local endpoints desired, under marks of their own, and
// returns the mark of each Local that was rendered. Where no mark is left it is the one to drop by:
// better no answer than one that goes to the wrong place.
func (c *claims) replaceLocals(name types.NamespacedName, before, now *held, r *render.Rendered, result *replaced) []uint32 {
	if len(r.Locals) > 0 {
		now.locals, now.owners = make(map[ipvs.Key]struct{}), make(map[markOwner]struct{})
	}
	for _, l := range r.Locals {
		now.owners[markOwner{name, l.Port, l.Protocol}] = struct{}{}
	}
	if len(before.owners)+len(now.owners) > 0 {
		c.generation++
	}
	for owner := range before.owners { // first, so that a port with a new name finds its mark again
		if _, stays := now.owners[owner]; !stays {
			c.marks.release(owner)
		}
	}
	marks := make([]uint32, len(r.Locals))
	for i, l := range r.Locals {
		mark, ok := c.marks.get(markOwner{name, l.Port, l.Protocol}, c.remembered(r, i))
		if !ok {
			result.noMarks = true
			marks[i] = c.marks.numbers.Drop()
			continue
		}
		marks[i] = mark
		key := ipvs.MarkKey(mark, l.IPv6)
		if c.setServer(key, l.Config, l.Reals, r.Settings.DrainTimeout) {
			result.localsTurned = true
		}
		now.locals[key] = struct{}{}
	}
	delete(c.starved, name)
	if result.noMarks {
		c.starved[name] = struct{}{}
	}
	for key := range before.locals {
		if _, stays := now.locals[key]; !stays {
			result.localsTurned = true
			c.ipvs.Unset(key)
		}
	}
	return marks
}

// remembered yields the marks that the kernel has for the addresses of a Local, those alone to which
// nothing but this Service leads: what else does would lead to these endpoints.
func (c *claims) remembered(r *render.Rendered, local int) func(func(uint32) bool) {
	return func(yield func(uint32) bool) {
		mine := make(map[uint32]int)
		for _, s := range r.Servers {
			mine[c.masq.Mark(frontend(masq.Local, s.Key))]++
		}
		for _, s := range r.Servers {
			mark := c.masq.Mark(frontend(masq.Local, s.Key))
			if mark == 0 || s.Outside != render.OutsideLocal || s.Local != local {
				continue
			}
			if all := c.masq.LeadsTo(mark, masq.IPv4) + c.masq.LeadsTo(mark, masq.IPv6); all == mine[mark] && !yield(mark) {
				return
			}
		}
	}
}
