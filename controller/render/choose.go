package render

import (
	"sort"

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
	cluster ipvs.Reals // those of the whole cluster, near ones first if hints say so
	local   ipvs.Reals // those on this node, for Local policies
	any     bool       // whether there is any endpoint that could serve, wherever it is
}

// choose chooses among the endpoints of one port. Ready ones serve; where there is none, those that
// still serve while they terminate: pods that go all at once, as in a rolling update of one replica,
// then lose no connection. For Local policies the same is asked of this node's endpoints alone.
func choose(port []located, ipv4 bool) choice {
	port = ofFamily(port, ipv4)
	near := nearness(port)
	c := choice{
		cluster: realsOf(port, func(e *located) bool { return e.ready && near.has(e) }),
		local:   realsOf(port, func(e *located) bool { return e.ready && e.local }),
	}
	if len(c.cluster) == 0 {
		c.cluster = realsOf(port, (*located).leaving)
	}
	if len(c.local) == 0 {
		c.local = realsOf(port, func(e *located) bool { return e.local && e.leaving() })
	}
	c.any = len(c.cluster) > 0 // hints prefer none to some
	return c
}

// leaving says that the endpoint still serves while it terminates.
func (e *located) leaving() bool { return !e.ready && e.serving && e.terminating }

// ofFamily returns the part of the sorted endpoints that is of one family: IPv4 comes first.
func ofFamily(port []located, ipv4 bool) []located {
	n := sort.Search(len(port), func(i int) bool { return !port[i].at.Addr().Is4() })
	if ipv4 {
		return port[:n]
	}
	return port[n:]
}

// realsOf returns the real servers of the endpoints that serve.
func realsOf(port []located, serves func(*located) bool) ipvs.Reals {
	n := 0
	for i := range port {
		if serves(&port[i]) {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	reals := make(ipvs.Reals, 0, n)
	for i := range port {
		if e := &port[i]; serves(e) {
			reals = append(reals, ipvs.Real{Addr: e.at, RealServer: ipvs.RealServer{Weight: e.weight}})
		}
	}
	return reals
}

// near is which ready endpoints the hints prefer.
type near uint8

const (
	anywhere near = iota // all: there are no hints that can be relied on
	sameZone
	sameNode
)

// nearness returns which ready endpoints the hints prefer: those for this node if every one has a
// hint for nodes and any is for this one, else those for this zone by the same rule, else all. One
// without a hint means that the slices are about to change, and that no hint can be relied on.
func nearness(port []located) near {
	everyNode, everyZone, thisNode, thisZone := true, true, false, false
	for i := range port {
		e := &port[i]
		if !e.ready {
			continue
		}
		everyNode, everyZone = everyNode && e.nodeHints, everyZone && e.zoneHints
		thisNode, thisZone = thisNode || e.forNode, thisZone || e.forZone
	}
	switch {
	case everyNode && thisNode:
		return sameNode
	case everyZone && thisZone:
		return sameZone
	}
	return anywhere
}

// has says that an endpoint is one of those that are preferred.
func (n near) has(e *located) bool {
	switch n {
	case sameNode:
		return e.forNode
	case sameZone:
		return e.forZone
	}
	return true
}
