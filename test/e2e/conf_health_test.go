//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// page is a health page as its reader sees it.
type page struct {
	code   int
	header http.Header
	body   string
}

// fetch reads a page from a place.
func fetch(from place, url string) (page, error) {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: from.ns.DialContext, DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return page{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return page{response.StatusCode, response.Header, string(body)}, err
}

// healthOf is what a health check node port has to say.
func (p page) healthOf(v *svc, local int) error {
	code := http.StatusOK
	if local == 0 {
		code = http.StatusServiceUnavailable
	}
	var body struct {
		Service             struct{ Namespace, Name string }
		LocalEndpoints      int
		ServiceProxyHealthy bool
	}
	if err := json.Unmarshal([]byte(p.body), &body); err != nil {
		return fmt.Errorf("%w: %s", err, p.body)
	}
	if p.code != code || body.Service.Namespace != namespace || body.Service.Name != v.name || body.LocalEndpoints != local || !body.ServiceProxyHealthy {
		return fmt.Errorf("%d %s, want %d and %d endpoints of %s", p.code, p.body, code, local, v.name)
	}
	for key, want := range map[string]string{"Content-Type": "application/json", "X-Content-Type-Options": "nosniff", "X-Load-Balancing-Endpoint-Weight": strconv.Itoa(local)} {
		if got := p.header.Get(key); got != want {
			return fmt.Errorf("header %s: %q, want %q", key, got, want)
		}
	}
	return nil
}

// TestConformanceHealthCheckNodePort asks from outside, as a load balancer does.
func TestConformanceHealthCheckNodePort(t *testing.T) {
	s := newConformance(t)
	healthy := func(s *stage, v *svc, local int) {
		s.t.Helper()
		for _, addr := range s.node.Addrs() {
			for _, path := range []string{"", "/healthz", "/any/path"} {
				url := "http://" + net.JoinHostPort(addr.String(), strconv.Itoa(int(v.object.Spec.HealthCheckNodePort))) + path
				s.soon(url, func() error {
					p, err := fetch(s.outside(), url)
					if err != nil {
						return err
					}
					return p.healthOf(v, local)
				})
			}
		}
	}
	s.row("counts ready local endpoints", func(s *stage) {
		v := s.serve([]frontend{balancer}, externalLocal)
		for _, step := range []struct {
			endpoints []endpoint
			local     int
		}{
			{nil, 0},
			{[]endpoint{ready(s.a), ready(s.b), ready(s.remote)}, 2},
			{[]endpoint{ready(s.a), notReady(s.b), ready(s.remote)}, 1},
			{[]endpoint{leaving(s.a), ready(s.remote)}, 0}, // it still serves, and wants no new clients
			{[]endpoint{ready(s.remote)}, 0},
			{[]endpoint{ready(s.a)}, 1},
		} {
			v.endpoints(step.endpoints...)
			s.settle()
			healthy(s, v, step.local)
		}
	})
	s.row("goes with the Service, and with the policy", func(s *stage) {
		v := s.serve([]frontend{balancer}, externalLocal)
		v.pods(s.a)
		s.settle()
		healthy(s, v, 1)
		port := v.object.Spec.HealthCheckNodePort
		v.update(func(svc *corev1.Service) {
			svc.Spec.ExternalTrafficPolicy, svc.Spec.HealthCheckNodePort = corev1.ServiceExternalTrafficPolicyCluster, 0
		})
		s.settle()
		s.soon("nobody listens", func() error {
			return s.refuses(s.outside(), "tcp", addrPort(s.node.Addr4, uint16(port)).String())
		})
	})
	s.row("a port that is taken is an event, and taken over", func(s *stage) {
		const port = 31777
		var servers []*lab.Server
		for _, addr := range s.node.Addrs() {
			server, err := s.node.ServeTCP(addrPort(addr, port).String(), "host")
			must(s.t, err)
			servers = append(servers, server)
		}
		v := s.serve([]frontend{balancer}, externalLocal, func(svc *corev1.Service) { svc.Spec.HealthCheckNodePort = port })
		v.pods(s.a)
		s.settle()
		s.warned(v)
		for _, server := range servers {
			must(s.t, server.Close())
		}
		v.pods(s.a, s.b)
		s.settle()
		s.within(time.Minute, "taken over", func() error {
			p, err := fetch(s.outside(), "http://"+addrPort(s.node.Addr4, port).String()+"/")
			if err != nil {
				return err
			}
			return p.healthOf(v, 2)
		})
	})
	s.run(setup{nodePorts: []string{"0.0.0.0/0", "::/0"}}) // at the node's addresses alone it answers nowhere else
	s.row("answers at the load balancer's IP, and past the node's firewall", func(s *stage) {
		v := s.serve([]frontend{balancer}, externalLocal)
		v.pods(s.a)
		s.settle()
		port := strconv.Itoa(int(v.object.Spec.HealthCheckNodePort))
		ask := func(addr string) error {
			p, err := fetch(s.outside(), "http://"+net.JoinHostPort(addr, port))
			if err != nil {
				return err
			}
			return p.healthOf(v, 1)
		}
		for _, ingress := range v.object.Status.LoadBalancer.Ingress {
			s.soon(ingress.IP, func() error { return ask(ingress.IP) })
		}
		if mode, _ := peerMode(); mode == "nftables" {
			return // it accepts in a table of its own, which does not help where another one drops
		}
		firewall := []string{"INPUT", "-p", "tcp", "--dport", port, "-m", "conntrack", "--ctstate", "NEW", "-j", "DROP"}
		_, err := s.node.Run(s.t.Context(), "iptables", append([]string{"-A"}, firewall...)...)
		must(s.t, err)
		defer func() {
			_, err := s.node.Run(s.t.Context(), "iptables", append([]string{"-D"}, firewall...)...)
			must(s.t, err)
		}()
		s.soon("the node's address", func() error { return ask(s.node.Addr4.String()) })
	})
}

// TestConformanceNodeEligible marks the Node for removal, as the cluster autoscaler does.
func TestConformanceNodeEligible(t *testing.T) {
	s := newConformance(t)
	expect := func(s *stage, path string, code int, eligible any) {
		s.t.Helper()
		s.within(30*time.Second, path, func() error {
			p, err := fetch(s.outside(), "http://"+addrPort(s.node.Addr4, 10256).String()+path)
			if err != nil {
				return err
			}
			body := make(map[string]any)
			if err := json.Unmarshal([]byte(p.body), &body); err != nil {
				return err
			}
			if p.code != code || body["nodeEligible"] != eligible || body["lastUpdated"] == nil || body["currentTime"] == nil {
				return fmt.Errorf("%d %s, want %d and nodeEligible %v", p.code, p.body, code, eligible)
			}
			return nil
		})
	}
	taint := func(s *stage, taints ...corev1.Taint) {
		s.t.Helper()
		s.changeNode(func(node *corev1.Node) { node.Spec.Taints = taints })
	}
	s.row("without the taint", func(s *stage) {
		expect(s, "/healthz", http.StatusOK, true)
		expect(s, "/livez", http.StatusOK, nil)
	})
	s.row("with the taint", func(s *stage) {
		taint(s, corev1.Taint{Key: "ToBeDeletedByClusterAutoscaler", Effect: corev1.TaintEffectNoSchedule})
		expect(s, "/healthz", http.StatusServiceUnavailable, false)
		expect(s, "/livez", http.StatusOK, nil)
	})
	s.row("without it again", func(s *stage) {
		taint(s)
		expect(s, "/healthz", http.StatusOK, true)
	})
}

// changeNode edits the first node's object.
func (s *stage) changeNode(edit func(*corev1.Node)) {
	s.t.Helper()
	nodes := s.api.client.CoreV1().Nodes()
	node, err := nodes.Get(s.t.Context(), "node1", metav1.GetOptions{})
	must(s.t, err)
	edit(node)
	_, err = nodes.Update(s.t.Context(), node, metav1.UpdateOptions{})
	must(s.t, err)
}
