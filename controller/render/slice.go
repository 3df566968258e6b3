package render

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"time"
	"unique"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Slice is what an EndpointSlice says to a proxy, read once, when it comes. It is much smaller than the
// object, and a Service of many endpoints is rendered without parsing all of them again. It is never
// changed.
type Slice struct {
	Name      string       // namespace/name
	Addresses []netip.Addr // sorted
	Triggered int64        // when what it tells happened in the cluster, in Unix nanoseconds; 0: nobody said

	weight    *string // the annotation
	ports     []slicePort
	endpoints []sliceEndpoint // of each address
	problems  []string
}

type slicePort struct {
	key    portKey
	number uint16
}

// sliceEndpoint is an endpoint as far as it is the same for every node.
type sliceEndpoint struct {
	node                        unique.Handle[string] // zero: unknown
	hints                       *discoveryv1.EndpointHints
	ready, serving, terminating bool
}

// NewSlice reads an EndpointSlice. What cannot be used is left out, and a problem of whatever is rendered
// with it. It keeps nothing of the object but its hints.
func NewSlice(object *discoveryv1.EndpointSlice) *Slice {
	s := &Slice{Name: object.Namespace + "/" + object.Name}
	if text, ok := object.Annotations[AnnotationWeight]; ok {
		s.weight = &text
	}
	if at, err := time.Parse(time.RFC3339Nano, object.Annotations[corev1.EndpointsLastChangeTriggerTime]); err == nil {
		s.Triggered = at.UnixNano()
	}
	if object.AddressType != discoveryv1.AddressTypeIPv4 && object.AddressType != discoveryv1.AddressTypeIPv6 {
		s.complain("address type %q is not used", object.AddressType)
		return s
	}
	s.readPorts(object.Ports)
	for i := range object.Endpoints {
		if addr, ok := s.usableAddress(object.AddressType, &object.Endpoints[i]); ok {
			s.Addresses = append(s.Addresses, addr)
			s.endpoints = append(s.endpoints, stateOf(&object.Endpoints[i]))
		}
	}
	s.Addresses, s.endpoints = slices.Clip(s.Addresses), slices.Clip(s.endpoints)
	sort.Sort(byAddress{s})
	return s
}

// byAddress sorts endpoints.
type byAddress struct{ *Slice }

// Len implements sort.Interface.
func (s byAddress) Len() int { return len(s.Addresses) }

// Less implements sort.Interface.
func (s byAddress) Less(i, j int) bool { return s.Addresses[i].Less(s.Addresses[j]) }

// Swap implements sort.Interface.
func (s byAddress) Swap(i, j int) {
	s.Addresses[i], s.Addresses[j] = s.Addresses[j], s.Addresses[i]
	s.endpoints[i], s.endpoints[j] = s.endpoints[j], s.endpoints[i]
}

func (s *Slice) complain(format string, args ...any) {
	s.problems = append(s.problems, "EndpointSlice "+s.Name+": "+fmt.Sprintf(format, args...))
}

func (s *Slice) readPorts(ports []discoveryv1.EndpointPort) {
	for _, p := range ports {
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
			s.complain("port %q: %d %s is not a port and protocol that can be served", key.name, *p.Port, cmp.Or(protocol, corev1.ProtocolTCP))
			continue
		}
		s.ports = append(s.ports, slicePort{key, uint16(*p.Port)})
	}
}

// usableAddress returns the first address of an endpoint; the others have never had a meaning.
func (s *Slice) usableAddress(family discoveryv1.AddressType, e *discoveryv1.Endpoint) (netip.Addr, bool) {
	if len(e.Addresses) == 0 {
		s.complain("an endpoint without an address")
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(e.Addresses[0])
	switch {
	case err != nil || addr.Zone() != "" || addr.Is4In6():
		s.complain("endpoint %q is not an IP address", e.Addresses[0])
	case addr.Is4() != (family == discoveryv1.AddressTypeIPv4):
		s.complain("endpoint %s is not of the slice's address type %s", addr, family)
	case !bindable(addr):
		s.complain("endpoint %s can be no pod's address", addr)
	default:
		return addr, true
	}
	return netip.Addr{}, false
}

func stateOf(e *discoveryv1.Endpoint) sliceEndpoint {
	is := func(p *bool, otherwise bool) bool {
		if p == nil {
			return otherwise
		}
		return *p
	}
	state := sliceEndpoint{
		ready:       is(e.Conditions.Ready, true),
		serving:     is(e.Conditions.Serving, true),
		terminating: is(e.Conditions.Terminating, false),
	}
	if e.NodeName != nil && *e.NodeName != "" {
		state.node = unique.Make(*e.NodeName)
	}
	if e.Hints != nil && len(e.Hints.ForNodes)+len(e.Hints.ForZones) > 0 {
		state.hints = e.Hints
	}
	return state
}

// on returns the endpoint as it is to one node.
func (e sliceEndpoint) on(node unique.Handle[string], o *Options, weight uint16) endpoint {
	var unknown unique.Handle[string]
	state := endpoint{
		ready: e.ready, serving: e.serving, terminating: e.terminating, weight: weight,
		local: o.NodeName != "" && e.node == node,
	}
	state.somehere = state.local || e.node == unknown
	if e.hints != nil {
		state.nodeHints, state.zoneHints = len(e.hints.ForNodes) > 0, len(e.hints.ForZones) > 0
		state.forNode = slices.ContainsFunc(e.hints.ForNodes, func(f discoveryv1.ForNode) bool { return f.Name == o.NodeName })
		state.forZone = o.Zone != "" && slices.ContainsFunc(e.hints.ForZones, func(f discoveryv1.ForZone) bool { return f.Name == o.Zone })
	}
	return state
}
