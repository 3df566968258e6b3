package controller

// InForce is closed when a round has ended well for the first time after everything listed at the start
// was written: what another proxy left is not needed from then on. Without any Service it stays open.
// Absence is not evidence: a source that knows of nothing is no reason to take away what serves.
func (c *Controller) InForce() <-chan struct{} { return c.inForce }

func (c *Controller) tellInForce(err error) {
	if err != nil || !c.told || len(c.claims.servers) == 0 || !c.source.Complete() {
		return
	}
	select {
	case <-c.inForce:
	default:
		close(c.inForce)
	}
}

// Reread has the next round read the whole kernel, and that round come soon: somebody has written entries
// that make things Fairlead's own. It is safe for concurrent use.
func (c *Controller) Reread() {
	c.reread.Store(true)
	c.dirty.poke()
}
