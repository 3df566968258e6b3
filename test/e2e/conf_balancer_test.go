//go:build linux

package e2e

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestConformanceLoadBalancer is about load balancers' addresses.
func TestConformanceLoadBalancer(t *testing.T) {
	s := newConformance(t)
	only := []frontend{balancer}
	s.row("ingress IP, and gone from the status", func(s *stage) {
		v := s.serve(only)
		v.pods(s.a, s.remote)
		s.settle()
		for _, from := range s.places() {
			s.reaches(from, v, balancer, s.node.Addrs(), "a", "remote")
		}
		v.ingress()
		s.settle()
		s.goneAt(s.outside(), v, balancer)
	})
	s.row("ipMode Proxy is not bound", func(s *stage) {
		v := s.serve(only)
		v.pods(s.a)
		proxy := corev1.LoadBalancerIPModeProxy
		v.ingress(corev1.LoadBalancerIngress{IP: fmt.Sprintf(balancer4, v.number), IPMode: &proxy},
			corev1.LoadBalancerIngress{IP: fmt.Sprintf(balancer6, v.number), IPMode: &proxy})
		s.settle()
		for _, from := range s.places() {
			s.unservedAt(from, v, balancer)
		}
	})
	s.row("a hostname alone is ignored", func(s *stage) {
		v := s.serve(only)
		v.pods(s.a)
		v.ingress(corev1.LoadBalancerIngress{Hostname: "example.com"}, corev1.LoadBalancerIngress{IP: fmt.Sprintf(balancer4, v.number)})
		s.settle()
		s.all([]way{tcp4, udp4}, "external -> LB VIP", func(w way) error {
			return s.reach(s.outside(), w.network, v.at(balancer, w), nil, "a")
		})
		s.reaches(s.pod(), v, clusterIP, nil, "a")
	})
	s.row("without node ports", func(s *stage) {
		none := false
		v := s.serve(only, func(svc *corev1.Service) { svc.Spec.AllocateLoadBalancerNodePorts = &none })
		v.pods(s.a, s.remote)
		if port := v.port("tcp").NodePort; port != 0 {
			s.t.Fatalf("the API server allocated node port %d", port)
		}
		s.settle()
		for _, from := range s.places() {
			s.reaches(from, v, balancer, s.node.Addrs(), "a", "remote")
		}
	})
}

// TestConformanceSourceRanges is about loadBalancerSourceRanges: who is let in at the LB VIP, and that nothing else is
// touched by them.
func TestConformanceSourceRanges(t *testing.T) {
	s := newConformance(t)
	client := []string{s.client.Addr4.String() + "/32", s.client.Addr6.String() + "/128"}
	nodes := fabricNets
	pods := []string{"172.17.0.0/24", "fd00:17::/64"}
	for _, c := range []struct {
		name   string
		ranges []string
		admits map[string]bool
	}{
		{"a client is admitted, pods and the node are not", client, map[string]bool{"external": true}},
		{"nobody is in the ranges", []string{"203.0.113.0/24", "2001:db8::/32"}, nil},
		{"whitespace is trimmed", []string{" " + client[0] + " ", "  " + client[1]}, map[string]bool{"external": true}},
		{"a range of everything is no restriction", []string{"203.0.113.0/24", "0.0.0.0/0", "::/0"}, map[string]bool{"external": true, "pod": true, "node": true}},
		{"pods are admitted by their range", pods, map[string]bool{"pod": true}},
		{"a range with the node's address admits the node", nodes, map[string]bool{"external": true, "node": true}},
	} {
		s.row(c.name, func(s *stage) {
			v := s.serve(everyFrontend, ranges(c.ranges...))
			v.pods(s.a, s.remote)
			s.settle()
			for _, from := range s.places() {
				if c.admits[from.name] {
					s.reaches(from, v, balancer, s.node.Addrs(), "a", "remote")
				} else {
					s.dropped(from, v, balancer)
				}
				s.reaches(from, v, clusterIP, nil, "a", "remote")
			}
			s.reaches(s.outside(), v, externalIP, s.node.Addrs(), "a", "remote")
		})
	}
	s.row("with external Local the client's address is kept", func(s *stage) {
		v := s.serve(everyFrontend, ranges(client...), externalLocal)
		v.pods(s.a, s.remote)
		s.settle()
		s.reaches(s.outside(), v, balancer, s.outside().addrs, "a")
		s.dropped(s.pod(), v, balancer)
	})
	s.row("ranges change while running", func(s *stage) {
		v := s.serve(everyFrontend, ranges("203.0.113.0/24", "2001:db8::/32"))
		v.pods(s.a)
		s.settle()
		s.dropped(s.outside(), v, balancer)
		v.update(ranges(client...))
		s.settle()
		s.reaches(s.outside(), v, balancer, s.node.Addrs(), "a")
		v.update(ranges())
		s.settle()
		s.reaches(s.pod(), v, balancer, s.node.Addrs(), "a")
	})
	s.row("ranges of one family say nothing of the other", func(s *stage) {
		v := s.serve(everyFrontend, ranges(s.node.Addr4.String()+"/32"))
		v.pods(s.a)
		s.settle()
		s.all([]way{tcp4, udp4}, "IPv4", func(w way) error { return s.drops(s.outside(), w.network, v.at(balancer, w)) })
		s.all([]way{tcp6, udp6}, "IPv6", func(w way) error { return s.reach(s.outside(), w.network, v.at(balancer, w), nil, "a") })
	})
}
