//go:build linux

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// place is where a request starts, and the addresses that it may have there.
type place struct {
	name  string
	ns    *lab.Namespace
	addrs []netip.Addr
}

func (s *stage) pod() place  { return place{"pod", s.caller.Namespace, s.caller.Addrs} }
func (s *stage) host() place { return place{"node", s.node.Namespace, s.node.Addrs()} }
func (s *stage) outside() place {
	return place{"external", s.client.Namespace, []netip.Addr{s.client.Addr4, s.client.Addr6}}
}
func (s *stage) of(pod *lab.Pod) place { return place{"pod " + nameOf(pod), pod.Namespace, pod.Addrs} }

// places are the contract's three kinds of source.
func (s *stage) places() []place { return []place{s.pod(), s.host(), s.outside()} }

// silence is how long nothing must come back where packets are dropped: longer than the first TCP retransmission.
const silence = 1500 * time.Millisecond

// asks is how often a place asks to see all that it can reach, and only that. Round robin needs two rounds; where the
// choice is random, one of two endpoints stays unseen once in 16,000 times.
func asks(names int) int {
	if _, peer := peerMode(); peer {
		return 14 * max(1, names-1)
	}
	return 3 * max(2, names)
}

// reach asks often and compares who answers, and whose address the endpoints see, with what is wanted.
func (s *stage) reach(from place, network, addr string, sees []netip.Addr, names ...string) error {
	missing := slices.Clone(names)
	for n := range asks(len(names)) {
		answer, err := lab.Ask(s.t.Context(), from.ns, network, addr)
		if err != nil {
			return fmt.Errorf("request %d of %s to %s %s: %w", n+1, from.name, network, addr, err)
		}
		if !slices.Contains(names, answer.Server) {
			return fmt.Errorf("%s reaches %s through %s %s, want only %v", from.name, answer.Server, network, addr, names)
		}
		if sees != nil && !slices.Contains(sees, answer.Client.Addr()) {
			return fmt.Errorf("%s asks %s %s: %s sees %s, want one of %v", from.name, network, addr, answer.Server, answer.Client.Addr(), sees)
		}
		missing = slices.DeleteFunc(missing, func(name string) bool { return name == answer.Server })
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s never reaches %v through %s %s", from.name, missing, network, addr)
	}
	return nil
}

// reaches waits until a place reaches exactly these endpoints of a frontend in every way, with one of these addresses.
// sees may be nil: any.
func (s *stage) reaches(from place, v *svc, f frontend, sees []netip.Addr, names ...string) {
	s.t.Helper()
	s.all(ways, from.name+" -> "+string(f), func(w way) error { return s.reach(from, w.network, v.at(f, w), sees, names...) })
}

// refused waits until a place is refused at once by a frontend in every way.
func (s *stage) refusedAt(from place, v *svc, f frontend) {
	s.t.Helper()
	s.all(ways, from.name+" -> "+string(f), func(w way) error { return s.refuses(from, w.network, v.at(f, w)) })
}

func (s *stage) refuses(from place, network, addr string) error {
	begin := time.Now()
	answer, err := lab.Ask(s.t.Context(), from.ns, network, addr)
	if !lab.Refused(err) {
		return fmt.Errorf("%s asks %s %s: %s; want a refusal", from.name, network, addr, said(answer, err))
	}
	if took := time.Since(begin); took > 2*time.Second {
		return fmt.Errorf("%s asks %s %s: refused after %s, want at once", from.name, network, addr, took)
	}
	return nil
}

// dropped waits until a place hears nothing from a frontend in any way.
func (s *stage) dropped(from place, v *svc, f frontend) {
	s.t.Helper()
	s.all(ways, from.name+" -> "+string(f), func(w way) error { return s.drops(from, w.network, v.at(f, w)) })
}

func (s *stage) drops(from place, network, addr string) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), silence)
	defer cancel()
	answer, err := lab.Ask(ctx, from.ns, network, addr)
	if !lab.TimedOut(err) {
		return fmt.Errorf("%s asks %s %s: %s; want silence", from.name, network, addr, said(answer, err))
	}
	return nil
}

// said puts into words what came of a request.
func said(answer lab.Answer, err error) string {
	if err != nil {
		return err.Error()
	}
	return answer.Server + " answers"
}

// unserved is true where an address is nothing to the proxy: the packets pass the node by.
func (s *stage) unserved(from place, addr string) error {
	answer, err := lab.Ask(s.t.Context(), from.ns, "tcp", addr)
	if err != nil || answer.Server != beyond {
		return fmt.Errorf("%s asks %s: %s; want an answer from %s", from.name, addr, said(answer, err), beyond)
	}
	return nil
}

// unservedAt waits until a frontend's addresses are nothing to the proxy.
func (s *stage) unservedAt(from place, v *svc, f frontend) {
	s.t.Helper()
	s.all([]way{tcp4, tcp6}, from.name+" -> "+string(f), func(w way) error { return s.unserved(from, v.at(f, w)) })
}

// gone waits until no pod serves at an address any more. It may refuse, be nothing to the proxy, or be silent, as ClusterIPs
// are that no Service has.
func (s *stage) gone(from place, addr string) {
	s.t.Helper()
	s.soon("nothing at "+addr, func() error {
		ctx, cancel := context.WithTimeout(s.t.Context(), silence)
		defer cancel()
		if answer, err := lab.Ask(ctx, from.ns, "tcp", addr); err == nil && answer.Server != beyond {
			return fmt.Errorf("%s still answers %s", answer.Server, from.name)
		}
		return nil
	})
}

// goneAt is gone for both addresses of a frontend.
func (s *stage) goneAt(from place, v *svc, f frontend) {
	s.t.Helper()
	for _, w := range []way{tcp4, tcp6} {
		s.gone(from, v.at(f, w))
	}
}

// eachFlow calls check for every source and frontend, see eachOf.
func (s *stage) eachFlow(check func(place, frontend)) { s.eachOf(everyFrontend, check) }

// eachOf calls check for every source and some frontends, at the same time: refusals take a second each. The lab's
// packets come back so fast that the connecting socket is still busy with its SYN and takes an ICMP error for a hint.
func (s *stage) eachOf(frontends []frontend, check func(place, frontend)) {
	var wg sync.WaitGroup
	for _, from := range s.places() {
		for _, f := range frontends {
			wg.Go(func() { check(from, f) })
		}
	}
	wg.Wait()
}

// all tries every way at the same time and waits until each has succeeded once.
func (s *stage) all(ways []way, what string, check func(way) error) {
	s.t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	left := slices.Clone(ways)
	s.soon(what, func() error {
		errs := make(map[way]error)
		for _, w := range left {
			wg.Go(func() {
				err := check(w)
				mu.Lock()
				defer mu.Unlock()
				errs[w] = err
			})
		}
		wg.Wait()
		left = slices.DeleteFunc(left, func(w way) bool { return errs[w] == nil })
		var list []error
		for _, w := range left {
			list = append(list, fmt.Errorf("%s: %w", w, errs[w]))
		}
		return errors.Join(list...)
	})
}

// sometimes is true when check succeeds at least once in as many tries as it takes to reach every one of two endpoints.
func (s *stage) sometimes(check func() error) error {
	var err error
	for range asks(2) {
		if err = check(); err == nil {
			return nil
		}
	}
	return err
}
