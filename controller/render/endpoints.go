package render

import (
	"cmp"
	"net/netip"
	"slices"
	"unique"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/ipvs"
)

// endpoints is what a Service's slices say of its ports, merged: of each port name and protocol the endpoints, sorted
// by address, each once.
type endpoints struct {
	few[portKey, []located]
}

type portKey struct {
	name     string
	protocol ipvs.Protocol
}

// located is an endpoint at its address and port.
type located struct {
	at netip.AddrPort
	endpoint
}

type endpoint struct {
	ready, serving, terminating bool

	local    bool // on this node
	somehere bool // on this node, or not known to be elsewhere
	weight   uint16

	nodeHints, zoneHints bool // whether there are any
	forNode, forZone     bool // whether one of them is this node, or its zone
}

// collect merges the slices. What they say of other ports than the Service's is left out: they may have very many.
func collect(ports []corev1.ServicePort, list []*Slice, o *Options, s Settings, problem complain) (all endpoints) {
	here := unique.Make(o.NodeName)
	all.expect(ports, list)
	for _, slice := range list {
		for _, text := range slice.problems {
			problem(badEndpoint, "%s", text)
		}
		weight, given := s.Weights[slice.Name]
		if !given {
			weight = 1
		}
		for _, p := range slice.ports {
			n := all.find(p.key)
			if n < 0 {
				continue
			}
			port := &all.pairs[n].value
			for i, e := range slice.endpoints {
				*port = append(*port, located{netip.AddrPortFrom(slice.Addresses[i], p.number), e.on(here, o, weight)})
			}
		}
	}
	for i := range all.pairs {
		port := &all.pairs[i].value
		*port = once(*port)
	}
	return all
}

// expect makes room for the endpoints of each of the ports.
func (all *endpoints) expect(ports []corev1.ServicePort, list []*Slice) {
	all.grow(len(ports))
	for _, p := range ports {
		if protocol, ok := protocolOf(p.Protocol); ok {
			all.at(portKey{p.Name, protocol})
		}
	}
	counts := make([]int, len(all.pairs))
	for _, slice := range list {
		for _, p := range slice.ports {
			if n := all.find(p.key); n >= 0 {
				counts[n] += len(slice.endpoints)
			}
		}
	}
	for n, count := range counts {
		all.pairs[n].value = emptied(count)
	}
}

// release ends the use of the endpoints. Nothing that was made of them refers to them.
func (all endpoints) release() {
	for i := range all.pairs {
		used.Put(&all.pairs[i].value)
	}
}

// once sorts endpoints. Of two with one address and port the better one counts, whichever comes first:
// slices have no order.
func once(port []located) []located {
	return slices.CompactFunc(sortRuns(port), func(a, b located) bool { return a.at == b.at })
}

// compare orders the states of an endpoint. One that is not terminating is above all that are: the
// address has been given to a new pod while the old one's slice still lists it.
func (e endpoint) compare(o endpoint) int {
	if c := e.rank() - o.rank(); c != 0 {
		return c
	}
	return cmp.Compare(e.weight, o.weight)
}

func (e endpoint) rank() (rank int) {
	for _, better := range []bool{!e.terminating, e.ready, e.serving, e.local, e.somehere, e.nodeHints, e.forNode, e.zoneHints, e.forZone} {
		rank *= 2
		if better {
			rank++
		}
	}
	return rank
}

// localReady counts the addresses of this node's ready endpoints, in that of the given families where
// they are more: a pod with an address of each family is one endpoint. kube-proxy counts each family by
// itself and answers for it on the sockets of that family.
func (all endpoints) localReady(ipv4, ipv6 bool) int {
	v4, v6 := make(map[netip.Addr]struct{}), make(map[netip.Addr]struct{})
	for _, port := range all.pairs {
		for _, e := range port.value {
			switch addr := e.at.Addr(); {
			case !e.local || !e.ready || e.terminating || e.weight == 0: // 0 is maintenance
			case addr.Is4() && ipv4:
				v4[addr] = struct{}{}
			case addr.Is6() && ipv6:
				v6[addr] = struct{}{}
			}
		}
	}
	return max(len(v4), len(v6))
}

// hairpin returns the addresses, of the given families, of the endpoints that may be on this node,
// sorted.
func (all endpoints) hairpin(ipv4, ipv6 bool) []netip.Addr {
	var addrs []netip.Addr
	for _, port := range all.pairs {
		for i := range port.value {
			e := &port.value[i]
			addr := e.at.Addr()
			if e.somehere && (addr.Is4() && ipv4 || addr.Is6() && ipv6) {
				addrs = append(addrs, addr)
			}
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}
