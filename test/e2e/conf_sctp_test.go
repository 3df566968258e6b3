//go:build linux

package e2e

import (
	"fmt"
	"os"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/test/lab"
)

var sctpWays = []way{{"sctp", false}, {"sctp", true}}

// withSCTP gives a Service a third port.
func withSCTP(svc *corev1.Service) {
	svc.Spec.Ports = append(svc.Spec.Ports, corev1.ServicePort{Name: "sig", Port: 8080, Protocol: corev1.ProtocolSCTP})
}

// sctpLoaded tells whether the kernel's SCTP, as opposed to its tracking and balancing of it, is there.
func sctpLoaded() bool {
	_, err := os.Stat("/sys/module/sctp")
	return err == nil
}

// TestConformanceSCTP sends SCTP through every frontend. First it shows that programming an SCTP Service does not load the
// module sctp on the host: nothing but a socket may.
func TestConformanceSCTP(t *testing.T) {
	if sctpLoaded() {
		unload(t, "sctp")
	}
	s := newConformance(t)
	v := s.serve(everyFrontend, withSCTP)
	local := s.serve(everyFrontend, withSCTP, externalLocal)
	for _, v := range []*svc{v, local} {
		v.pods(s.a, s.remote)
	}
	s.settle()
	s.row("the module is not loaded by a Service", func(s *stage) {
		s.reaches(s.pod(), v, clusterIP, nil, "a", "remote") // the Service is there
		if sctpLoaded() {
			s.t.Error("/sys/module/sctp exists")
		}
	})
	for _, pod := range []*lab.Pod{s.a, s.remote} {
		for _, addr := range pod.Addrs {
			_, err := pod.ServeSCTP(addrPort(addr, 8080).String(), nameOf(pod))
			must(t, err)
		}
	}
	for _, f := range flows {
		s.row(f.from+" -> "+string(f.to), func(s *stage) {
			place := map[string]place{"pod": s.pod(), "node": s.host(), "external": s.outside()}[f.from]
			sees := s.node.Addrs()
			if f.want[0] == "C" {
				sees = place.addrs
			}
			s.all(sctpWays, "SCTP", func(w way) error { return s.reach(place, w.network, v.at(f.to, w), sees, "a", "remote") })
		})
	}
	s.row("external Local keeps the client's address", func(s *stage) {
		for _, f := range everyFrontend[1:] {
			s.all(sctpWays, string(f), func(w way) error { return s.reach(s.outside(), w.network, local.at(f, w), s.outside().addrs, "a") })
		}
	})
	// Linux does not always tell a connecting SCTP client of an ICMP error, so that refusal and silence look alike.
	s.row("no endpoints: nobody answers", func(s *stage) {
		v := s.serve(everyFrontend, withSCTP)
		s.settle()
		for _, f := range everyFrontend {
			s.all(sctpWays, string(f), func(w way) error {
				if answer, err := lab.Ask(s.t.Context(), s.outside().ns, w.network, v.at(f, w)); err == nil {
					return fmt.Errorf("%s answers", answer.Server)
				}
				return nil
			})
		}
	})
}
