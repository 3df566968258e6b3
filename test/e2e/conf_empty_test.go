//go:build linux

package e2e

import (
	"testing"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// TestConformanceNoEndpoints is the contract's section 5: refusal where no endpoint is usable anywhere, silence where a
// Local policy leaves none here.
func TestConformanceNoEndpoints(t *testing.T) {
	s := newConformance(t)
	for i, edits := range [3][]edit{nil, {externalLocal}, {internalLocal}} {
		s.row("none anywhere is refused, "+policies[i], func(s *stage) {
			v := s.serve(everyFrontend, edits...)
			s.settle()
			s.eachFlow(func(from place, f frontend) { s.refusedAt(from, v, f) })
			v.pods(s.a)
			s.settle()
			s.eachFlow(func(from place, f frontend) { s.reaches(from, v, f, nil, "a") })
			v.endpoints(notReady(s.a))
			s.settle()
			s.eachFlow(func(from place, f frontend) { s.refusedAt(from, v, f) })
		})
	}
	s.row("internal Local, none here: dropped on the ClusterIP", func(s *stage) {
		v := s.serve(everyFrontend, internalLocal)
		v.pods(s.remote)
		s.settle()
		for _, from := range s.places() {
			s.dropped(from, v, clusterIP)
		}
	})
	s.row("internal Local, none here: the other frontends reach all", func(s *stage) {
		v := s.serve(everyFrontend, internalLocal)
		v.pods(s.remote)
		s.settle()
		for _, from := range s.places() {
			for _, f := range everyFrontend[1:] {
				s.reaches(from, v, f, s.node.Addrs(), "remote")
			}
		}
	})
	s.row("external Local, none here: dropped from outside", func(s *stage) {
		v := s.serve(everyFrontend, externalLocal)
		v.pods(s.remote)
		s.settle()
		for _, f := range everyFrontend[1:] {
			s.dropped(s.outside(), v, f)
		}
	})
	s.row("external Local, none here: pods and the node reach all", func(s *stage) {
		v := s.serve(everyFrontend, externalLocal)
		v.pods(s.remote)
		s.settle()
		for _, f := range everyFrontend {
			s.reaches(s.host(), v, f, s.node.Addrs(), "remote")
			s.reaches(s.pod(), v, f, s.caller.Addrs, "remote")
		}
		s.reaches(s.outside(), v, clusterIP, s.node.Addrs(), "remote")
	})
	s.row("both Local, none here: dropped where each says so", func(s *stage) {
		v := s.serve(everyFrontend, internalLocal, externalLocal)
		v.pods(s.remote)
		s.settle()
		s.dropped(s.pod(), v, clusterIP)
		s.dropped(s.outside(), v, balancer)
	})
	s.row("external Local, the local endpoint goes and comes", func(s *stage) { s.localComesAndGoes() })
}

// localComesAndGoes follows one frontend through all three states while the Service runs.
func (s *stage) localComesAndGoes() {
	v := s.serve(everyFrontend, externalLocal)
	for _, step := range []struct {
		pods  []*lab.Pod
		check func(place, *svc, frontend)
	}{
		{[]*lab.Pod{s.a, s.remote}, func(from place, v *svc, f frontend) { s.reaches(from, v, f, from.addrs, "a") }},
		{[]*lab.Pod{s.remote}, s.dropped},
		{nil, s.refusedAt},
		{[]*lab.Pod{s.remote}, s.dropped},
		{[]*lab.Pod{s.b, s.remote}, func(from place, v *svc, f frontend) { s.reaches(from, v, f, from.addrs, "b") }},
	} {
		v.pods(step.pods...)
		s.settle()
		for _, f := range everyFrontend[1:] {
			step.check(s.outside(), v, f)
		}
	}
}
