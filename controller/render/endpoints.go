package render

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/fairlead-lb/fairlead/ipvs"
)

// endpoints is what a Service's slices say, merged: one entry for each port name, protocol and
// address.
type endpoints map[portKey]map[netip.AddrPort]endpoint

type portKey struct {
	name     string
	protocol ipvs.Protocol
}

type endpoint struct {
	ready, serving, terminating bool

	local    bool // on this node
	somehere bool // on this node, or not known to be elsewhere
	weight   uint16

	nodeHints, zoneHints bool // whether there are any
	forNode, forZone     bool // whether one of them is this node, or its zone
}

// collect merges the slices. What cannot be used is left out with a warning that names the slice.
func collect(endpointSlices []*discoveryv1.EndpointSlice, o Options, s Settings, problem complain) endpoints {
	all := make(endpoints)
	for _, slice := range endpointSlices {
		name := slice.Namespace + "/" + slice.Name
		complain := func(format string, args ...any) {
			problem(badEndpoint, "EndpointSlice %s: %s", name, fmt.Sprintf(format, args...))
		}
		weight, given := s.Weights[name]
		if !given {
			weight = 1
		}
		if slice.AddressType != discoveryv1.AddressTypeIPv4 && slice.AddressType != discoveryv1.AddressTypeIPv6 {
			complain("address type %q is not used", slice.AddressType)
			continue
		}
		ports := usablePorts(slice, complain)
		for _, e := range slice.Endpoints {
			addr, ok := usableAddress(slice.AddressType, e, complain)
			if !ok {
				continue
			}
			state := stateOf(e, o)
			state.weight = weight
			for _, p := range ports {
				all.add(p.key, netip.AddrPortFrom(addr, p.number), state)
			}
		}
	}
	return all
}

type usablePort struct {
	key    portKey
	number uint16
}

func usablePorts(slice *discoveryv1.EndpointSlice, complain func(string, ...any)) []usablePort {
	var ports []usablePort
	for _, p := range slice.Ports {
		if p.Port == nil || *p.Port == 0 {
			continue // "all ports": means nothing to a proxy
		}
		var key portKey
		if p.Name != nil {
			key.name = *p.Name
		}
		var protocol corev1.Protocol
		if p.Protocol != nil {
			protocol = *p.Protocol
		}
		var ok bool
		key.protocol, ok = protocolOf(protocol)
		if !ok || *p.Port < 1 || *p.Port > 65535 {
			complain("port %q: %d %s is not a port and protocol that can be served", key.name, *p.Port, cmp.Or(protocol, corev1.ProtocolTCP))
			continue
		}
		ports = append(ports, usablePort{key, uint16(*p.Port)})
	}
	return ports
}

// usableAddress returns the first address of an endpoint; the others have never had a meaning.
func usableAddress(family discoveryv1.AddressType, e discoveryv1.Endpoint, complain func(string, ...any)) (netip.Addr, bool) {
	if len(e.Addresses) == 0 {
		complain("an endpoint without an address")
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(e.Addresses[0])
	switch {
	case err != nil || addr.Zone() != "" || addr.Is4In6():
		complain("endpoint %q is not an IP address", e.Addresses[0])
	case addr.Is4() != (family == discoveryv1.AddressTypeIPv4):
		complain("endpoint %s is not of the slice's address type %s", addr, family)
	case !bindable(addr):
		complain("endpoint %s can be no pod's address", addr)
	default:
		return addr, true
	}
	return netip.Addr{}, false
}

func stateOf(e discoveryv1.Endpoint, o Options) endpoint {
	is := func(p *bool, otherwise bool) bool {
		if p == nil {
			return otherwise
		}
		return *p
	}
	state := endpoint{
		ready:       is(e.Conditions.Ready, true),
		serving:     is(e.Conditions.Serving, true),
		terminating: is(e.Conditions.Terminating, false),
		local:       e.NodeName != nil && *e.NodeName == o.NodeName && o.NodeName != "",
	}
	state.somehere = state.local || e.NodeName == nil || *e.NodeName == ""
	if e.Hints != nil {
		state.nodeHints, state.zoneHints = len(e.Hints.ForNodes) > 0, len(e.Hints.ForZones) > 0
		state.forNode = slices.ContainsFunc(e.Hints.ForNodes, func(f discoveryv1.ForNode) bool { return f.Name == o.NodeName })
		state.forZone = o.Zone != "" && slices.ContainsFunc(e.Hints.ForZones, func(f discoveryv1.ForZone) bool { return f.Name == o.Zone })
	}
	return state
}

// add records an endpoint. Of two with one address and port the better one counts, whichever comes
// first: slices have no order.
func (all endpoints) add(key portKey, at netip.AddrPort, e endpoint) {
	if all[key] == nil {
		all[key] = make(map[netip.AddrPort]endpoint)
	}
	if old, twice := all[key][at]; !twice || e.compare(old) > 0 {
		all[key][at] = e
	}
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
	for _, port := range all {
		for at, e := range port {
			switch addr := at.Addr(); {
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
	seen := make(map[netip.Addr]struct{})
	var addrs []netip.Addr
	for _, port := range all {
		for at, e := range port {
			served := ipv6
			if at.Addr().Is4() {
				served = ipv4
			}
			if _, twice := seen[at.Addr()]; served && e.somehere && !twice {
				seen[at.Addr()] = struct{}{}
				addrs = append(addrs, at.Addr())
			}
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return addrs
}
