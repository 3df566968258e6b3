package controller

import (
	"slices"

	"github.com/fairlead-lb/fairlead/ipvs"
)

// InForce is closed when a round has ended well for the first time after everything listed at the start
// was written: what another proxy left is not needed from then on. Without any Service it stays open.
// Absence is not evidence: a source that knows of nothing is no reason to take away what serves.
//
// That the kernel will not have single endpoints holds nothing up, for it never will, and no proxy could reach them. If it has
// no endpoint at all, something else is wrong.
func (c *Controller) InForce() <-chan struct{} { return c.inForce }

func (c *Controller) tellInForce(err error) {
	failed := err != nil && (!onlyInvalid(err) || c.ipvs.Size().RealServers == 0)
	if failed || !c.told || len(c.claims.servers) == 0 || !c.source.Complete() {
		return
	}
	select {
	case <-c.inForce:
	default:
		close(c.inForce)
	}
}

// onlyInvalid reports that nothing has failed but that the kernel will not have single endpoints: of many errors that are
// joined each must say so.
func onlyInvalid(err error) bool {
	switch e := err.(type) { //nolint:errorlint // all of the tree is looked at
	case interface{ Unwrap() []error }:
		return !slices.ContainsFunc(e.Unwrap(), func(one error) bool { return !onlyInvalid(one) })
	case interface{ Unwrap() error }:
		return onlyInvalid(e.Unwrap())
	}
	return err == ipvs.ErrInvalidReal //nolint:errorlint // a leaf
}

// Reread has the next round read the whole kernel, and that round come soon: somebody has written entries
// that make things Fairlead's own. It is safe for concurrent use.
func (c *Controller) Reread() {
	c.reread.Store(true)
	c.dirty.poke()
}
