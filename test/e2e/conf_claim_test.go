//go:build linux

package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// TestConformanceClaims is about two Services that want one external IP and port: the older has it, and the other takes
// over when it goes. Kube-proxy makes no promise there.
func TestConformanceClaims(t *testing.T) {
	fairleadOnly(t)
	s := newConformance(t)
	shared := []edit{func(svc *corev1.Service) {
		svc.Spec.ExternalIPs = []string{fmt.Sprintf(external4, 250), fmt.Sprintf(external6, 250)}
	}}
	at := func(w way) string {
		port := map[string]string{"tcp": "8080", "udp": "53"}[w.network]
		return net.JoinHostPort(w.family(fmt.Sprintf(external4, 250), fmt.Sprintf(external6, 250)), port)
	}
	answersAt := func(s *stage, name string) {
		s.t.Helper()
		s.all(ways, "the shared address", func(w way) error { return s.reach(s.outside(), w.network, at(w), s.node.Addrs(), name) })
	}
	s.row("the older wins, the other takes over", func(s *stage) {
		first := s.serve(nil, shared...)
		first.pods(s.a)
		time.Sleep(1100 * time.Millisecond) // ages are whole seconds
		second := s.serve(nil, shared...)
		second.pods(s.b)
		s.settle()
		answersAt(s, "a")
		s.warned(second)
		if events := s.warnings(first); len(events) > 0 {
			s.t.Errorf("the winner is warned: %v", events)
		}
		s.reaches(s.pod(), second, clusterIP, nil, "b") // it loses only what is contested
		first.delete()
		s.settle()
		answersAt(s, "b")
	})
	s.row("the loser goes", func(s *stage) {
		first := s.serve(nil, shared...)
		first.pods(s.a)
		time.Sleep(1100 * time.Millisecond) // ages are whole seconds
		second := s.serve(nil, shared...)
		second.pods(s.b)
		s.settle()
		second.delete()
		s.settle()
		answersAt(s, "a")
	})
	s.row("one address, different ports", func(s *stage) {
		first := s.serve(nil, shared...)
		first.pods(s.a)
		second := s.serve(nil, shared[0], func(svc *corev1.Service) { svc.Spec.Ports[0].Port, svc.Spec.Ports[1].Port = 8090, 54 })
		second.pods(s.b)
		s.settle()
		answersAt(s, "a")
		s.soon("the other port", func() error {
			return s.reach(s.outside(), "tcp", net.JoinHostPort(fmt.Sprintf(external4, 250), "8090"), nil, "b")
		})
		first.delete()
		s.settle()
		s.soon("the other port still", func() error {
			return s.reach(s.outside(), "tcp", net.JoinHostPort(fmt.Sprintf(external4, 250), "8090"), nil, "b")
		})
	})
}

// guestGateway is the API server's address, of the endpoints that it publishes itself, where test/vm runs.
const guestGateway = "10.0.2.2"

// TestConformanceDangerousAddresses lets Services ask for addresses that must stay what they are. Each is left alone and
// is a Warning on the Service; the rest of the Service works.
func TestConformanceDangerousAddresses(t *testing.T) {
	fairleadOnly(t)
	s := newConformance(t)
	const port = 7777
	for _, node := range []*lab.Node{s.node, s.far} {
		for _, addr := range node.Addrs() {
			server, err := node.ServeTCP(addrPort(addr, port).String(), "host")
			must(t, err)
			defer server.Close()
		}
	}
	must(t, s.client.AddRoute(guestGateway+"/32", s.node))
	for _, c := range []struct {
		name     string
		external []string
		ingress  []string
		hosts    bool // a host answers there
	}{
		{"externalIP of this node", texts(s.node.Addrs()), nil, true},
		{"externalIP of another node", texts(s.far.Addrs()), nil, true},
		{"externalIP of the API server", []string{guestGateway}, nil, false},
		{"LB IP of this node", nil, texts(s.node.Addrs()), true},
		{"LB IP of another node", nil, texts(s.far.Addrs()), true},
		{"loopback", nil, []string{"127.0.0.53", "::1"}, false},
		{"link-local", nil, []string{"169.254.20.10", "fe80::53"}, false},
		{"multicast", nil, []string{"224.0.0.77", "ff02::77"}, false},
		{"unspecified", nil, []string{"0.0.0.0", "::"}, false},
	} {
		s.row(c.name, func(s *stage) {
			with := []frontend{}
			if c.ingress != nil {
				with = append(with, balancer)
			}
			v := s.serve(with, func(svc *corev1.Service) {
				svc.Spec.ExternalIPs = c.external
				svc.Spec.Ports[0].Port, svc.Spec.Ports[1].Port = port, port
			})
			if c.ingress != nil {
				var list []corev1.LoadBalancerIngress
				for _, ip := range c.ingress {
					list = append(list, corev1.LoadBalancerIngress{IP: ip})
				}
				v.ingress(list...)
			}
			v.pods(s.a)
			s.settle()
			s.warned(v)
			s.reaches(s.pod(), v, clusterIP, nil, "a")
			for _, ip := range append(c.external, c.ingress...) {
				s.notBound(ip)
				if !c.hosts {
					continue
				}
				for _, from := range s.places() {
					s.soon("the host answers", func() error {
						return s.reach(from, "tcp", net.JoinHostPort(ip, fmt.Sprint(port)), nil, "host")
					})
				}
			}
		})
	}
}

// notBound checks that an address is on no dummy device of the node, and that IPVS does not balance it.
func (s *stage) notBound(ip string) {
	s.t.Helper()
	addrs, err := s.node.Run(s.t.Context(), "ip", "-o", "addr", "show", "type", "dummy")
	must(s.t, err)
	routes, err := s.node.Run(s.t.Context(), "ip", "route", "show", "table", "local", "type", "local", "proto", "70")
	must(s.t, err)
	at := net.JoinHostPort(ip, "7777")
	for what, text := range map[string]string{ip + "/": addrs, ip + " ": routes, " " + at + " ": ipvs(s.t, s.node)} {
		if strings.Contains(text, what) {
			s.t.Errorf("%s is taken:\n%s", ip, text)
		}
	}
}

func texts(addrs []netip.Addr) []string {
	var list []string
	for _, addr := range addrs {
		list = append(list, addr.String())
	}
	return list
}
