package controller

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// service makes a Service with one TCP port 80 for each VIP, unless edited.
func service(name, vip string, edits ...func(*corev1.Service)) *corev1.Service {
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name},
		Spec: corev1.ServiceSpec{
			ClusterIP: vip, ClusterIPs: []string{vip},
			Ports: []corev1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}},
		},
	}
	for _, edit := range edits {
		edit(svc)
	}
	return svc
}

func udp(svc *corev1.Service) { svc.Spec.Ports[0].Protocol = corev1.ProtocolUDP }

func created(t time.Time) func(*corev1.Service) {
	return func(svc *corev1.Service) { svc.CreationTimestamp = metav1.NewTime(t) }
}

// endpoints makes one slice with these addresses, ready, at port 8080, on another node.
func endpoints(addrs ...string) *discoveryv1.EndpointSlice {
	tcp, udp, name, port, node := corev1.ProtocolTCP, corev1.ProtocolUDP, "http", int32(8080), "elsewhere"
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "ns", Name: "slice"},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports: []discoveryv1.EndpointPort{
			{Name: &name, Port: &port, Protocol: &tcp}, {Name: &name, Port: &port, Protocol: &udp},
		},
	}
	for _, addr := range addrs {
		if strings.Contains(addr, ":") {
			slice.AddressType = discoveryv1.AddressTypeIPv6
		}
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{addr}, NodeName: &node})
	}
	return slice
}

// here puts the slice's endpoints on this node.
func here(slice *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	node := nodeName
	for i := range slice.Endpoints {
		slice.Endpoints[i].NodeName = &node
	}
	return slice
}

func vip(n int) string      { return fmt.Sprintf("10.%d.%d.%d", 96+n>>16, n>>8&255, n&255) }
func endpoint(n int) string { return fmt.Sprintf("172.%d.%d.%d", 16+n>>16, n>>8&255, n&255) }

func typed(kind corev1.ServiceType) func(*corev1.Service) {
	return func(svc *corev1.Service) { svc.Spec.Type = kind }
}

// nodePort makes the Service one of type NodePort, unless it has a type that has node ports.
func nodePort(port int32) func(*corev1.Service) {
	return func(svc *corev1.Service) {
		if svc.Spec.Type != corev1.ServiceTypeLoadBalancer {
			svc.Spec.Type = corev1.ServiceTypeNodePort
		}
		svc.Spec.Ports[0].NodePort = port
	}
}

func loadBalancer(ips ...string) func(*corev1.Service) {
	return func(svc *corev1.Service) {
		svc.Spec.Type = corev1.ServiceTypeLoadBalancer
		for _, ip := range ips {
			svc.Status.LoadBalancer.Ingress = append(svc.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: ip})
		}
	}
}

func externalIPs(ips ...string) func(*corev1.Service) {
	return func(svc *corev1.Service) { svc.Spec.ExternalIPs = ips }
}

func dualStack(vip6 string) func(*corev1.Service) {
	return func(svc *corev1.Service) { svc.Spec.ClusterIPs = append(svc.Spec.ClusterIPs, vip6) }
}

func externalLocal(svc *corev1.Service) {
	svc.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
}

func internalLocal(svc *corev1.Service) {
	local := corev1.ServiceInternalTrafficPolicyLocal
	svc.Spec.InternalTrafficPolicy = &local
}

func sources(cidrs ...string) func(*corev1.Service) {
	return func(svc *corev1.Service) { svc.Spec.LoadBalancerSourceRanges = cidrs }
}

func annotated(key, value string) func(*corev1.Service) {
	return func(svc *corev1.Service) {
		if svc.Annotations == nil {
			svc.Annotations = make(map[string]string)
		}
		svc.Annotations[key] = value
	}
}

func labeled(key, value string) func(*corev1.Service) {
	return func(svc *corev1.Service) { svc.Labels = map[string]string{key: value} }
}

// nodeObject makes a Node with these addresses, all of them internal.
func nodeObject(name string, ips ...string) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}}}
	for _, ip := range ips {
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: ip})
	}
	return n
}

func named(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "ns", Name: name}
}
