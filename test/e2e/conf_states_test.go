//go:build linux

package e2e

import (
	"strings"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
)

// TestConformanceEndpointStates is the contract's section 3: which endpoints of the slices are used. cluster is what a pod
// reaches through the ClusterIP, local what the outside client reaches under external Local.
func TestConformanceEndpointStates(t *testing.T) {
	s := newConformance(t)
	for _, c := range []struct {
		name           string
		endpoints      []endpoint
		cluster, local []string // nil: refused
	}{
		{"ready", []endpoint{in(s.a, true, true, false), ready(s.remote)}, []string{"a", "remote"}, []string{"a"}},
		{"not ready", []endpoint{ready(s.a), notReady(s.b), ready(s.remote)}, []string{"a", "remote"}, []string{"a"}},
		{"none ready", []endpoint{notReady(s.a), notReady(s.remote)}, nil, nil},
		{"terminating and serving beside ready ones", []endpoint{leaving(s.a), ready(s.b), ready(s.remote)}, []string{"b", "remote"}, []string{"b"}},
		{"only terminating ones, serving", []endpoint{leaving(s.a), leaving(s.remote)}, []string{"a", "remote"}, []string{"a"}},
		{"only terminating ones, one not serving", []endpoint{leaving(s.a), in(s.b, false, false, true), leaving(s.remote)}, []string{"a", "remote"}, []string{"a"}},
		{"terminating here, ready elsewhere", []endpoint{leaving(s.a), ready(s.remote)}, []string{"remote"}, []string{"a"}},
		{"serving is not ready and not terminating", []endpoint{in(s.a, false, true, false), ready(s.b), ready(s.remote)}, []string{"b", "remote"}, []string{"b"}},
		{"ready although terminating: publishNotReadyAddresses", []endpoint{in(s.a, true, false, true), ready(s.b)}, []string{"a", "b"}, []string{"a", "b"}},
		{"one endpoint twice in a slice", []endpoint{ready(s.a), ready(s.a), ready(s.b)}, []string{"a", "b"}, []string{"a", "b"}},
	} {
		s.row(c.name, func(s *stage) {
			v := s.serve(everyFrontend, externalLocal)
			v.endpoints(c.endpoints...)
			s.settle()
			s.seen(s.pod(), v, clusterIP, c.cluster)
			s.seen(s.host(), v, balancer, c.cluster)
			for _, f := range everyFrontend[1:] {
				s.seen(s.outside(), v, f, c.local)
			}
		})
	}
}

// seen checks which endpoints are reached; none means refusal.
func (s *stage) seen(from place, v *svc, f frontend, names []string) {
	s.t.Helper()
	if names == nil {
		s.refusedAt(from, v, f)
		return
	}
	s.reaches(from, v, f, nil, names...)
}

// TestConformanceSlices is about the slices themselves.
func TestConformanceSlices(t *testing.T) {
	s := newConformance(t)
	s.row("slices are merged", func(s *stage) {
		v := s.serve(nil)
		v.endpoints(ready(s.a))
		v.slice("-2", nil, ready(s.b))
		v.slice("-3", nil, ready(s.remote))
		s.settle()
		s.reaches(s.pod(), v, clusterIP, nil, "a", "b", "remote")
		v.slice("-2", nil)
		s.settle()
		s.reaches(s.pod(), v, clusterIP, nil, "a", "remote")
	})
	s.row("of duplicates the one that does not terminate wins", func(s *stage) {
		v := s.serve(nil)
		v.endpoints(leaving(s.a), ready(s.b))
		v.slice("-2", nil, ready(s.a))
		s.settle()
		s.reaches(s.pod(), v, clusterIP, nil, "a", "b")
	})
	s.row("endpoints of one port may differ in number", func(s *stage) {
		v := s.serve(nil)
		v.slice("", onPort(8080), ready(s.a))
		v.slice("-2", onPort(8081), ready(s.b))
		s.settle()
		s.reaches(s.pod(), v, clusterIP, nil, "a", "b")
		v.slice("-2", onPort(8079), ready(s.b)) // nobody listens there: the number is the slice's
		s.settle()
		s.soon("a refusal by b", func() error {
			return s.sometimes(func() error { return s.refuses(s.pod(), "tcp", v.at(clusterIP, tcp4)) })
		})
	})
	s.row("a port without a number is ignored", func(s *stage) {
		v := s.serve(nil)
		v.endpoints(ready(s.a))
		v.slice("-2", func(slice *discoveryv1.EndpointSlice) { slice.Ports[0].Port, slice.Ports[1].Port = nil, nil }, ready(s.b))
		s.settle()
		s.reaches(s.pod(), v, clusterIP, nil, "a")
	})
	s.row("a slice of no Service, and one of names, are ignored", func(s *stage) {
		v := s.serve(nil)
		v.endpoints(ready(s.a))
		v.slice("-2", func(slice *discoveryv1.EndpointSlice) { slice.Labels = nil }, ready(s.b))
		slice := sliceOf(v.name, discoveryv1.AddressTypeFQDN)
		slice.Name = strings.ToLower(slice.Name)
		slice.Endpoints = []discoveryv1.Endpoint{{Addresses: []string{"example.com"}}}
		v.create(slice)
		s.settle()
		s.reaches(s.pod(), v, clusterIP, nil, "a")
		must(s.t, s.api.client.DiscoveryV1().EndpointSlices(namespace).Delete(s.t.Context(), v.name+"-4-2", deleteNow))
		must(s.t, s.api.client.DiscoveryV1().EndpointSlices(namespace).Delete(s.t.Context(), v.name+"-6-2", deleteNow))
	})
	s.row("a slice labeled headless is ignored", func(s *stage) {
		v := s.serve(nil)
		v.endpoints(ready(s.a))
		v.slice("-2", func(slice *discoveryv1.EndpointSlice) { slice.Labels["service.kubernetes.io/headless"] = "" }, ready(s.b))
		s.settle()
		s.reaches(s.pod(), v, clusterIP, nil, "a")
	})
}

// TestConformanceTopology is about hints. The pod asks on node1, which is in zone-1.
func TestConformanceTopology(t *testing.T) {
	s := newConformance(t)
	a, b, far := ready(s.a), ready(s.b), ready(s.remote)
	for _, c := range []struct {
		name      string
		endpoints []endpoint
		want      []string
	}{
		{"no hints", []endpoint{a, far}, []string{"a", "remote"}},
		{"hints for zones", []endpoint{a.forZone("zone-1"), far.forZone("zone-2")}, []string{"a"}},
		{"hints do not say where an endpoint is", []endpoint{a.forZone("zone-2"), far.forZone("zone-1")}, []string{"remote"}},
		{"one hint for two zones", []endpoint{a.forZone("zone-1"), far.forZone("zone-2").forZone("zone-1")}, []string{"a", "remote"}},
		{"none for this zone", []endpoint{a.forZone("zone-2"), far.forZone("zone-3")}, []string{"a", "remote"}},
		{"one without hints", []endpoint{a.forZone("zone-1"), b, far.forZone("zone-2")}, []string{"a", "b", "remote"}},
		{"one without hints that is not ready", []endpoint{a.forZone("zone-1"), notReady(s.b), far.forZone("zone-2")}, []string{"a"}},
		{"hints for nodes", []endpoint{a.forZone("zone-1").forNode("node1"), b.forZone("zone-1").forNode("node2"), far.forZone("zone-2").forNode("node2")}, []string{"a"}},
		{"none for this node: the zone's", []endpoint{a.forZone("zone-1").forNode("node3"), b.forZone("zone-1").forNode("node2"), far.forZone("zone-2").forNode("node2")}, []string{"a", "b"}},
		{"one without a hint for a node: the zone's", []endpoint{a.forZone("zone-1").forNode("node1"), b.forZone("zone-1"), far.forZone("zone-2").forNode("node2")}, []string{"a", "b"}},
		{"terminating ones know no hints", []endpoint{leaving(s.a).forZone("zone-1"), leaving(s.remote).forZone("zone-2")}, []string{"a", "remote"}},
	} {
		s.row(c.name, func(s *stage) {
			v := s.serve(nil)
			v.endpoints(c.endpoints...)
			s.settle()
			s.reaches(s.pod(), v, clusterIP, nil, c.want...)
		})
	}
	s.row("Local policies do not look at hints", func(s *stage) {
		v := s.serve(everyFrontend, externalLocal, internalLocal)
		v.endpoints(a.forZone("zone-2"), far.forZone("zone-1"))
		s.settle()
		s.reaches(s.pod(), v, clusterIP, nil, "a")
		s.reaches(s.outside(), v, balancer, nil, "a")
		s.reaches(s.pod(), v, balancer, nil, "remote")
	})
}
