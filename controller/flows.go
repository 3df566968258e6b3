package controller

import (
	"fmt"
	"net/netip"

	"github.com/fairlead-lb/fairlead/conntrack"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// deleteStaleFlows ends what conntrack remembers of UDP clients whose endpoint does not serve them any
// more: a client that goes on from the same port is a new one then. It is one pass over the table for
// all that has turned since the last time.
func (c *Controller) deleteStaleFlows() error {
	if len(c.claims.turned) == 0 || !c.settled || c.flows == nil {
		return nil
	}
	deleted, err := c.flows.DeleteStale(c.claims.turnedFrontends())
	c.Metrics.flows.Add(float64(deleted))
	if err != nil {
		return fmt.Errorf("delete stale UDP flows: %w", err)
	}
	c.claims.turned = make(map[ipvs.Key]struct{}) // the old one keeps the size that it had at the start
	return nil
}

// turnedFrontends returns the UDP frontends whose endpoints have changed, each with all endpoints that
// serve any client of it.
func (c *claims) turnedFrontends() conntrack.Frontends {
	frontends := make(conntrack.Frontends, len(c.turned))
	for key := range c.turned {
		endpoints := make(map[netip.AddrPort]struct{})
		for addr := range c.ipvs.Reals(key) {
			endpoints[addr] = struct{}{}
		}
		for addr := range c.ipvs.Reals(ipvs.MarkKey(c.masq.DesiredMark(frontend(masq.Local, key)), key.Addr.Addr().Is6())) {
			endpoints[addr] = struct{}{}
		}
		frontends[key.Addr] = endpoints
	}
	return frontends
}

// turnAll has the flows of all UDP frontends looked at: who knows what happened before the start.
func (c *claims) turnAll() {
	for key := range c.servers {
		c.turn(key)
	}
}

func (c *claims) turn(key ipvs.Key) {
	if key.Protocol == ipvs.UDP {
		c.turned[key] = struct{}{}
	}
}
