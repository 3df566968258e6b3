package controller

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/controller/render"
	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
	"github.com/fairlead-lb/fairlead/view"
)

// detail is how much describe tells.
type detail struct{ reals, entries bool }

// describe says what a Service is programmed as.
func (c *Controller) describe(name types.NamespacedName, d detail) view.Service {
	s := view.Service{Namespace: name.Namespace, Name: name.Name, State: view.InForce, Servers: []view.Server{}}
	svc := c.objects.service(name)
	s.Reason = render.Unserved(svc)
	if svc != nil {
		s.Type = string(cmp.Or(svc.Spec.Type, "ClusterIP"))
	}
	for _, p := range c.problems.of[name] {
		s.Problems = append(s.Problems, view.Problem{Reason: p.Reason, Text: p.Text})
	}
	for _, k := range c.serversOf(name) {
		s.Servers = append(s.Servers, c.describeServer(k, name, d))
	}
	s.State = stateOf(&s)
	return s
}

// stateOf returns the state of a Service: that of its servers which somebody should look at first.
func stateOf(s *view.Service) string {
	has := func(state string) bool {
		return slices.ContainsFunc(s.Servers, func(v view.Server) bool { return v.State == state })
	}
	switch {
	case s.Reason != "" && len(s.Servers) == 0:
		return view.NotServed
	case has(view.Pending):
		return view.Pending
	case has(view.Lost):
		return view.Lost
	case len(s.Problems) > 0:
		return view.Impaired
	case len(s.Servers) == 0:
		return view.NotServed
	case has(view.NoEndpoints):
		return view.NoEndpoints
	}
	return view.InForce
}

// serversOf lists the virtual servers that a Service wants, those by mark last.
func (c *Controller) serversOf(name types.NamespacedName) []ipvs.Key {
	held := c.claims.names[name]
	if held == nil {
		return nil
	}
	return slices.Concat(held.servers, slices.SortedFunc(maps.Keys(held.locals), ipvs.Key.Compare))
}

// describeServer says what a virtual server is to a Service; the zero name stands for nobody.
func (c *Controller) describeServer(k ipvs.Key, name types.NamespacedName, d detail) view.Server {
	row := c.ipvs.Row(k)
	s := view.Server{Name: k.String(), Kind: LocalKind, Desired: configOf(k, row.Desired), Kernel: configOf(k, row.Actual)}
	claim := c.claims.servers[k]
	if claim != nil {
		s.Kind = claim.claimants[0].kind.String()
		for _, claimant := range claim.claimants {
			if claimant.name == name {
				s.Kind = claimant.kind.String()
			}
		}
		if winner := claim.claimants[0].name; winner != name {
			s.Owner = winner.String()
		}
	}
	for _, real := range row.Reals {
		one := describeReal(real)
		switch {
		case real.Desired == nil:
			s.Draining++
		case one.State == view.InForce:
			s.InForce++
			fallthrough
		default:
			s.Endpoints++
		}
		if d.reals {
			s.Reals = append(s.Reals, one)
		}
	}
	if claim != nil && claim.bound {
		vip := k.Addr.Addr()
		s.Bound = &view.Bound{Desired: c.dummyif.Desires(vip), Kernel: c.dummyif.Has(vip)}
	}
	if d.entries && claim != nil {
		for _, e := range claim.entries {
			s.Entries = append(s.Entries, c.describeEntry(e.Entry))
		}
	}
	s.State = c.serverState(k, &s)
	return s
}

func (c *Controller) serverState(k ipvs.Key, s *view.Server) string {
	switch {
	case s.Owner != "":
		return view.Lost
	case s.Desired == nil && (s.Draining > 0 || c.ipvs.Lingers(k)):
		return view.Draining
	case s.Desired == nil:
		return view.Leaving
	case s.Kernel == nil || *s.Desired != *s.Kernel || !c.ipvs.Known(k) || s.InForce < s.Endpoints:
		return view.Pending
	case !c.claims.settled(k) || s.Bound != nil && !s.Bound.Kernel:
		return view.Pending
	case s.Endpoints == 0:
		return view.NoEndpoints
	}
	return view.InForce
}

func configOf(k ipvs.Key, v *ipvs.VirtualServer) *view.Config {
	if v == nil {
		return nil
	}
	return &view.Config{Scheduler: v.Scheduler, Persistence: int(v.Persistence / time.Second), Text: ipvs.FormatServer(k, *v)}
}

func describeReal(r ipvs.RealRow) view.Real {
	v := view.Real{Address: r.Addr.String(), State: view.InForce}
	if r.Desired != nil {
		weight := int(r.Desired.Weight)
		v.Desired = &weight
	}
	if r.Actual != nil {
		weight := int(r.Actual.Weight)
		v.Kernel = &weight
	}
	switch {
	case r.Desired == nil && r.Draining:
		v.State = view.Draining
		if !r.Deadline.IsZero() {
			deadline := r.Deadline
			v.Deadline = &deadline
		}
	case r.Desired == nil:
		v.State = view.Leaving
	case r.Actual == nil || *r.Desired != *r.Actual:
		v.State = view.Pending
	}
	return v
}

func (c *Controller) describeEntry(e masq.Entry) view.Entry {
	v := view.Entry{
		Set: e.Set.Name(masq.FamilyOf(e.Addr)), State: view.InForce,
		Desired: c.masq.Desires(e), Kernel: c.masq.Has(e),
	}
	mark := c.masq.DesiredMark(e)
	if !v.Desired {
		mark = c.masq.Mark(e)
	}
	v.Text = masq.Op{Entry: e, Mark: mark}.String()
	switch {
	case !v.Desired:
		v.State = view.Leaving
	case !c.masq.Settled(e):
		v.State = view.Pending
	}
	return v
}

func (c *Controller) describeAddress(b dummyif.Binding) view.Address {
	v := view.Address{Address: b.Addr.String(), State: view.InForce, As: b.Way.String(), Servers: []string{}}
	v.Desired, v.Kernel = c.dummyif.Bound(b)
	for _, k := range c.ipvs.At(b.Addr) {
		v.Servers = append(v.Servers, k.String())
	}
	slices.Sort(v.Servers)
	switch {
	case !v.Desired && c.heldVIP(b.Addr):
		v.State = view.Draining
	case !v.Desired:
		v.State = view.Leaving
	case !v.Kernel:
		v.State = view.Pending
	}
	return v
}
