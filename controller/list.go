package controller

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
	"github.com/fairlead-lb/fairlead/view"
)

// askedAtOnce is how many objects one question is about: programming goes on between questions.
const askedAtOnce = 128

// inParts asks about keys, some at a time.
func inParts[K any](ctx context.Context, c *Controller, keys []K, visit func(K)) error {
	for part := range slices.Chunk(keys, askedAtOnce) {
		if err := c.look(ctx, func() {
			for _, k := range part {
				visit(k)
			}
		}); err != nil {
			return err
		}
	}
	return nil
}

// Services lists Services with their virtual servers, by name. Like all that follow, it is safe for concurrent
// use while Run runs, and what it returns may be of several moments.
func (c *Controller) Services(ctx context.Context, f view.Filter) (list view.Services, err error) {
	return c.services(ctx, f, detail{})
}

func (c *Controller) services(ctx context.Context, f view.Filter, d detail) (list view.Services, err error) {
	list.Items = []view.Service{}
	names, err := c.sortedNames(ctx)
	if err != nil {
		return list, err
	}
	err = inParts(ctx, c, names, func(name types.NamespacedName) {
		if !c.matches(name, f) {
			return
		}
		shown := list.Total >= f.Offset && (f.Limit <= 0 || len(list.Items) < f.Limit)
		if !shown && f.State == "" {
			list.Total++
			return
		}
		s := c.describe(name, d)
		if !f.Wants(s.State) {
			return
		}
		list.Total++
		if shown {
			list.Items = append(list.Items, s)
		}
	})
	return list, err
}

func (c *Controller) sortedNames(ctx context.Context) (names []types.NamespacedName, err error) {
	var known objects
	if err = c.look(ctx, func() { known = c.objects }); err != nil || known == nil {
		return nil, err
	}
	names = known.names() // the caches are anybody's to read: programming goes on meanwhile
	slices.SortFunc(names, compareNames)
	return names, nil
}

func compareNames(a, b types.NamespacedName) int {
	if c := strings.Compare(a.Namespace, b.Namespace); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}

// matches reports whether a Service is asked for.
func (c *Controller) matches(name types.NamespacedName, f view.Filter) bool {
	switch {
	case f.Namespace != "" && f.Namespace != name.Namespace, f.Name != "" && f.Name != name.Name:
		return false
	case f.Address != "" && !c.atAddress(name, f.WantsAt):
		return false
	case f.Search == "":
		return true
	}
	search := strings.ToLower(f.Search)
	return strings.Contains(name.String(), search) ||
		c.atAddress(name, func(text string) bool { return strings.Contains(text, search) })
}

// atAddress reports whether any virtual or real server of a Service is at such an address and port.
func (c *Controller) atAddress(name types.NamespacedName, is func(string) bool) bool {
	return slices.ContainsFunc(c.serversOf(name), func(k ipvs.Key) bool {
		return k.Mark == 0 && is(k.Addr.String()) || slices.ContainsFunc(c.ipvs.Reals(k), func(r ipvs.Real) bool { return is(r.Addr.String()) })
	})
}

// Endpoints lists real servers: those of Services by name, and then those of virtual servers that nobody has
// any more.
func (c *Controller) Endpoints(ctx context.Context, f view.Filter) ([]view.Endpoint, error) {
	list := []view.Endpoint{}
	add := func(name types.NamespacedName, s view.Server) {
		for _, real := range s.Reals {
			full := f.State == view.Draining && f.Limit > 0 && len(list) >= f.Limit
			if endpointAsked(s, real, f) && f.Wants(real.State) && !full {
				list = append(list, view.Endpoint{Namespace: name.Namespace, Name: name.Name, Server: s.Name, Kind: s.Kind, Real: real})
			}
		}
	}
	if f.State == view.Draining {
		return list, c.drains(ctx, f, add)
	}
	state := f.State
	f.State = "" // that of a Service is another matter
	services, err := c.services(ctx, f, detail{reals: true})
	f.State = state
	for _, s := range services.Items {
		for _, server := range s.Servers {
			if server.Owner == "" {
				add(types.NamespacedName{Namespace: s.Namespace, Name: s.Name}, server)
			}
		}
	}
	if err != nil || f.Namespace+f.Name+f.Search != "" {
		return list, err
	}
	var left []ipvs.Key
	err = c.look(ctx, func() { left = c.nobodys() })
	if err == nil {
		err = inParts(ctx, c, left, func(k ipvs.Key) {
			add(types.NamespacedName{}, c.describeServer(k, types.NamespacedName{}, detail{reals: true}))
		})
	}
	return list, err
}

func endpointAsked(s view.Server, real view.Real, f view.Filter) bool {
	_, at, _ := strings.Cut(s.Name, " ")
	return f.WantsAt(real.Address) || f.WantsAt(at)
}

// nobodys lists the virtual servers that no Service has any more.
func (c *Controller) nobodys() (left []ipvs.Key) {
	for k := range c.ipvs.All() {
		if !c.ipvs.Desires(k) {
			left = append(left, k)
		}
	}
	slices.SortFunc(left, ipvs.Key.Compare)
	return left
}

// Addresses lists VIPs.
func (c *Controller) Addresses(ctx context.Context, f view.Filter) ([]view.Address, error) {
	list := []view.Address{}
	var bindings []dummyif.Binding
	err := c.look(ctx, func() { bindings = slices.Collect(c.dummyif.All()) })
	slices.SortFunc(bindings, dummyif.Binding.Compare)
	if err == nil {
		err = inParts(ctx, c, bindings, func(b dummyif.Binding) {
			if c.addressAsked(b.Addr, f) {
				list = append(list, c.describeAddress(b))
			}
		})
	}
	return list, err
}

func (c *Controller) addressAsked(vip netip.Addr, f view.Filter) bool {
	if !f.WantsVIP(vip) || f.Search != "" && !strings.Contains(vip.String(), f.Search) {
		return false
	}
	return f.Namespace+f.Name == "" || slices.ContainsFunc(c.ipvs.At(vip), func(k ipvs.Key) bool { return c.ownedBy(k, f) })
}

// ownedBy reports whether the Service that has a virtual server is asked for.
func (c *Controller) ownedBy(k ipvs.Key, f view.Filter) bool {
	claim := c.claims.servers[k]
	return claim != nil && (f.Namespace == "" || claim.claimants[0].name.Namespace == f.Namespace) &&
		(f.Name == "" || claim.claimants[0].name.Name == f.Name)
}

// Sets lists entries of the sets.
func (c *Controller) Sets(ctx context.Context, f view.Filter) ([]view.Entry, error) {
	list := []view.Entry{}
	var entries []masq.Entry
	err := c.look(ctx, func() { entries = slices.Collect(c.masq.All()) })
	slices.SortFunc(entries, masq.Entry.Compare)
	if err == nil {
		err = inParts(ctx, c, entries, func(e masq.Entry) {
			if c.entryAsked(e, f) {
				list = append(list, c.describeEntry(e))
			}
		})
	}
	return list, err
}

func (c *Controller) entryAsked(e masq.Entry, f view.Filter) bool {
	at := netip.AddrPortFrom(e.Addr, e.Port).String()
	if !f.WantsAt(at) || f.Search != "" && !strings.Contains(at, f.Search) {
		return false
	}
	return f.Namespace+f.Name == "" || c.ownedBy(keyOf(e), f)
}
