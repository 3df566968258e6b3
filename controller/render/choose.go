package render

import (
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/ipvs"
)

// policies are the traffic policies of a Service.
type policies struct{ internalLocal, externalLocal bool }

func policiesOf(svc *corev1.Service) policies {
	internal := svc.Spec.InternalTrafficPolicy
	return policies{
		internalLocal: internal != nil && *internal == corev1.ServiceInternalTrafficPolicyLocal,
		externalLocal: svc.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal,
	}
}

// choice is which endpoints of one port, in one family, serve whom. It follows kube-proxy's
// CategorizeEndpoints (pkg/proxy/topology.go).
type choice struct {
	cluster Reals // those of the whole cluster, near ones first if hints say so
	local   Reals // those on this node, for Local policies
	any     bool  // whether there is any endpoint that could serve, wherever it is
}

// choose chooses among the endpoints of one port. Ready ones serve; where there is none, those that
// still serve while they terminate: pods that go all at once, as in a rolling update of one replica,
// then lose no connection. For Local policies the same is asked of this node's endpoints alone.
func choose(port map[netip.AddrPort]endpoint, ipv4 bool) choice {
	c := choice{cluster: make(Reals), local: make(Reals)}
	near := nearness(port, ipv4)
	leaving, localLeaving := make(Reals), make(Reals)
	for at, e := range port {
		switch {
		case at.Addr().Is4() != ipv4:
		case e.ready:
			c.any = true
			if near(e) {
				c.cluster[at] = e.real()
			}
			if e.local {
				c.local[at] = e.real()
			}
		case e.serving && e.terminating:
			c.any = true
			leaving[at] = e.real()
			if e.local {
				localLeaving[at] = e.real()
			}
		}
	}
	if len(c.cluster) == 0 {
		c.cluster = leaving
	}
	if len(c.local) == 0 {
		c.local = localLeaving
	}
	return c
}

func (e endpoint) real() ipvs.RealServer { return ipvs.RealServer{Weight: e.weight} }

// nearness returns which ready endpoints the hints prefer: those for this node if every one has a
// hint for nodes and any is for this one, else those for this zone by the same rule, else all. One
// without a hint means that the slices are about to change, and that no hint can be relied on.
func nearness(port map[netip.AddrPort]endpoint, ipv4 bool) func(endpoint) bool {
	everyNode, everyZone, thisNode, thisZone := true, true, false, false
	for at, e := range port {
		if at.Addr().Is4() != ipv4 || !e.ready {
			continue
		}
		everyNode, everyZone = everyNode && e.nodeHints, everyZone && e.zoneHints
		thisNode, thisZone = thisNode || e.forNode, thisZone || e.forZone
	}
	switch {
	case everyNode && thisNode:
		return func(e endpoint) bool { return e.forNode }
	case everyZone && thisZone:
		return func(e endpoint) bool { return e.forZone }
	}
	return func(endpoint) bool { return true }
}
