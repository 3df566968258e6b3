//go:build linux

package e2e

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// TestSchedulers changes the scheduler by restarting the daemon, as an operator would, and shows that
// each does what its name says. The virtual server is edited in place: an open connection stays.
func TestSchedulers(t *testing.T) {
	s := newScene(t)
	s.golang(s.a, s.b, s.c)
	d := start(t, s.node, s.config())
	d.waitReals(web4, 3)
	open := s.hold("a")
	for _, scheduler := range []struct {
		name  string
		check func(*scene, *daemon)
	}{
		{"wrr", func(s *scene, _ *daemon) {
			s.evenly(s.spread(s.caller.Namespace, "tcp", web4, 30), 10, "a", "b", "c")
		}},
		{"lc", (*scene).leastConnections},
		{"sh", (*scene).sourceHash},
		{"mh", (*scene).maglevHash},
	} {
		t.Run(scheduler.name, func(t *testing.T) {
			d.stop()
			d = start(s.t, s.node, s.config("ipvs: {scheduler: "+scheduler.name+"}"))
			d.eventually("on the new scheduler", func() error {
				if table := ipvs(t, s.node); !strings.Contains(table, "-A -t "+web4+" -s "+scheduler.name) {
					return fmt.Errorf("the table is\n%s", table)
				}
				return nil
			})
			if err := open.Ping(); err != nil {
				t.Errorf("the connection that was opened under rr: %v", err)
			}
			sub := s.in(t)
			scheduler.check(sub, d)
		})
	}
}

// leastConnections holds connections and shows that new ones go where fewer are.
func (s *scene) leastConnections(*daemon) {
	var held []*lab.Held
	defer func() {
		for _, h := range held {
			_ = h.Close()
		}
	}()
	counts := map[string]int{"a": 1} // the one that TestSchedulers keeps open
	for range 8 {
		h, err := lab.Hold(s.t.Context(), s.caller.Namespace, web4)
		must(s.t, err)
		held = append(held, h)
		counts[h.Answer.Server]++
	}
	if !maps.Equal(counts, map[string]int{"a": 3, "b": 3, "c": 3}) {
		s.t.Errorf("9 open connections are spread %v, want 3 each", counts)
	}
}

// sourceHash shows that a client keeps its server, and that a draining one refuses nobody.
func (s *scene) sourceHash(d *daemon) {
	for _, from := range s.everywhere() {
		if counts := s.spread(from, "tcp", web4, 9); len(counts) != 1 {
			s.t.Errorf("under sh %s reached %v, want one server", from.Name, counts)
		}
	}
	keep, err := lab.Hold(s.t.Context(), s.caller.Namespace, web4)
	must(s.t, err)
	left := map[string]*lab.Pod{"a": s.a, "b": s.b, "c": s.c}
	delete(left, keep.Answer.Server)
	var pods []*lab.Pod
	var names []string
	for name, pod := range left {
		pods, names = append(pods, pod), append(names, name)
	}
	s.api.endpoints("golang-ex", pods...)
	d.waitReals(web4, 2)
	s.onlyFrom(s.spread(s.caller.Namespace, "tcp", web4, 9), names...)
	if err := keep.Ping(); err != nil {
		s.t.Errorf("the open connection to a draining server under sh: %v", err)
	}
	must(s.t, keep.Close())
	s.api.endpoints("golang-ex", s.a, s.b, s.c)
	d.waitReals(web4, 3)
}

// maglevHash shows that a client keeps its server when another one goes.
func (s *scene) maglevHash(d *daemon) {
	before := s.spread(s.caller.Namespace, "tcp", web4, 9)
	if len(before) != 1 {
		s.t.Fatalf("under mh one client reached %v, want one server", before)
	}
	pods := map[string]*lab.Pod{"a": s.a, "b": s.b, "c": s.c}
	stays := ""
	for name := range before {
		stays = name
	}
	for name := range pods {
		if name != stays {
			delete(pods, name) // the first other one
			break
		}
	}
	var left []*lab.Pod
	for _, pod := range pods {
		left = append(left, pod)
	}
	s.api.endpoints("golang-ex", left...)
	d.waitReals(web4, 2)
	s.evenly(s.spread(s.caller.Namespace, "tcp", web4, 9), 9, stays)
	s.api.endpoints("golang-ex", s.a, s.b, s.c)
	d.waitReals(web4, 3)
}

// TestAffinity shows that ClientIP affinity keeps a client at its endpoint, in both families, that it
// ends with the endpoint, and that it can be switched off while running.
func TestAffinity(t *testing.T) {
	s := newScene(t)
	s.api.service("golang-ex", []string{vip4, vip6}, func(svc *corev1.Service) {
		seconds := int32(600)
		svc.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
		svc.Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: &seconds}}
	})
	s.api.endpoints("golang-ex", s.a, s.b, s.c)
	d := start(t, s.node, s.config())
	for _, server := range []string{web4, web6, dns4, dns6} {
		d.waitReals(server, 3)
	}
	var first string
	for _, server := range []string{web4, web6} {
		counts := s.spread(s.caller.Namespace, "tcp", server, 9)
		if len(counts) != 1 {
			t.Errorf("with affinity, one client reached %v through %s", counts, server)
		}
		if server == web4 {
			for name := range counts {
				first = name
			}
		}
	}
	pods := map[string]*lab.Pod{"a": s.a, "b": s.b, "c": s.c}
	delete(pods, first)
	var left []*lab.Pod
	for _, pod := range pods {
		left = append(left, pod)
	}
	s.api.endpoints("golang-ex", left...)
	d.waitReals(web4, 2)
	if counts := s.spread(s.caller.Namespace, "tcp", web4, 9); len(counts) != 1 || counts[first] != 0 {
		t.Errorf("after its endpoint %s went, the client reached %v", first, counts)
	}
	services := s.api.client.CoreV1().Services(namespace)
	svc, err := services.Get(t.Context(), "golang-ex", metav1.GetOptions{})
	must(t, err)
	svc.Spec.SessionAffinity, svc.Spec.SessionAffinityConfig = corev1.ServiceAffinityNone, nil
	_, err = services.Update(t.Context(), svc, metav1.UpdateOptions{})
	must(t, err)
	d.eventually("without persistence", func() error {
		if table := ipvs(t, s.node); strings.Contains(table, " -p ") {
			return fmt.Errorf("the table is\n%s", table)
		}
		return nil
	})
	if counts := s.spread(s.client.Namespace, "tcp", web4, 4); len(counts) != 2 {
		t.Errorf("without affinity, a new client reached %v, want both endpoints", counts)
	}
}

// TestRemoteEndpoint reaches an endpoint on another node from every kind of client, with VIPs bound in
// either way, and checks whose address it sees: never the VIP.
func TestRemoteEndpoint(t *testing.T) {
	s := newScene(t)
	s.golang(s.remote)
	for _, bind := range []string{"address", "route"} {
		t.Run("bind "+bind, func(t *testing.T) {
			s := s.in(t)
			d := start(t, s.node, s.config("dummyInterface: {bind: "+bind+"}"))
			defer d.stop()
			d.waitReals(web4, 1)
			d.waitReals(dns6, 1)
			d.eventually("bound by "+bind, func() error { return s.boundBy(bind) })
			for _, from := range s.everywhere() {
				s.evenly(s.spread(from, "udp", dns4, 2), 2, "remote")
				s.evenly(s.spread(from, "udp", dns6, 2), 2, "remote")
			}
			for _, addr := range []string{web4, web6} {
				s.sees(s.caller.Namespace, addr, s.caller.Addrs...)
				s.sees(s.node.Namespace, addr, s.node.Addrs()...)
				s.sees(s.client.Namespace, addr, s.node.Addrs()...)
			}
		})
	}
}

// boundBy checks that the VIPs are bound in one way and not in the other any more.
func (s *scene) boundBy(bind string) error {
	addrs, err := s.node.Run(s.t.Context(), "ip", "-o", "addr", "show", "dev", "kube-ipvs0")
	must(s.t, err)
	routes := ""
	for _, family := range []string{"-4", "-6"} {
		out, err := s.node.Run(s.t.Context(), "ip", family, "route", "show", "table", "local", "dev", "kube-ipvs0", "proto", "70")
		must(s.t, err)
		routes += out
	}
	for _, vip := range []string{vip4, vip6} {
		byAddress, byRoute := strings.Contains(addrs, vip+"/"), strings.Contains(routes, vip)
		if byAddress != (bind == "address") || byRoute != (bind == "route") {
			return fmt.Errorf("%s: by address %v, by route %v\n%s%s", vip, byAddress, byRoute, addrs, routes)
		}
	}
	return nil
}

// TestRestart stops and starts the daemon under traffic: not one connection fails, and nothing is
// written when nothing has changed.
func TestRestart(t *testing.T) {
	s := newScene(t)
	s.golang(s.a, s.b, s.c)
	config := s.config()
	d := start(t, s.node, config)
	d.waitReals(web4, 3)
	d.waitReals(dns6, 3)
	held, err := lab.Hold(t.Context(), s.caller.Namespace, web4)
	must(t, err)
	before, err := s.node.Dump(t.Context())
	must(t, err)

	stopTraffic, result := make(chan struct{}), make(chan error, 1)
	go func() {
		n := 0
		for {
			select {
			case <-stopTraffic:
				if n == 0 {
					result <- fmt.Errorf("no request was made")
				}
				result <- nil
				return
			default:
			}
			if _, err := lab.Ask(t.Context(), s.client.Namespace, "tcp", web4); err != nil {
				result <- fmt.Errorf("request %d: %w", n+1, err)
				return
			}
			n++
		}
	}()
	d.stop()
	d = start(t, s.node, config)
	time.Sleep(2 * time.Second) // a write that should not be would come now
	close(stopTraffic)
	if err := <-result; err != nil {
		t.Errorf("traffic during the restart: %v", err)
	}
	must(t, held.Ping())
	if log := d.log.String(); strings.Contains(log, "msg=synced") {
		t.Errorf("the restart wrote to the kernel")
	}
	after, err := s.node.Dump(t.Context())
	must(t, err)
	if after != before {
		t.Errorf("before the restart:\n%+v\nafter:\n%+v", before, after)
	}
	metrics, err := d.get("10249", "/metrics")
	must(t, err)
	if !strings.Contains(metrics, `fairlead_syncs_total{result="error"} 0`) || !strings.Contains(metrics, "fairlead_services 2") {
		t.Errorf("the metrics do not say two Services and no error:\n%s", metrics)
	}
}
