//go:build linux

package e2e

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

const proxyNameLabel = "service.kubernetes.io/service-proxy-name"

// TestConformanceLifeCycle changes Services in every way while the proxy runs.
func TestConformanceLifeCycle(t *testing.T) {
	s := newConformance(t)
	s.row("service-proxy-name on and off", func(s *stage) {
		v := s.serve(everyFrontend)
		v.pods(s.a)
		s.settle()
		s.reaches(s.outside(), v, balancer, nil, "a")
		v.update(func(svc *corev1.Service) { svc.Labels = map[string]string{proxyNameLabel: "another"} })
		s.settle()
		for _, f := range everyFrontend {
			s.gone(s.pod(), v.at(f, tcp4))
		}
		v.update(func(svc *corev1.Service) { svc.Labels = nil })
		s.settle()
		s.reaches(s.outside(), v, balancer, nil, "a")
		s.reaches(s.pod(), v, clusterIP, nil, "a")
	})
	s.row("service-proxy-name from the beginning", func(s *stage) {
		v := s.serve(everyFrontend, func(svc *corev1.Service) { svc.Labels = map[string]string{proxyNameLabel: ""} })
		v.pods(s.a)
		s.settle()
		s.gone(s.pod(), v.at(clusterIP, tcp4))
		s.gone(s.outside(), v.at(nodePort, tcp4))
	})
	s.row("type changes", func(s *stage) { s.typeChanges() })
	s.row("headless", func(s *stage) {
		v := s.serve(nil, func(svc *corev1.Service) { svc.Spec.ClusterIP, svc.Spec.ClusterIPs = "None", []string{"None"} })
		v.pods(s.a)
		s.settle()
		s.gone(s.pod(), v.at(clusterIP, tcp4))
	})
	s.row("one family only", func(s *stage) {
		v := s.serve([]frontend{nodePort}, func(svc *corev1.Service) {
			single := corev1.IPFamilyPolicySingleStack
			svc.Spec.IPFamilyPolicy, svc.Spec.IPFamilies, svc.Spec.ClusterIPs = &single, svc.Spec.IPFamilies[:1], svc.Spec.ClusterIPs[:1]
		})
		v.pods(s.a)
		s.settle()
		s.all([]way{tcp4, udp4}, "IPv4", func(w way) error { return s.reach(s.outside(), w.network, v.at(nodePort, w), nil, "a") })
		s.gone(s.pod(), v.at(clusterIP, tcp6))
		s.gone(s.outside(), v.at(nodePort, tcp6))
	})
	s.row("a port gets another name", func(s *stage) {
		v := s.serve(everyFrontend)
		v.pods(s.a)
		s.settle()
		v.update(func(svc *corev1.Service) { svc.Spec.Ports[0].Name, svc.Spec.Ports[1].Name = "www", "names" })
		v.pods(s.a)
		s.settle()
		for _, f := range everyFrontend {
			s.reaches(s.outside(), v, f, nil, "a")
		}
	})
	s.row("two ports swap their names", func(s *stage) {
		v := s.serve(nil, func(svc *corev1.Service) { svc.Spec.Ports[1].Port = 8080 })
		v.pods(s.a)
		s.settle()
		v.update(func(svc *corev1.Service) { svc.Spec.Ports[0].Name, svc.Spec.Ports[1].Name = "dns", "web" })
		v.pods(s.a)
		s.settle()
		s.reaches(s.pod(), v, clusterIP, nil, "a")
	})
	s.row("a port gets another number", func(s *stage) {
		v := s.serve(everyFrontend)
		v.pods(s.a)
		s.settle()
		old := v.at(clusterIP, tcp4)
		oldNode := v.at(nodePort, tcp4)
		v.update(func(svc *corev1.Service) { svc.Spec.Ports[0].Port, svc.Spec.Ports[0].NodePort = 8088, 31888 })
		s.settle()
		for _, f := range everyFrontend {
			s.reaches(s.outside(), v, f, nil, "a")
		}
		s.gone(s.pod(), old)
		s.gone(s.outside(), oldNode)
	})
	s.row("deleted and made again", func(s *stage) {
		v := s.serve(everyFrontend)
		v.pods(s.a)
		s.settle()
		node := v.at(nodePort, tcp4)
		v.delete()
		s.settle()
		for _, addr := range []string{v.at(clusterIP, tcp4), v.at(balancer, tcp4), v.at(externalIP, tcp4), node} {
			s.gone(s.outside(), addr)
		}
	})
}

// typeChanges leads one Service through all types and back.
func (s *stage) typeChanges() {
	v := s.serve(nil)
	v.pods(s.a)
	cluster := []string{fmt.Sprintf(clusterNet4, v.number), fmt.Sprintf(clusterNet6, v.number)}
	families := v.object.Spec.IPFamilies
	nodeAddr := ""
	for _, step := range []struct {
		to     corev1.ServiceType
		served []frontend
	}{
		{corev1.ServiceTypeNodePort, []frontend{clusterIP, nodePort}},
		{corev1.ServiceTypeLoadBalancer, []frontend{clusterIP, nodePort, balancer}},
		{corev1.ServiceTypeExternalName, nil},
		{corev1.ServiceTypeClusterIP, []frontend{clusterIP}},
		{corev1.ServiceTypeLoadBalancer, []frontend{clusterIP, nodePort, balancer}},
		{corev1.ServiceTypeClusterIP, []frontend{clusterIP}},
	} {
		v.update(func(svc *corev1.Service) {
			svc.Spec.Type = step.to
			policy := corev1.IPFamilyPolicyRequireDualStack
			switch step.to {
			case corev1.ServiceTypeExternalName:
				svc.Spec.ExternalName, svc.Spec.ClusterIP, svc.Spec.ClusterIPs, svc.Spec.IPFamilies, svc.Spec.IPFamilyPolicy = "example.com", "", nil, nil, nil
				svc.Spec.InternalTrafficPolicy, svc.Spec.ExternalTrafficPolicy, svc.Spec.AllocateLoadBalancerNodePorts = nil, "", nil
				for i := range svc.Spec.Ports {
					svc.Spec.Ports[i].NodePort = 0
				}
			case corev1.ServiceTypeClusterIP:
				svc.Spec.ExternalName, svc.Spec.ClusterIP, svc.Spec.ClusterIPs, svc.Spec.IPFamilies, svc.Spec.IPFamilyPolicy = "", cluster[0], cluster, families, &policy
				svc.Spec.ExternalTrafficPolicy, svc.Spec.AllocateLoadBalancerNodePorts = "", nil
				for i := range svc.Spec.Ports {
					svc.Spec.Ports[i].NodePort = 0
				}
			}
		})
		if step.to == corev1.ServiceTypeLoadBalancer {
			v.ingress(corev1.LoadBalancerIngress{IP: fmt.Sprintf(balancer4, v.number)}, corev1.LoadBalancerIngress{IP: fmt.Sprintf(balancer6, v.number)})
		}
		s.settle()
		for _, f := range everyFrontend[:3] {
			switch {
			case slices.Contains(step.served, f):
				s.reaches(s.outside(), v, f, nil, "a")
			case f == nodePort && nodeAddr != "":
				s.gone(s.outside(), nodeAddr)
			case f != nodePort:
				s.gone(s.outside(), v.at(f, tcp4))
			}
		}
		if slices.Contains(step.served, nodePort) {
			nodeAddr = v.at(nodePort, tcp4)
		}
	}
}
