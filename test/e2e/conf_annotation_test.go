//go:build linux

package e2e

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// Fairlead's annotations: three on a Service, one on an EndpointSlice.
const (
	schedulerKey = "fairlead.io/scheduler"
	flagsKey     = "fairlead.io/scheduler-flags"
	drainKey     = "fairlead.io/drain-timeout"
	weightKey    = "fairlead.io/weight"
)

// annotate sets annotations, in pairs.
func annotate(pairs ...string) edit {
	return func(svc *corev1.Service) {
		svc.Annotations = make(map[string]string)
		for i := 0; i < len(pairs); i += 2 {
			svc.Annotations[pairs[i]] = pairs[i+1]
		}
	}
}

// weighs sets the weight of a slice.
func weighs(weight string) func(*discoveryv1.EndpointSlice) {
	return func(slice *discoveryv1.EndpointSlice) { slice.Annotations = map[string]string{weightKey: weight} }
}

// TestConformanceAnnotations is about what Fairlead offers beyond the contract, Service by Service.
func TestConformanceAnnotations(t *testing.T) {
	fairleadOnly(t)
	s := newConformance(t)
	s.row("scheduler", func(s *stage) {
		v := s.serve(nil, annotate(schedulerKey, "sh"))
		v.pods(s.a, s.b, s.c)
		other := s.serve(nil)
		other.pods(s.a, s.b, s.c)
		s.settle()
		s.scheduled(v, "-s sh")
		s.sticks(s.pod(), tcp4, v.at(clusterIP, tcp4))
		s.reaches(s.pod(), other, clusterIP, nil, "a", "b", "c")
		v.update(annotate())
		s.settle()
		s.reaches(s.pod(), v, clusterIP, nil, "a", "b", "c")
	})
	s.row("scheduler flags", func(s *stage) {
		v := s.serve(nil, annotate(schedulerKey, "sh", flagsKey, "sh-port,sh-fallback"))
		v.pods(s.a, s.b)
		s.settle()
		s.scheduled(v, "-s sh", "sh-port", "sh-fallback")
		s.soon("the port counts", func() error { return s.spreads(v) })
	})
	s.row("a bad value is a Warning, and the previous one stays", func(s *stage) {
		v := s.serve(nil, annotate(schedulerKey, "sh"))
		v.pods(s.a, s.b)
		s.settle()
		s.scheduled(v, "-s sh")
		v.update(annotate(schedulerKey, "nonsense"))
		s.settle()
		s.warned(v)
		s.scheduled(v, "-s sh")
		before := s.warningCount(v)
		v.update(annotate(schedulerKey, "sh", drainKey, "soon"))
		s.settle()
		s.warnedMore(v, before)
		s.scheduled(v, "-s sh")
	})
	s.row("drain timeout", func(s *stage) {
		v := s.serve(nil, annotate(drainKey, "4s"))
		long := s.serve(nil)
		for _, v := range []*svc{v, long} {
			v.pods(s.a)
		}
		s.settle()
		held, kept := s.holdAt(v), s.holdAt(long)
		for _, v := range []*svc{v, long} {
			v.pods(s.b)
		}
		s.settle()
		must(s.t, kept.Ping())
		s.within(30*time.Second, "the drained endpoint goes", func() error {
			if table := ipvs(s.t, s.node); strings.Contains(table, v.at(clusterIP, tcp4)+" -r "+s.a.Addr4().String()) {
				return fmt.Errorf("the table is\n%s", table)
			}
			return nil
		})
		if err := held.Ping(); err == nil {
			s.t.Error("the connection to the drained endpoint goes on")
		}
		if err := kept.Ping(); err != nil {
			s.t.Errorf("the connection of the other Service: %v", err)
		}
	})
	s.row("weights under wrr", func(s *stage) {
		v := s.serve(nil, annotate(schedulerKey, "wrr"))
		v.slice("", weighs("3"), ready(s.a))
		v.slice("-2", nil, ready(s.b))
		s.settle()
		s.soon("3 to 1", func() error { return s.shares(v, map[string]int{"a": 9, "b": 3}) })
		v.slice("-2", weighs("3"), ready(s.b))
		s.settle()
		s.soon("1 to 1", func() error { return s.shares(v, map[string]int{"a": 6, "b": 6}) })
	})
	s.row("weight 0 is maintenance", func(s *stage) { s.maintenance() })
	s.row("a bad weight is a Warning, and the previous one stays", func(s *stage) {
		v := s.serve(nil, annotate(schedulerKey, "wrr"))
		v.slice("", weighs("2"), ready(s.a))
		v.slice("-2", nil, ready(s.b))
		s.settle()
		s.soon("2 to 1", func() error { return s.shares(v, map[string]int{"a": 8, "b": 4}) })
		v.slice("", weighs("many"), ready(s.a))
		s.settle()
		s.warned(v)
		s.soon("still 2 to 1", func() error { return s.shares(v, map[string]int{"a": 8, "b": 4}) })
	})
}

// maintenance gives an endpoint no new connections and drops nothing.
func (s *stage) maintenance() {
	v := s.serve(nil)
	v.slice("", nil, ready(s.a))
	v.slice("-2", nil)
	s.settle()
	held := s.holdAt(v)
	v.slice("-2", nil, ready(s.b))
	v.slice("", weighs("0"), ready(s.a))
	s.settle()
	s.reaches(s.pod(), v, clusterIP, nil, "b")
	if err := held.Ping(); err != nil {
		s.t.Errorf("the connection to the endpoint in maintenance: %v", err)
	}
	v.slice("", nil, ready(s.a))
	s.settle()
	s.reaches(s.pod(), v, clusterIP, nil, "a", "b")
	if err := held.Ping(); err != nil {
		s.t.Errorf("the connection after maintenance: %v", err)
	}
}

// scheduled waits for words in the virtual servers of the Service's ClusterIPs.
func (s *stage) scheduled(v *svc, words ...string) {
	s.t.Helper()
	s.soon(fmt.Sprint(v.name, " with ", words), func() error {
		table, found := ipvs(s.t, s.node), 0
		for line := range strings.Lines(table) {
			if !strings.HasPrefix(line, "-A -t "+v.at(clusterIP, tcp4)+" ") && !strings.HasPrefix(line, "-A -u "+v.at(clusterIP, udp6)+" ") {
				continue
			}
			found++
			for _, word := range words {
				if !strings.Contains(line, word) {
					return fmt.Errorf("no %s in %s", word, line)
				}
			}
		}
		if found != 2 {
			return fmt.Errorf("%d virtual servers in\n%s", found, table)
		}
		return nil
	})
}

func (s *stage) holdAt(v *svc) *lab.Held {
	s.t.Helper()
	held, err := lab.Hold(s.t.Context(), s.caller.Namespace, v.at(clusterIP, tcp4))
	must(s.t, err)
	return held
}

// shares counts 12 requests.
func (s *stage) shares(v *svc, want map[string]int) error {
	counts, errs := lab.AskMany(s.t.Context(), s.caller.Namespace, "tcp", v.at(clusterIP, tcp4), 12)
	if len(errs) > 0 || !maps.Equal(counts, want) {
		return fmt.Errorf("answers %v, errors %v; want %v", counts, errs, want)
	}
	return nil
}

// spreads tells that one client reaches more than one endpoint.
func (s *stage) spreads(v *svc) error {
	counts, errs := lab.AskMany(s.t.Context(), s.caller.Namespace, "tcp", v.at(clusterIP, tcp4), 20)
	if len(errs) > 0 || len(counts) < 2 {
		return fmt.Errorf("answers %v, errors %v", counts, errs)
	}
	return nil
}

// warningCount sums the Warning events so far.
func (s *stage) warningCount(v *svc) int {
	s.t.Helper()
	sum := 0
	for _, event := range s.warnings(v) {
		sum += int(max(1, event.Count))
	}
	return sum
}
