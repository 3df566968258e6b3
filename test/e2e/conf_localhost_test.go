//go:build linux

package e2e

import (
	"net/netip"
	"slices"
	"testing"
)

// TestConformanceLocalhost asks the node for node ports on its loopback addresses. Without the keyword nothing is there;
// with it TCP works, in Fairlead and kube-proxy's nftables mode by a relay in user space.
func TestConformanceLocalhost(t *testing.T) {
	s := newStage(t)
	v := s.serve([]frontend{nodePort})
	v.pods(s.a, s.remote)
	local := s.serve([]frontend{nodePort}, externalLocal)
	local.pods(s.a, s.remote)
	empty := s.serve([]frontend{nodePort})
	s.row("not without being asked", func(sub *stage) {
		s.run(setup{})
		sub.all([]way{tcp4, tcp6}, "localhost", func(w way) error {
			return sub.refuses(sub.host(), w.network, v.nodePortAt(w, "127.0.0.1", "::1"))
		})
	})
	words := []string{"localhost"}
	if mode, peer := peerMode(); peer && mode != "nftables" {
		words = []string{"127.0.0.0/8", "::1/128"}
	}
	c := setup{nodePorts: slices.Concat(fabricNets, words)}
	for _, one := range [][]way{{tcp4}, {tcp6}} {
		name := one[0].String()
		s.row("localhost -> NodePort, "+name, func(sub *stage) {
			s.run(c)
			sub.all(one, "localhost", func(w way) error {
				return sub.reach(sub.host(), w.network, v.nodePortAt(w, "127.0.0.1", "::1"), s.node.Addrs(), "a", "remote")
			})
		})
		s.row("localhost -> NodePort under external Local, "+name, func(sub *stage) {
			sub.proxy = s.proxy
			sub.all(one, "localhost", func(w way) error {
				return sub.reach(sub.host(), w.network, local.nodePortAt(w, "127.0.0.1", "::1"), []netip.Addr{s.node.Addr4, s.node.Addr6}, "a", "remote")
			})
		})
		s.row("localhost -> NodePort without endpoints, "+name, func(sub *stage) {
			sub.all(one, "localhost", func(w way) error {
				_, err := fetch(sub.host(), "http://"+empty.nodePortAt(w, "127.0.0.1", "::1")+"/")
				if err == nil {
					t.Error("somebody answers")
				}
				return nil
			})
		})
	}
	s.row("the other addresses still serve", func(sub *stage) {
		for _, from := range sub.places() {
			sub.reaches(from, v, nodePort, s.node.Addrs(), "a", "remote")
		}
	})
}
