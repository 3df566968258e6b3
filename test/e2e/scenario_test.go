//go:build linux

package e2e

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/test/lab"
)

func addrPort(addr netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(addr, port) }

// TestTheNote is the scenario of the original note, from one endpoint to three and back to nothing.
// Its parts build on each other.
func TestTheNote(t *testing.T) {
	s := newScene(t)
	ctx := t.Context()
	before, err := s.node.Dump(ctx)
	must(t, err)
	config := s.config()
	d := start(t, s.node, config)

	t.Run("one endpoint answers pod, node and outside client", func(t *testing.T) {
		s := s.in(t)
		s.golang(s.a)
		d.waitReals(web4, 1)
		for _, from := range s.everywhere() {
			s.evenly(s.spread(from, "tcp", web4, 2), 2, "a")
			s.evenly(s.spread(from, "udp", dns4, 2), 2, "a")
			s.evenly(s.spread(from, "tcp", web6, 2), 2, "a")
			s.evenly(s.spread(from, "udp", dns6, 2), 2, "a")
		}
	})
	t.Run("rr shares 300 requests as 100 each", func(t *testing.T) {
		s := s.in(t)
		s.api.endpoints("golang-ex", s.a, s.b, s.c)
		for _, server := range []string{web4, dns4, web6, dns6} {
			d.waitReals(server, 3)
		}
		s.evenly(s.spread(s.caller.Namespace, "tcp", web4, 300), 100, "a", "b", "c")
		for _, from := range s.everywhere() {
			for network, addrs := range map[string][]string{"tcp": {web4, web6}, "udp": {dns4, dns6}} {
				for _, addr := range addrs {
					s.evenly(s.spread(from, network, addr, 9), 3, "a", "b", "c")
				}
			}
		}
	})
	t.Run("sources", func(t *testing.T) { s.in(t).sources() })
	t.Run("a host process does not answer on a VIP", func(t *testing.T) { s.in(t).hostProcess() })
	t.Run("a removed endpoint gets no new connections and keeps the open one", func(t *testing.T) { s.in(t).removeEndpoint(d) })
	t.Run("a removed Service refuses new connections and keeps the open one", func(t *testing.T) { s.in(t).removeService(d) })
	t.Run("there is nothing to plan", func(t *testing.T) { must(t, nothingPlanned(t, s.node, config)) })
	t.Run("cleanup leaves nothing", func(t *testing.T) {
		d.stop()
		out, err := s.node.Run(ctx, mustEnv(t, "FAIRLEAD_TEST_BIN"), "cleanup", "--config", config)
		must(t, err)
		t.Log(out)
		after, err := s.node.Dump(ctx)
		must(t, err)
		if after != before {
			t.Errorf("before:\n%+v\nafter:\n%+v", before, after)
		}
	})
}

// in returns the scene for a subtest.
func (s *scene) in(t testing.TB) *scene {
	sub := *s
	sub.t = t
	api := *s.api
	api.t = t
	sub.api = &api
	return &sub
}

// everywhere lists the three kinds of client.
func (s *scene) everywhere() []*lab.Namespace {
	return []*lab.Namespace{s.caller.Namespace, s.node.Namespace, s.client.Namespace}
}

// sources checks whose address the endpoints see: pods their own, the node's traffic an address of
// the node, outsiders masqueraded, and an endpoint that reaches itself the node's.
func (s *scene) sources() {
	for _, addr := range []string{web4, web6} {
		s.sees(s.caller.Namespace, addr, s.caller.Addrs...)
		s.sees(s.node.Namespace, addr, s.node.Addrs()...)
		s.sees(s.client.Namespace, addr, s.node.Addrs()...)
		itself := 0
		for range 6 {
			answer, err := lab.Ask(s.t.Context(), s.a.Namespace, "tcp", addr)
			if err != nil {
				s.t.Errorf("from an endpoint to %s: %v", addr, err)
				continue
			}
			want := s.a.Addrs
			if answer.Server == "a" {
				itself++
				want = s.node.Addrs()
			}
			if !contains(want, answer.Client.Addr()) {
				s.t.Errorf("endpoint a asked %s: %s saw %s, want one of %v", addr, answer.Server, answer.Client, want)
			}
		}
		if itself != 2 {
			s.t.Errorf("endpoint a reached itself through %s %d times of 6, want 2", addr, itself)
		}
	}
}

func (s *scene) sees(from *lab.Namespace, addr string, want ...netip.Addr) {
	s.t.Helper()
	answer, err := lab.Ask(s.t.Context(), from, "tcp", addr)
	if err != nil || !contains(want, answer.Client.Addr()) {
		s.t.Errorf("%s asked %s: the endpoint saw %s (%v), want one of %v", from.Name, addr, answer.Client, err, want)
	}
}

func contains(list []netip.Addr, addr netip.Addr) bool {
	for _, a := range list {
		if a == addr {
			return true
		}
	}
	return false
}

// hostProcess checks the guard: what listens on all addresses of the node answers there, and not on
// a VIP; and a VIP may be pinged.
func (s *scene) hostProcess() {
	tcp, err := s.node.ServeTCP("[::]:9999", "host")
	must(s.t, err)
	defer tcp.Close()
	tcp4, err := s.node.ServeTCP("0.0.0.0:9998", "host")
	must(s.t, err)
	defer tcp4.Close()
	for _, from := range s.everywhere() {
		s.evenly(s.spread(from, "tcp", addrPort(s.node.Addr4, 9998).String(), 1), 1, "host")
		s.evenly(s.spread(from, "tcp", addrPort(s.node.Addr6, 9999).String(), 1), 1, "host")
		s.refused(from, "tcp", vip4+":9998")
		s.refused(from, "tcp", "["+vip6+"]:9999")
		s.refused(from, "udp", vip4+":9998")
		for _, vip := range []string{vip4, vip6} {
			if _, err := from.Run(s.t.Context(), "ping", "-c", "1", "-W", "3", vip); err != nil {
				s.t.Errorf("ping %s from %s: %v", vip, from.Name, err)
			}
		}
	}
}

func (s *scene) removeEndpoint(d *daemon) {
	held := s.hold("a")
	s.api.endpoints("golang-ex", s.b, s.c)
	d.waitReals(web4, 2)
	d.waitReals(dns4, 2)
	s.evenly(s.spread(s.caller.Namespace, "tcp", web4, 10), 5, "b", "c")
	s.evenly(s.spread(s.caller.Namespace, "udp", dns4, 10), 5, "b", "c")
	if err := held.Ping(); err != nil {
		s.t.Errorf("the open connection to the removed endpoint: %v", err)
	}
	table := ipvs(s.t, s.node)
	if !strings.Contains(table, "-a -t "+web4+" -r 172.17.0.2:8080 -m -w 0") {
		s.t.Errorf("the removed real server does not drain:\n%s", table)
	}
	if strings.Contains(table, "-a -u "+dns4+" -r 172.17.0.2:5353") {
		s.t.Errorf("the removed UDP real server lingers:\n%s", table)
	}
	s.api.endpoints("golang-ex", s.a, s.b, s.c) // it comes back while it drains
	d.waitReals(web4, 3)
	if err := held.Ping(); err != nil {
		s.t.Errorf("the open connection to the returned endpoint: %v", err)
	}
	must(s.t, held.Close())
}

// hold opens a connection that is answered by the named endpoint.
func (s *scene) hold(name string) *lab.Held {
	s.t.Helper()
	for range 20 {
		held, err := lab.Hold(s.t.Context(), s.caller.Namespace, web4)
		must(s.t, err)
		if held.Answer.Server == name {
			return held
		}
		must(s.t, held.Close())
	}
	s.t.Fatalf("no connection reached %s", name)
	return nil
}

func (s *scene) removeService(d *daemon) {
	held := s.hold("b")
	s.api.deleteService("golang-ex")
	d.waitReals(web4, 0)
	for _, from := range s.everywhere() {
		s.refused(from, "tcp", web4)
		s.refused(from, "udp", dns4)
	}
	if err := held.Ping(); err != nil {
		s.t.Errorf("the open connection to the removed Service: %v", err)
	}
	must(s.t, held.Close())
	out, err := s.node.Run(s.t.Context(), "ipvsadm", "-Lnc")
	must(s.t, err)
	s.t.Logf("connections after the last one was closed:\n%s", out)
}
