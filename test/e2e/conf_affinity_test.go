//go:build linux

package e2e

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// TestConformanceAffinity is the contract's section 6.
func TestConformanceAffinity(t *testing.T) {
	s := newConformance(t)
	for _, c := range []struct {
		name  string
		from  func(*stage) place
		to    frontend
		edits []edit
		pods  func(*stage) []*lab.Pod
	}{
		{"ClusterIP", (*stage).pod, clusterIP, nil, far},
		{"NodePort", (*stage).outside, nodePort, nil, far},
		{"LB VIP", (*stage).outside, balancer, nil, far},
		{"externalIP", (*stage).outside, externalIP, nil, far},
		{"LB VIP under external Local", (*stage).outside, balancer, []edit{externalLocal}, near},
		{"NodePort under external Local", (*stage).outside, nodePort, []edit{externalLocal}, near},
	} {
		s.row(c.name, func(s *stage) {
			v := s.serve(everyFrontend, append(c.edits, sticky(600))...)
			pods := c.pods(s)
			v.pods(pods...)
			s.settle()
			for _, w := range ways {
				name := s.sticks(c.from(s), w, v.at(c.to, w))
				if w != tcp4 || name == "" {
					continue
				}
				// The entry dies with its endpoint, and a new one is made.
				v.pods(without(pods, name)...)
				s.settle()
				if after := s.sticks(c.from(s), w, v.at(c.to, w)); after == name {
					s.t.Errorf("the client is still at %s, which is gone", name)
				}
				v.pods(pods...)
				s.settle()
			}
		})
	}
	s.row("switched on and off while running", func(s *stage) {
		v := s.serve(everyFrontend)
		v.pods(s.a, s.b)
		s.settle()
		s.reaches(s.outside(), v, balancer, nil, "a", "b")
		v.update(sticky(600))
		s.settle()
		s.sticks(s.outside(), tcp4, v.at(balancer, tcp4))
		v.update(func(svc *corev1.Service) {
			svc.Spec.SessionAffinity, svc.Spec.SessionAffinityConfig = corev1.ServiceAffinityNone, nil
		})
		s.settle()
		// A new client: the kernel may honor what it promised to old ones until their time is over.
		s.reaches(s.pod(), v, balancer, nil, "a", "b")
	})
	s.row("the timeout ends it", func(s *stage) {
		v := s.serve(nil, sticky(3))
		v.pods(s.a, s.b)
		s.settle()
		s.expires(v)
	})
}

func near(s *stage) []*lab.Pod { return []*lab.Pod{s.a, s.b, s.c} }
func far(s *stage) []*lab.Pod  { return []*lab.Pod{s.a, s.b, s.remote} }

func without(pods []*lab.Pod, name string) []*lab.Pod {
	var left []*lab.Pod
	for _, pod := range pods {
		if nameOf(pod) != name {
			left = append(left, pod)
		}
	}
	return left
}

// sticks checks that a client always reaches one endpoint, and names it.
func (s *stage) sticks(from place, w way, addr string) (name string) {
	s.t.Helper()
	s.soon(fmt.Sprintf("%s sticks by %s", from.name, w), func() error {
		counts, errs := lab.AskMany(s.t.Context(), from.ns, w.network, addr, asks(3)/2)
		if len(errs) > 0 {
			return errs[0]
		}
		if len(counts) != 1 {
			return fmt.Errorf("%s reaches %v through %s", from.name, counts, addr)
		}
		for name = range counts {
		}
		return nil
	})
	return name
}

// expires checks that a client that was silent for long enough is a new one. Connections that are still remembered keep
// its place, so they end by a reset, which IPVS remembers for ten seconds. If its place was to expire in that time, IPVS
// looks again a minute later: the second silence is longer.
func (s *stage) expires(v *svc) {
	s.t.Helper()
	first, silence := "", 16*time.Second
	s.within(4*time.Minute, "the client is new after a while", func() error {
		held, err := lab.Hold(s.t.Context(), s.caller.Namespace, v.at(clusterIP, tcp4))
		if err != nil {
			return err
		}
		name := held.Answer.Server
		if err := held.Reset(); err != nil {
			return err
		}
		if first == "" {
			first = name
		}
		if name != first {
			return nil
		}
		time.Sleep(silence) // what is tested
		silence = 75 * time.Second
		return fmt.Errorf("still at %s", name)
	})
}
