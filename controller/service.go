package controller

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/controller/render"
)

// rendered is a Service as it was looked at.
type rendered struct {
	name types.NamespacedName
	svc  *corev1.Service // nil: it is gone
	render.Rendered
}

// lookAt renders one Service. It only reads, and may be called from another goroutine than the one that owns the
// controller's state.
func (c *Controller) lookAt(name types.NamespacedName) rendered {
	svc := c.objects.service(name)
	c.Metrics.renders.Inc()
	return rendered{name, svc, render.Service(svc, c.objects.endpointSlices(name), c.render, c.settings.get(name))}
}

// claim claims what a Service wants. It returns the names that this wakes.
func (c *Controller) claim(r *rendered) (woken []types.NamespacedName) {
	var created time.Time
	if r.svc != nil {
		created = r.svc.CreationTimestamp.Time
	}
	c.settings.remember(r.name, r.Settings, r.Settings.Zero(c.render))
	result := c.claims.replace(r.name, created, r.Rendered)
	c.tell(r.name, r.svc, append(r.Problems, result.problems()...))
	if !c.options.Rehearsal {
		c.answerHealthChecks(r.name, r.Health)
		result.woken = append(result.woken, c.relays.replace(claimant{r.name, created, render.NodePort}, r.Relays)...)
	}
	if c.log.Enabled(context.Background(), slog.LevelDebug) { // else nobody need put the words together
		c.log.Debug("rendered", "service", r.name.String(), "servers", len(r.Servers), "reason", r.Reason)
	}
	return result.woken
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
