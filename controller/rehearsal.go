package controller

import "github.com/fairlead-lb/fairlead/ipvs"

// What is in this file serves those who run a controller only to see what it does.

// tellRested says that a round has written all that it could: what is left waits for the end of drains, for
// changes, for the next audit, or for what failed to work at another time.
func (c *Controller) tellRested(err error) {
	if c.options.Rested != nil && c.told && !c.stale && !c.rules.stale {
		c.options.Rested(err)
	}
}

// Left is what is there and not desired.
type Left struct {
	VirtualServers, RealServers int
	Complete                    bool // it drains; otherwise it waits for the source to know all objects
}

// Left counts what is there and not desired. It may be called when Run has returned.
func (c *Controller) Left() Left {
	left := Left{Complete: c.source.Complete()}
	for k := range c.ipvs.All() {
		row := c.ipvs.Row(k)
		if row.Desired == nil && row.Actual != nil {
			left.VirtualServers++
		}
		for _, real := range row.Reals {
			if real.Desired == nil && real.Actual != nil {
				left.RealServers++
			}
		}
	}
	return left
}

// LastOwners returns who had each virtual server that was desired when Run returned.
func (c *Controller) LastOwners() map[ipvs.Key]Owner { return c.claims.owners() }
