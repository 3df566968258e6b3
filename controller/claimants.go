package controller

import (
	"cmp"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/controller/render"
)

// claimant is a Service that wants a virtual server.
type claimant struct {
	name    types.NamespacedName
	created time.Time
	kind    render.Kind
}

// compare puts the one that gets the virtual server first. A cluster IP has been given out by the API
// server and is nobody else's; whoever names it as an external IP must not take it over. Among others
// the older Service has it, and the name decides between equals.
func (c claimant) compare(o claimant) int {
	given := func(k render.Kind) int {
		if k == render.ClusterIP {
			return 0
		}
		return 1
	}
	if order := cmp.Or(given(c.kind)-given(o.kind), c.created.Compare(o.created)); order != 0 {
		return order
	}
	return cmp.Or(cmp.Compare(c.name.Namespace, o.name.Namespace), cmp.Compare(c.name.Name, o.name.Name))
}

// claimants are the Services that want one thing: the first one has it. There may be very many, who all ask again and again.
type claimants []claimant

// put adds a Service, or keeps it; again is that it is among them, maybe as it was before. It reports whether anything changed.
func (l *claimants) put(me claimant, again bool) (changed bool) {
	at, there := slices.BinarySearchFunc(*l, me, claimant.compare)
	switch {
	case there:
		changed = (*l)[at].kind != me.kind
		(*l)[at] = me
		return changed
	case again:
		l.remove(me.name)
		at, _ = slices.BinarySearchFunc(*l, me, claimant.compare)
	}
	*l = slices.Insert(*l, at, me)
	return true
}

// remove removes a Service.
func (l *claimants) remove(name types.NamespacedName) {
	*l = slices.DeleteFunc(*l, func(o claimant) bool { return o.name == name })
}

// others returns all but one.
func (l claimants) others(name types.NamespacedName) (names []types.NamespacedName) {
	for _, o := range l {
		if o.name != name {
			names = append(names, o.name)
		}
	}
	return names
}
