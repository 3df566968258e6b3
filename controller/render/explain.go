package render

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unique"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/fairlead-lb/fairlead/ipvs"
)

// Verdict is what becomes of one endpoint of a Service port on this node, and why.
type Verdict struct {
	Port     string // of the EndpointSlice; by it the Service port is found
	Protocol ipvs.Protocol
	Addr     netip.AddrPort
	Node     string // "": unknown
	Slice    string // namespace/name
	Weight   uint16

	Ready, Serving, Terminating bool

	Cluster, Local       bool   // whether it is among those for everybody, and those for a Local policy
	WhyCluster, WhyLocal string // a clause, such as "not ready"
}

// Explain says of each endpoint in the slices of a Service whether Service would make it a real server, and why.
// It asks the same functions, so that it cannot say otherwise; the words are its own. It is for people, and
// slower.
func Explain(svc *corev1.Service, endpointSlices []*Slice, o Options, s Settings) (verdicts []Verdict) {
	if unserved(svc) != "" {
		return nil
	}
	all := collect(svc.Spec.Ports, endpointSlices, &o, s, func(string, string, ...any) {})
	e := explainer{o: &o, all: all, rooms: make(map[choiceKey]room)}
	here := unique.Make(o.NodeName)
	for _, slice := range endpointSlices {
		weight, given := s.Weights[slice.Name]
		if !given {
			weight = 1
		}
		for _, p := range slice.ports {
			for i, one := range slice.endpoints {
				at := located{netip.AddrPortFrom(slice.Addresses[i], p.number), one.on(here, &o, weight)}
				verdicts = append(verdicts, e.verdict(p.key, at, one, slice.Name))
			}
		}
	}
	slices.SortStableFunc(verdicts, func(a, b Verdict) int {
		return cmp.Or(cmp.Compare(a.Port, b.Port), cmp.Compare(a.Protocol, b.Protocol), a.Addr.Compare(b.Addr), cmp.Compare(a.Slice, b.Slice))
	})
	return verdicts
}

// explainer knows what was decided for all endpoints of each port.
type explainer struct {
	o     *Options
	all   endpoints
	rooms map[choiceKey]room
}

// room is a port in one family: what was chosen, and what of.
type room struct {
	choice
	port                 []located
	near                 near
	anyReady, localReady bool
}

func (e *explainer) room(key portKey, ipv4 bool) room {
	r, known := e.rooms[choiceKey{key, ipv4}]
	if known {
		return r
	}
	all, _ := e.all.get(key)
	r = room{port: ofFamily(all, ipv4)}
	r.choice, r.near = choose(r.port, ipv4), nearness(r.port)
	for _, one := range r.port {
		r.anyReady = r.anyReady || one.ready
		r.localReady = r.localReady || one.ready && one.local
	}
	e.rooms[choiceKey{key, ipv4}] = r
	return r
}

func (e *explainer) verdict(key portKey, at located, one sliceEndpoint, slice string) Verdict {
	v := Verdict{
		Port: key.name, Protocol: key.protocol, Addr: at.at, Slice: slice, Weight: at.weight,
		Ready: at.ready, Serving: at.serving, Terminating: at.terminating,
	}
	var unknown unique.Handle[string]
	if one.node != unknown {
		v.Node = one.node.Value()
	}
	if e.all.find(key) < 0 {
		v.WhyCluster = fmt.Sprintf("no port of the Service is named %q with protocol %s", key.name, key.protocol)
		v.WhyLocal = v.WhyCluster
		return v
	}
	r := e.room(key, at.at.Addr().Is4())
	if !slices.Contains(r.port, at) {
		v.WhyCluster = "another slice lists this address in a better state, which counts"
		v.WhyLocal = v.WhyCluster
		return v
	}
	_, v.Cluster = r.cluster.Find(at.at)
	_, v.Local = r.local.Find(at.at)
	v.WhyCluster = e.why(at, one, v.Cluster, r.anyReady, r.near)
	switch {
	case at.local:
		v.WhyLocal = e.why(at, one, v.Local, r.localReady, anywhere)
	case v.Node == "":
		v.WhyLocal = "not known to be on this node"
	default:
		v.WhyLocal = "on node " + v.Node + ", not on this one"
	}
	return v
}

// why says in a clause why an endpoint is in or out, its node aside.
func (e *explainer) why(at located, one sliceEndpoint, in, anyReady bool, n near) string {
	switch {
	case in && at.weight == 0:
		return "weight 0 by annotation: no new connections"
	case in && at.ready && n == sameNode:
		return "ready, and hinted for this node"
	case in && at.ready && n == sameZone:
		return "ready, and hinted for this zone (" + e.o.Zone + ")"
	case in && at.ready:
		return "ready"
	case in:
		return "terminating, but it still serves, and no other is ready"
	case at.ready:
		return "ready, but hinted for " + hinted(one.hints, n) + e.ownZone(n)
	case at.terminating && at.serving && anyReady:
		return "terminating; others are ready"
	case at.terminating:
		return "terminating, and not serving any more"
	}
	return "not ready"
}

func (e *explainer) ownZone(n near) string {
	if n == sameZone {
		return "; this node is in zone " + e.o.Zone
	}
	return ""
}

// hinted lists who an endpoint is hinted for.
func hinted(hints *discoveryv1.EndpointHints, n near) string {
	var names []string
	if n == sameNode {
		for _, f := range hints.ForNodes {
			names = append(names, f.Name)
		}
		return "node " + strings.Join(names, ", ")
	}
	for _, f := range hints.ForZones {
		names = append(names, f.Name)
	}
	return "zone " + strings.Join(names, ", ")
}

// Unserved returns why a Service is none of this proxy's business, or "". The Service may be nil.
func Unserved(svc *corev1.Service) string { return unserved(svc) }
