package controller

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/controller/render"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// replaceLocals makes the virtual servers of local endpoints desired, under marks of their own, and
// returns the mark of each Local that was rendered. Where no mark is left it is the one to drop by:
// better no answer than one that goes to the wrong place.
func (c *claims) replaceLocals(name types.NamespacedName, now *held, r render.Rendered, result *replaced) []uint32 {
	marks := make([]uint32, len(r.Locals))
	for i, l := range r.Locals {
		owner := markOwner{name, l.Port, l.Protocol}
		mark, ok := c.marks.get(owner, c.remembered(r, i))
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
		now.locals = append(now.locals, key)
		if !slices.Contains(now.owners, owner) {
			now.owners = append(now.owners, owner)
		}
	}
	return marks
}

// remembered yields the marks that the kernel has for the addresses of a Local.
func (c *claims) remembered(r render.Rendered, local int) func(func(uint32) bool) {
	return func(yield func(uint32) bool) {
		for _, s := range r.Servers {
			if s.Outside != render.OutsideLocal || s.Local != local {
				continue
			}
			if mark := c.masq.Mark(frontend(masq.Local, s.Key)); mark != 0 && !yield(mark) {
				return
			}
		}
	}
}

// dropLocals ends what the Service had and has no more.
func (c *claims) dropLocals(before, now held, result *replaced) {
	for _, key := range before.locals {
		if !slices.Contains(now.locals, key) {
			result.localsTurned = true
			c.ipvs.Unset(key)
		}
	}
	for _, owner := range before.owners {
		if !slices.Contains(now.owners, owner) {
			c.marks.release(owner)
		}
	}
}
