//go:build linux

package e2e

import "testing"

// TestConformanceHairpin lets an endpoint reach itself: it must see the node, or its answer would never leave it.
func TestConformanceHairpin(t *testing.T) {
	s := newConformance(t)
	for i, edits := range [3][]edit{nil, {externalLocal}, {internalLocal}} {
		for _, f := range everyFrontend {
			s.row(string(f)+", "+policies[i], func(s *stage) {
				v := s.serve(everyFrontend, edits...)
				v.pods(s.a)
				s.settle()
				s.reaches(s.of(s.a), v, f, s.node.Addrs(), "a")
			})
		}
	}
}
