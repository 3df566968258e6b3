//go:build linux

package e2e

import (
	"context"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestConformanceNodeFacts changes the Node and its addresses while the proxy runs, and expects it to follow.
func TestConformanceNodeFacts(t *testing.T) {
	s := newStage(t)
	// Each row has a proxy of its own: one that ends at such a change fails that row and no other.
	row := func(name string, test func(*stage)) {
		s.row(name, func(s *stage) {
			s.run(setup{nodePorts: []string{"primary"}})
			test(s)
		})
	}
	row("another zone", func(s *stage) {
		v := s.serve(nil)
		v.endpoints(ready(s.a).forZone("zone-1"), ready(s.remote).forZone("zone-2"))
		s.settle()
		s.reaches(s.pod(), v, clusterIP, nil, "a")
		for _, step := range []struct {
			zone string
			want []string
		}{{"zone-2", []string{"remote"}}, {"", []string{"a", "remote"}}, {"zone-1", []string{"a"}}} {
			s.changeNode(func(node *corev1.Node) {
				node.Labels = map[string]string{corev1.LabelTopologyZone: step.zone}
				if step.zone == "" {
					node.Labels = nil
				}
			})
			s.settle()
			s.reaches(s.pod(), v, clusterIP, nil, step.want...)
		}
	})
	row("another address", func(s *stage) {
		v := s.serve([]frontend{nodePort})
		v.pods(s.a, s.remote)
		s.moreAddresses(later4, later6)
		s.settle()
		s.nodePortServed(s.outside(), v, later4, later6, false)
		s.t.Cleanup(func() { s.nodeAddresses(s.node.Addr4.String(), s.node.Addr6.String()) })
		s.nodeAddresses(later4, later6)
		s.within(30*time.Second, "primary follows the Node", func() error {
			return s.reach(s.outside(), "tcp", v.nodePortAt(tcp4, later4, later6), nil, "a", "remote")
		})
		s.nodePortServed(s.outside(), v, later4, later6, true)
		s.nodeAddresses(s.node.Addr4.String(), s.node.Addr6.String())
		s.within(30*time.Second, "and back", func() error {
			return s.reach(s.outside(), "tcp", v.nodePortAt(tcp4, s.node.Addr4.String(), ""), nil, "a", "remote")
		})
	})
	row("the Node goes and comes", func(s *stage) {
		v := s.serve(everyFrontend)
		v.pods(s.a)
		s.settle()
		must(s.t, s.api.client.CoreV1().Nodes().Delete(s.t.Context(), "node1", metav1.DeleteOptions{}))
		v.pods(s.b)
		s.settle()
		s.reaches(s.outside(), v, balancer, nil, "b")
		s.api.node(s.node, "node1", inZone("zone-1", s.node))
		v.pods(s.a)
		s.settle()
		for _, f := range everyFrontend {
			s.reaches(s.outside(), v, f, nil, "a")
		}
	})
}

// nodeAddresses sets the first node's InternalIPs.
func (s *stage) nodeAddresses(list ...string) {
	s.t.Helper()
	nodes := s.api.client.CoreV1().Nodes()
	node, err := nodes.Get(context.Background(), "node1", metav1.GetOptions{}) // at the end of a row, too
	must(s.t, err)
	node.Status.Addresses = nil
	for _, addr := range list {
		node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: addr})
	}
	_, err = nodes.UpdateStatus(context.Background(), node, metav1.UpdateOptions{})
	must(s.t, err)
}
