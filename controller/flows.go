package controller

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/fairlead-lb/fairlead/conntrack"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// deleteStaleFlows ends what conntrack remembers of UDP clients whose endpoint does not serve them any
// more: a client that goes on from the same port is a new one then. It is one pass over the table for
// all that has turned since the last time.
func (c *Controller) deleteStaleFlows() error {
	if c.flows == nil {
		clear(c.claims.turned)
	}
	if len(c.claims.turned) == 0 || !c.settled {
		return nil
	}
	frontends, keys := c.claims.turnedFrontends()
	if len(keys) == 0 {
		return nil
	}
	deleted, err := c.flows.DeleteStale(frontends)
	c.Metrics.flows.Add(float64(deleted))
	if err != nil {
		return fmt.Errorf("delete stale UDP flows: %w", err)
	}
	for _, key := range keys {
		delete(c.claims.turned, key)
	}
	if len(c.claims.turned) == 0 {
		c.claims.turned = make(map[ipvs.Key]struct{}) // the old one keeps the size that it had at the start
	}
	return nil
}

// turnedFrontends returns the UDP frontends whose endpoints have changed, each with all endpoints that
// serve any client of it, and their keys. Those whose change has not come to the kernel yet wait: the
// next packet would only bring a deleted flow back.
func (c *claims) turnedFrontends() (frontends conntrack.Frontends, keys []ipvs.Key) {
	frontends = make(conntrack.Frontends, len(c.turned))
	for key := range c.turned {
		servers := []ipvs.Key{key}
		if mark := c.masq.DesiredMark(frontend(masq.Local, key)); mark != 0 {
			servers = append(servers, ipvs.MarkKey(mark, key.Addr.Addr().Is6()))
		}
		if slices.ContainsFunc(servers, func(k ipvs.Key) bool { return !c.ipvs.Settled(k) }) {
			continue
		}
		endpoints := make(map[netip.AddrPort]struct{})
		for _, server := range servers {
			for _, real := range c.ipvs.Reals(server) {
				endpoints[real.Addr] = struct{}{}
			}
		}
		frontends[key.Addr] = endpoints
		keys = append(keys, key)
	}
	return frontends, keys
}

// turnAll has the flows of all UDP frontends looked at: who knows what happened before the start.
func (c *claims) turnAll() {
	for key := range c.servers {
		c.turn(key)
	}
}

// turnLater leaves to turnAll those that were met while what was listed at the start was claimed.
func (c *claims) turnLater() {
	for key := range c.servers {
		delete(c.turned, key)
	}
}

func (c *claims) turn(key ipvs.Key) {
	if key.Protocol == ipvs.UDP {
		c.turned[key] = struct{}{}
	}
}
