package controller

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/controller/render"
)

// renderService renders one Service and claims what it wants. It returns the names that this wakes.
func (c *Controller) renderService(name types.NamespacedName) (woken []types.NamespacedName) {
	svc := c.objects.service(name)
	var created time.Time
	if svc != nil {
		created = svc.CreationTimestamp.Time
	}
	rendered := render.Service(svc, c.objects.endpointSlices(name), c.render, c.settings[name])
	c.Metrics.renders.Inc()
	c.remember(name, rendered.Settings)
	result := c.claims.replace(name, created, rendered)
	c.tell(name, svc, append(rendered.Problems, result.problems()...))
	if !c.options.Rehearsal {
		c.answerHealthChecks(name, rendered.Health)
		c.replaceRelays(name, rendered.Relays)
	}
	if c.log.Enabled(context.Background(), slog.LevelDebug) { // else nobody need put the words together
		c.log.Debug("rendered", "service", name.String(), "servers", len(rendered.Servers), "reason", rendered.Reason)
	}
	return result.woken
}

// remember keeps settings that the next rendering may have to fall back to.
func (c *Controller) remember(name types.NamespacedName, s render.Settings) {
	if s.Zero(c.render) {
		delete(c.settings, name)
	} else {
		c.settings[name] = s
	}
}

// problems says in words what a Service wants and does not get.
func (r replaced) problems() (list []render.Problem) {
	for _, l := range r.losses {
		list = append(list, render.Problem{Reason: "AddressInUse", Text: fmt.Sprintf("%s belongs to Service %s", l.key, l.winner)})
	}
	if r.noMarks {
		list = append(list, render.Problem{Reason: "NoFirewallMark",
			Text: "all firewall marks are in use (ipvs.fwmarkMask): clients from outside are dropped"})
	}
	return list
}

func (c *Controller) answerHealthChecks(name types.NamespacedName, h render.Health) {
	if h.Port == 0 {
		c.healthChecks.Unset(name)
		return
	}
	c.healthChecks.Set(name, h.Port, h.Local)
}

// replaceRelays makes the Service's relays exactly these. A relay that two Services want is the one's
// that was rendered last: the API server gives out a node port once.
func (c *Controller) replaceRelays(name types.NamespacedName, now []render.Relay) {
	before := c.relays[name]
	if len(before) == 0 && len(now) == 0 {
		return
	}
	delete(c.relays, name)
	keep := make(map[netip.AddrPort]bool, len(now))
	for _, r := range now {
		if len(r.Targets) == 0 {
			continue // refused at once
		}
		keep[r.Listen] = true
		c.relay.Set(r.Listen, r.Targets, r.Sticky)
		c.relays[name] = append(c.relays[name], r.Listen)
	}
	for _, listen := range before {
		if !keep[listen] {
			c.relay.Unset(listen)
		}
	}
}
