//go:build linux

package e2e

import (
	"fmt"
	"testing"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// TestConformanceStray is about segments outside the window. Connection tracking calls them invalid, and translates nothing:
// a client that gets one with the endpoint's own address has never heard of it, and resets the connection that it is in the
// middle of (kubernetes/kubernetes#74839).
func TestConformanceStray(t *testing.T) {
	s := newConformance(t)
	s.serveStray()
	s.outlivesStray(s.pod(), clusterIP, s.a)
	s.outlivesStray(s.pod(), clusterIP, s.remote)
	s.outlivesStray(s.outside(), balancer, s.a, externalLocal)
}

// TestLiberalConntrack is about what is masqueraded: there the node gets the segment, and resets the connection, unless
// conntrack.tcpBeLiberal has it translated. So it is with kube-proxy.
func TestLiberalConntrack(t *testing.T) {
	fairleadOnly(t)
	s := newStage(t)
	s.serveStray()
	s.run(setup{lines: []string{"conntrack: {tcpBeLiberal: true}"}})
	s.outlivesStray(s.host(), clusterIP, s.remote)
	s.outlivesStray(s.outside(), nodePort, s.remote)
}

const strayPort = 8082

// serveStray has two pods send stray segments at a port of their own.
func (s *stage) serveStray() {
	s.t.Helper()
	for _, pod := range []*lab.Pod{s.a, s.remote} {
		for _, addr := range pod.Addrs {
			_, err := pod.ServeStray(addrPort(addr, strayPort).String(), nameOf(pod))
			must(s.t, err)
		}
	}
}

// outlivesStray is a row in which connections go on that get stray segments.
func (s *stage) outlivesStray(from place, to frontend, pod *lab.Pod, edits ...edit) {
	s.row(fmt.Sprintf("%s -> %s, at %s", from.name, to, nameOf(pod)), func(s *stage) {
		v := s.serve(everyFrontend, edits...)
		v.slice("", onPort(strayPort), ready(pod))
		s.settle()
		s.all([]way{tcp4, tcp6}, "a connection goes on", func(w way) error { return s.outlives(from, v.at(to, w)) })
	})
}

// outlives opens a connection and uses it, more than once: the first answer may be faster than the harm that is done.
func (s *stage) outlives(from place, addr string) error {
	held, err := lab.Hold(s.t.Context(), from.ns, addr)
	if err != nil {
		return err
	}
	defer held.Close()
	for n := range 3 {
		if err := held.Ping(); err != nil {
			return fmt.Errorf("%s talks to %s, line %d: %w", from.name, addr, n+1, err)
		}
	}
	return nil
}
