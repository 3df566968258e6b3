//go:build linux

package e2e

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// TestConformanceStaleUDP is the contract's section 9: a UDP client that goes on from its port is not stuck with an
// endpoint that is gone.
func TestConformanceStaleUDP(t *testing.T) {
	s := newConformance(t)
	for _, c := range []struct {
		name string
		from place
		to   frontend
	}{
		{"pod -> ClusterIP", s.pod(), clusterIP},
		{"node -> ClusterIP", s.host(), clusterIP},
		{"external -> ClusterIP", s.outside(), clusterIP},
		{"external -> NodePort", s.outside(), nodePort},
		{"external -> LB VIP", s.outside(), balancer},
		{"external -> externalIP", s.outside(), externalIP},
	} {
		s.row(c.name+", another endpoint", func(s *stage) { s.follows(c.from, c.to, nil, []*lab.Pod{s.b}) })
		s.row(c.name+", none and then another", func(s *stage) { s.follows(c.from, c.to, nil, nil, []*lab.Pod{s.b}) })
	}
	s.row("external -> LB VIP under external Local, another endpoint", func(s *stage) {
		s.follows(s.outside(), balancer, []edit{externalLocal}, []*lab.Pod{s.b})
	})
	s.row("a flow to an endpoint that stays is left alone", func(s *stage) {
		v := s.serve(nil)
		v.pods(s.a, s.b)
		s.settle()
		talker, err := lab.Talk(s.t.Context(), s.caller.Namespace, v.at(clusterIP, udp4))
		must(s.t, err)
		first, err := talker.Ask(lab.AskTimeout)
		must(s.t, err)
		stays := map[string]*lab.Pod{"a": s.a, "b": s.b}[first.Server]
		v.pods(stays, s.remote)
		s.settle()
		for range 8 {
			if answer, err := talker.Ask(lab.AskTimeout); err != nil || answer.Server != first.Server {
				s.t.Errorf("the flow to %s: %+v, %v", first.Server, answer, err)
			}
		}
	})
}

// staleLimit is how long a client may be stuck after the proxy has settled. It takes one sync; the machine is slow.
const staleLimit = 5 * time.Second

// follows lets a client of each family talk to pod a and go on while the endpoints change, step by step.
func (s *stage) follows(from place, to frontend, edits []edit, steps ...[]*lab.Pod) {
	s.t.Helper()
	v := s.serve(everyFrontend, edits...)
	v.pods(s.a)
	s.settle()
	talkers := make(map[way]*lab.Talker)
	for _, w := range []way{udp4, udp6} {
		talker, err := lab.Talk(s.t.Context(), from.ns, v.at(to, w))
		must(s.t, err)
		defer talker.Close()
		talkers[w] = talker
	}
	s.answered(talkers, "a")
	for _, pods := range steps {
		v.pods(pods...)
		keepTalking := s.chatter(talkers)
		s.settle()
		keepTalking()
		if len(pods) > 0 {
			s.answered(talkers, nameOf(pods[0]))
		}
	}
}

// answered waits until every talker is answered by one endpoint, and no more by another.
func (s *stage) answered(talkers map[way]*lab.Talker, name string) {
	s.t.Helper()
	for w, talker := range talkers {
		s.within(staleLimit, fmt.Sprintf("%s is answered by %s", w, name), func() error {
			answer, err := talker.Ask(200 * time.Millisecond)
			if err == nil && answer.Server != name {
				err = fmt.Errorf("%s answers", answer.Server)
			}
			return err
		})
	}
}

// chatter keeps the flows alive, as a client does that does not know of any change, until the returned function is called.
func (s *stage) chatter(talkers map[way]*lab.Talker) (stop func()) {
	end := make(chan struct{})
	var wg sync.WaitGroup
	for _, talker := range talkers {
		wg.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
					_, _ = talker.Ask(50 * time.Millisecond) // silence and refusals are part of it
				}
			}
		})
	}
	return func() {
		close(end)
		wg.Wait()
	}
}
