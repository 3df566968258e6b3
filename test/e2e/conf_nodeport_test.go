//go:build linux

package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// extra4 and extra6 are further addresses of the node, in no network of the fabric. The client is routed to them.
const (
	extra4, extra6 = "192.168.78.10", "fd00:78::10"
	later4, later6 = "192.168.79.10", "fd00:79::10"
)

// moreAddresses gives the node addresses beside its own. Masquerading may choose them, so the other node has to know them.
func (s *stage) moreAddresses(four, six string) {
	s.t.Helper()
	for _, prefix := range []string{four + "/32", six + "/128"} {
		must(s.t, s.node.AddAddr(prefix))
		must(s.t, s.client.AddRoute(prefix, s.node))
		must(s.t, s.far.AddRoute(prefix, s.node))
	}
}

// anyAddress are all addresses that the node may have in these tests.
func (s *stage) anyAddress() []netip.Addr {
	all := s.node.Addrs()
	for _, addr := range []string{extra4, extra6, later4, later6} {
		all = append(all, netip.MustParseAddr(addr))
	}
	return all
}

// nodePortAt is where the Service's node port answers on some address.
func (v *svc) nodePortAt(w way, four, six string) string {
	return net.JoinHostPort(w.family(four, six), strconv.Itoa(int(v.port(w.network).NodePort)))
}

// TestConformanceNodePortAddresses is about which addresses of the node serve node ports.
func TestConformanceNodePortAddresses(t *testing.T) {
	s := newStage(t)
	s.moreAddresses(extra4, extra6)
	v := s.serve([]frontend{nodePort})
	v.pods(s.a, s.remote)
	own4, own6 := s.node.Addr4.String(), s.node.Addr6.String()
	for _, c := range []struct {
		name       string
		addresses  []string
		own, extra bool
	}{
		{"CIDRs", fabricNets, true, false},
		{"CIDRs of other addresses", []string{"192.168.78.0/24", "fd00:78::/64"}, false, true},
		{"primary", []string{"primary"}, true, false},
		{"all", []string{"0.0.0.0/0", "::/0"}, true, true},
	} {
		s.row(c.name, func(sub *stage) {
			s.run(setup{nodePorts: c.addresses})
			for _, from := range sub.places() {
				sub.nodePortServed(from, v, own4, own6, c.own)
				sub.nodePortServed(from, v, extra4, extra6, c.extra)
			}
		})
	}
	s.row("an address that appears later", func(sub *stage) {
		s.run(setup{nodePorts: []string{"192.168.79.0/24", "fd00:79::/64"}})
		sub.moreAddresses(later4, later6)
		sub.within(45*time.Second, "the new address serves", func() error { // a peer may look every 30 seconds
			return sub.reach(sub.outside(), "tcp", v.nodePortAt(tcp4, later4, later6), nil, "a", "remote")
		})
		for _, from := range sub.places() {
			sub.nodePortServed(from, v, later4, later6, true)
		}
	})
}

// nodePortServed checks that a node port is served on addresses, or that nothing is there.
func (s *stage) nodePortServed(from place, v *svc, four, six string, served bool) {
	s.t.Helper()
	s.all(ways, fmt.Sprintf("%s -> node port on %s and %s", from.name, four, six), func(w way) error {
		addr := v.nodePortAt(w, four, six)
		if !served {
			return s.refuses(from, w.network, addr)
		}
		return s.reach(from, w.network, addr, s.anyAddress(), "a", "remote")
	})
}

// TestConformanceNodePort is about node ports beside other frontends.
func TestConformanceNodePort(t *testing.T) {
	s := newConformance(t)
	s.row("a ClusterIP port that equals a node port is not masqueraded", func(s *stage) {
		first := s.serve([]frontend{nodePort})
		first.pods(s.a, s.remote)
		second := s.serve(nil, func(svc *corev1.Service) {
			for i := range svc.Spec.Ports {
				svc.Spec.Ports[i].Port = first.object.Spec.Ports[i].NodePort
			}
		})
		second.pods(s.a, s.remote)
		s.settle()
		s.reaches(s.pod(), first, nodePort, s.node.Addrs(), "a", "remote")
		s.reaches(s.pod(), second, clusterIP, s.caller.Addrs, "a", "remote")
	})
	s.row("a node port is not subject to source ranges", func(s *stage) {
		v := s.serve(everyFrontend, ranges("203.0.113.0/24", "2001:db8::/32"))
		v.pods(s.a, s.remote)
		s.settle()
		for _, from := range s.places() {
			s.reaches(from, v, nodePort, s.node.Addrs(), "a", "remote")
		}
	})
	s.row("TCP and UDP may share a number", func(s *stage) {
		v := s.serve([]frontend{nodePort}, func(svc *corev1.Service) {
			for i := range svc.Spec.Ports {
				svc.Spec.Ports[i].Port, svc.Spec.Ports[i].NodePort = 9090, 31990
			}
		})
		v.pods(s.a, s.remote)
		s.settle()
		s.eachOf([]frontend{clusterIP, nodePort}, func(from place, f frontend) { s.reaches(from, v, f, nil, "a", "remote") })
	})
	s.row("the other node forwards to an endpoint here", func(sub *stage) {
		other := setup{}.proxy(sub.t, s.far, "node2", s.api.kubeconfig)
		v := sub.serve([]frontend{nodePort})
		v.pods(s.a)
		sub.settle()
		sub.settled(other, s.remote)
		sub.all(ways, "external -> the other node's port", func(w way) error {
			return sub.reach(sub.of(s.remote), w.network, v.nodePortAt(w, s.far.Addr4.String(), s.far.Addr6.String()), s.far.Addrs(), "a")
		})
	})
}
