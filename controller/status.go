package controller

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/fairlead-lb/fairlead/view"
)

// Status returns what the controller knows of itself at a glance. It is safe for concurrent use, while Run runs.
func (c *Controller) Status(ctx context.Context) (s view.Status, err error) {
	var known objects
	if err = c.look(ctx, func() { s, known = c.status(time.Now()), c.objects }); err == nil && known != nil {
		s.Services = known.count() // of all Services: nothing that programming should wait for
	}
	return s, err
}

func (c *Controller) status(now time.Time) view.Status {
	s := view.Status{
		Node: c.options.NodeName, Started: c.record.started, Now: now, Phase: c.record.phase,
		Eligible: c.Health.nodeEligible(), Complete: c.source.Complete(),
		Served:         len(c.claims.names),
		VirtualServers: view.Count{Total: c.ipvs.Size().VirtualServers, Pending: c.ipvs.Pending()},
		RealServers:    c.ipvs.Size().RealServers,
		Addresses:      view.Count{Total: c.dummyif.Len(), Pending: c.dummyif.Pending()},
		Entries:        view.Count{Total: c.masq.Len(), Pending: c.masq.Pending()},
		Draining:       c.ipvs.Draining(),
		DrainedBy:      timeOf(c.ipvs.DrainedBy()),
		Connections:    c.ipvs.Size().Connections,
		LastSync:       c.record.lastSync, LastError: clone(c.record.lastError), Drift: c.record.drift,
		Audit:   view.Audit{Period: c.auditPeriod().Seconds()},
		NoLocal: view.NoLocal{Internal: c.claims.noLocalInternal, External: c.claims.noLocalExternal},
		Recent:  append([]view.Occurrence{}, c.record.recent...),
		Notes:   []string{}, Problems: []view.Reason{},
	}
	contacts := c.contacts()
	s.Contacts = viewContacts(contacts, now)
	s.Notes = append(s.Notes, silenceNotes(contacts, now)...)
	s.Updated, s.Healthy = c.Health.Check(now)
	if oldest, any := c.dirty.oldest(); any {
		s.Waiting = now.Sub(oldest).Seconds()
	}
	if !c.record.audited.IsZero() {
		audited := c.record.audited
		s.Audit.Ended = &audited
	}
	for _, reason := range slices.Sorted(maps.Keys(c.problems.counts)) {
		if n := c.problems.counts[reason]; n > 0 {
			s.Problems = append(s.Problems, view.Reason{Reason: reason, Count: n})
		}
	}
	return s
}

// clone returns a copy, so that nobody reads what the controller goes on to change.
func clone[T any](p *T) *T {
	if p == nil {
		return nil
	}
	value := *p
	return &value
}
