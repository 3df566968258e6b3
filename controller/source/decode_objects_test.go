package source

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func ptr[T any](value T) *T { return &value }

// fullMeta is metadata as an API server sends it.
func fullMeta(name string, labels, annotations map[string]string) metav1.ObjectMeta {
	at := metav1.Unix(1_790_000_000, 0)
	meta := metav1.ObjectMeta{
		Name: name, GenerateName: name + "-", Namespace: "shop", UID: types.UID("0c2f7a1e-5f6b-4a53-9a3e-" + name),
		ResourceVersion: "4711", Generation: 3, CreationTimestamp: at, DeletionGracePeriodSeconds: ptr(int64(30)),
		Labels: labels, Annotations: annotations,
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Service", Name: "web", UID: "1", Controller: ptr(true)}},
		Finalizers:      []string{"service.kubernetes.io/load-balancer-cleanup"},
		ManagedFields: []metav1.ManagedFieldsEntry{{
			Manager: "kube-controller-manager", Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", Time: &at, FieldsType: "FieldsV1",
			FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:annotations":{".":{},"f:kubectl.kubernetes.io/last-applied-configuration":{}}},"f:spec":{"f:ports":{}}}`),
		}},
	}
	meta.SetSelfLink("/somewhere")
	return meta
}

// plainService is what most Services are like.
func plainService(name string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: fullMeta(name, map[string]string{"app": name, "team": "shop"},
			map[string]string{"kubectl.kubernetes.io/last-applied-configuration": strings.Repeat("x", 400)}),
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, ClusterIP: "10.96.17.4", ClusterIPs: []string{"10.96.17.4"},
			Selector:        map[string]string{"app": name},
			SessionAffinity: corev1.ServiceAffinityNone, InternalTrafficPolicy: ptr(corev1.ServiceInternalTrafficPolicyCluster),
			IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}, IPFamilyPolicy: ptr(corev1.IPFamilyPolicySingleStack),
			Ports: []corev1.ServicePort{{Name: "http", Protocol: corev1.ProtocolTCP, Port: 80, TargetPort: intstr.FromInt32(8080)}},
		},
	}
}

// fullService has everything that a Service can have.
func fullService() *corev1.Service {
	svc := plainService("web")
	svc.Labels[proxyNameLabel] = "other"
	svc.Annotations["fairlead.io/scheduler"] = "mh"
	svc.Annotations["fairlead.io/"] = ""
	svc.Annotations[corev1.EndpointsLastChangeTriggerTime] = "2026-11-30T12:00:00Z"
	svc.DeletionTimestamp = ptr(metav1.Unix(1_790_000_001, 0))
	s := &svc.Spec
	s.Type, s.ClusterIPs = corev1.ServiceTypeLoadBalancer, []string{"10.96.17.4", "fd00::4"}
	s.ExternalIPs, s.LoadBalancerIP = []string{"192.0.2.1", "192.0.2.2"}, "192.0.2.3"
	s.LoadBalancerSourceRanges = []string{"198.51.100.0/24", " 2001:db8::/32"}
	s.ExternalName, s.ExternalTrafficPolicy, s.HealthCheckNodePort = "example.com", corev1.ServiceExternalTrafficPolicyLocal, 31999
	s.PublishNotReadyAddresses, s.SessionAffinity = true, corev1.ServiceAffinityClientIP
	s.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: ptr(int32(77))}}
	s.IPFamilies = append(s.IPFamilies, corev1.IPv6Protocol)
	s.IPFamilyPolicy = ptr(corev1.IPFamilyPolicyRequireDualStack)
	s.AllocateLoadBalancerNodePorts, s.LoadBalancerClass = ptr(true), ptr("example.com/lb")
	s.InternalTrafficPolicy = ptr(corev1.ServiceInternalTrafficPolicyLocal)
	s.TrafficDistribution = ptr(corev1.ServiceTrafficDistributionPreferSameNode)
	s.Ports[0].NodePort, s.Ports[0].AppProtocol = 30080, ptr("http")
	s.Ports = append(s.Ports, corev1.ServicePort{Name: "dns", Protocol: corev1.ProtocolUDP, Port: 53, NodePort: 30053, TargetPort: intstr.FromString("dns")})
	svc.Status = corev1.ServiceStatus{
		LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{
			{IP: "203.0.113.1", IPMode: ptr(corev1.LoadBalancerIPModeVIP), Ports: []corev1.PortStatus{{Port: 80, Protocol: corev1.ProtocolTCP, Error: ptr("none")}}},
			{IP: "203.0.113.2", IPMode: ptr(corev1.LoadBalancerIPModeProxy)},
			{Hostname: "lb.example.com"},
		}},
		Conditions: []metav1.Condition{{Type: "Ready", Status: "True", LastTransitionTime: metav1.Unix(1_790_000_002, 0), Reason: "r", Message: "m"}},
	}
	return svc
}

// plainSlice is what most EndpointSlices are like.
func plainSlice(name string, endpoints int) *discoveryv1.EndpointSlice {
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: fullMeta(name+"-x7k2p", map[string]string{
			discoveryv1.LabelServiceName: name, discoveryv1.LabelManagedBy: "endpointslice-controller.k8s.io", "app": name,
		}, map[string]string{corev1.EndpointsLastChangeTriggerTime: "2026-11-30T12:00:00Z"}),
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr("http"), Protocol: ptr(corev1.ProtocolTCP), Port: ptr(int32(8080))}},
	}
	for n := range endpoints {
		node, zone := fmt.Sprintf("node-%d", n%7), fmt.Sprintf("zone-%d", n%3)
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses:  []string{fmt.Sprintf("10.244.%d.%d", n/250, n%250+1)},
			Conditions: discoveryv1.EndpointConditions{Ready: ptr(true), Serving: ptr(true), Terminating: ptr(false)},
			NodeName:   &node, Zone: &zone,
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: fmt.Sprintf("%s-6d4cf56db6-%d", name, n), UID: "0c2f7a1e-5f6b-4a53-9a3e-000000000000"},
			Hints:     &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: zone}}},
		})
	}
	return slice
}

// fullSlice has everything that an EndpointSlice can have.
func fullSlice() *discoveryv1.EndpointSlice {
	slice := plainSlice("web", 4)
	slice.Annotations["fairlead.io/weight"] = "3"
	slice.Annotations["other"] = "one"
	slice.DeletionTimestamp = ptr(metav1.Unix(1_790_000_001, 0))
	slice.Ports[0].AppProtocol = ptr("http")
	slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{}, discoveryv1.EndpointPort{Name: ptr(""), Protocol: ptr(corev1.ProtocolSCTP), Port: ptr(int32(0))})
	e := slice.Endpoints
	e[0].Hostname, e[0].DeprecatedTopology = ptr("web-0"), map[string]string{"kubernetes.io/hostname": "node-0"}
	e[0].Hints.ForNodes = []discoveryv1.ForNode{{Name: "node-0"}, {Name: "node-1"}}
	e[0].Hints.ForZones = append(e[0].Hints.ForZones, discoveryv1.ForZone{Name: "zone-9"})
	e[1].Addresses = []string{"10.244.9.1", "10.244.9.2", "10.244.9.3"}
	e[1].Conditions = discoveryv1.EndpointConditions{Ready: ptr(false), Terminating: ptr(true)}
	e[2] = discoveryv1.Endpoint{Hints: new(discoveryv1.EndpointHints)}
	return slice
}

// bookmark ends the first objects of a watch.
func bookmark[T object](empty T) T {
	empty.SetResourceVersion("4711")
	empty.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	return empty
}

// trimmedMeta is what is left of metadata when what nobody reads is gone. The first part is as trim has it in
// package controller, except that a map without anything in it is none.
func trimmedMeta(m metav1.ObjectMeta, label string) metav1.ObjectMeta {
	m.ManagedFields, m.OwnerReferences, m.Finalizers = nil, nil, nil
	m.Annotations = filtered(m.Annotations, func(key string) bool {
		return strings.HasPrefix(key, "fairlead.io/") || key == corev1.EndpointsLastChangeTriggerTime || key == "k8s.io/initial-events-end"
	})
	m.Labels = filtered(m.Labels, func(key string) bool { return key == label })
	m.GenerateName, m.Generation, m.DeletionGracePeriodSeconds = "", 0, nil
	m.SetSelfLink("")
	return m
}

func filtered(all map[string]string, kept func(string) bool) (some map[string]string) {
	for key, value := range all {
		if kept(key) {
			if some == nil {
				some = map[string]string{}
			}
			some[key] = value
		}
	}
	return some
}

// trimmedService is what decodeService should read. It names what is left out, so that a field that Kubernetes adds
// makes the tests fail until somebody has decided about it.
func trimmedService(svc *corev1.Service) *corev1.Service {
	svc = svc.DeepCopy()
	svc.ObjectMeta = trimmedMeta(svc.ObjectMeta, "service.kubernetes.io/service-proxy-name")
	svc.Spec.Selector, svc.Status.Conditions = nil, nil
	s := &svc.Spec
	s.LoadBalancerIP, s.ExternalName, s.PublishNotReadyAddresses, s.IPFamilies, s.IPFamilyPolicy = "", "", false, nil, nil
	s.AllocateLoadBalancerNodePorts, s.LoadBalancerClass, s.TrafficDistribution = nil, nil, nil
	for i := range s.Ports {
		s.Ports[i].TargetPort, s.Ports[i].AppProtocol = intstr.IntOrString{}, nil
	}
	for i := range svc.Status.LoadBalancer.Ingress {
		svc.Status.LoadBalancer.Ingress[i].Hostname, svc.Status.LoadBalancer.Ingress[i].Ports = "", nil
	}
	return svc
}

// trimmedSlice is what decodeEndpointSlice should read, likewise.
func trimmedSlice(slice *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	slice = slice.DeepCopy()
	slice.ObjectMeta = trimmedMeta(slice.ObjectMeta, discoveryv1.LabelServiceName)
	slice.UID = ""
	for i := range slice.Endpoints {
		e := &slice.Endpoints[i]
		e.Hostname, e.TargetRef, e.DeprecatedTopology, e.Zone = nil, nil, nil, nil
	}
	for i := range slice.Ports {
		slice.Ports[i].AppProtocol = nil
	}
	return slice
}

// serialized is an object as it is in the Raw of a runtime.Unknown.
func serialized(t testing.TB, o interface{ Marshal() ([]byte, error) }) []byte {
	t.Helper()
	data, err := o.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return data
}
