package controller

import (
	"net/netip"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"pgregory.net/rapid"

	"github.com/fairlead-lb/fairlead/controller/render"
)

// A universe small enough for every kind of collision: four names, three VIPs, five endpoints, and a few
// addresses that Services, this node, and another one may all want.

func drawName(t *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "name")
}

func drawVIP(t *rapid.T) string {
	return rapid.SampledFrom([]string{"10.96.0.1", "10.96.0.2", "fd00:96::1"}).Draw(t, "vip")
}

func drawEndpoint(t *rapid.T) string {
	return rapid.SampledFrom([]string{"10.1.0.1", "10.1.0.2", "10.1.0.3", "fd00:1::1", "fd00:1::2"}).Draw(t, "endpoint")
}

func drawBorrowed(t *rapid.T) []string {
	pool := []string{"203.0.113.1", "203.0.113.2", "198.51.100.7", "192.0.2.1", "10.96.0.1", "2001:db8::1", "nonsense"}
	return rapid.SliceOfNDistinct(rapid.SampledFrom(pool), 0, 3, rapid.ID).Draw(t, "borrowed")
}

// oneIn is true once in n times.
func oneIn(t *rapid.T, n int, what string) bool { return rapid.IntRange(1, n).Draw(t, what) == n }

func drawService(t *rapid.T) *corev1.Service {
	svc := service(drawName(t), drawVIP(t), created(time.Unix(int64(rapid.IntRange(1, 3).Draw(t, "age")), 0)))
	if rapid.Bool().Draw(t, "two VIPs") {
		svc.Spec.ClusterIPs = append(svc.Spec.ClusterIPs, drawVIP(t))
	}
	if rapid.Bool().Draw(t, "udp") {
		svc.Spec.Ports = append(svc.Spec.Ports, corev1.ServicePort{Name: "http", Port: 80, Protocol: corev1.ProtocolUDP})
	}
	if rapid.Bool().Draw(t, "port 81") {
		svc.Spec.Ports = append(svc.Spec.Ports, corev1.ServicePort{Name: "http", Port: 81, Protocol: corev1.ProtocolTCP})
	}
	if rapid.Bool().Draw(t, "sticky") {
		sticky(svc)
	}
	if oneIn(t, 10, "headless") {
		svc.Spec.ClusterIP, svc.Spec.ClusterIPs = corev1.ClusterIPNone, []string{corev1.ClusterIPNone}
	}
	exposeAtRandom(t, svc)
	annotateAtRandom(t, svc)
	return svc
}

// exposeAtRandom gives a Service a type, addresses and policies. Health check node ports are left out:
// they would be opened.
func exposeAtRandom(t *rapid.T, svc *corev1.Service) {
	kinds := []corev1.ServiceType{"", corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeExternalName}
	weights := []int{0, 1, 2, 2, 2, 3, 3, 3, 3, 4}
	svc.Spec.Type = kinds[rapid.SampledFrom(weights).Draw(t, "type")]
	for i := range svc.Spec.Ports {
		svc.Spec.Ports[i].NodePort = int32(rapid.SampledFrom([]int{0, 80, 30001, 30002}).Draw(t, "node port"))
	}
	svc.Status.LoadBalancer.Ingress, svc.Spec.ExternalIPs, svc.Spec.LoadBalancerSourceRanges = nil, nil, nil
	svc.Spec.ExternalTrafficPolicy, svc.Spec.InternalTrafficPolicy = "", nil
	kind := svc.Spec.Type
	loadBalancer(drawBorrowed(t)...)(svc)
	svc.Spec.Type = kind
	if rapid.Bool().Draw(t, "external IPs") {
		svc.Spec.ExternalIPs = drawBorrowed(t)
	}
	if rapid.Bool().Draw(t, "external Local") {
		externalLocal(svc)
	}
	if oneIn(t, 3, "internal Local") {
		internalLocal(svc)
	}
	if oneIn(t, 3, "sources") {
		pool := []string{"198.51.100.0/24", " 192.0.2.0/24", "198.51.100.0/25", "2001:db8::/64", "0.0.0.0/0", "nonsense"}
		sources(rapid.SliceOfN(rapid.SampledFrom(pool), 1, 3).Draw(t, "ranges")...)(svc)
	}
}

func annotateAtRandom(t *rapid.T, svc *corev1.Service) {
	if oneIn(t, 3, "scheduler") {
		annotated(render.AnnotationScheduler, rapid.SampledFrom([]string{"wlc", "sh", "rr", "fastest"}).Draw(t, "scheduler"))(svc)
	}
	if oneIn(t, 4, "flags") {
		annotated(render.AnnotationFlags, rapid.SampledFrom([]string{"sh-port", "", "fast"}).Draw(t, "flags"))(svc)
	}
	if oneIn(t, 4, "drain timeout") {
		annotated(render.AnnotationDrainTimeout, rapid.SampledFrom([]string{"5s", "1h", "soon"}).Draw(t, "timeout"))(svc)
	}
}

// drawSlices draws up to two slices of a family, with the endpoints in any state, here, elsewhere or who
// knows where.
func drawSlices(t *rapid.T) (list []*discoveryv1.EndpointSlice) {
	for _, name := range []string{"one", "two"} {
		addrs := rapid.SliceOfNDistinct(rapid.Custom(drawEndpoint), 0, 4, rapid.ID).Draw(t, "endpoints")
		var v4, v6 []string
		for _, a := range addrs {
			if strings.Contains(a, ":") {
				v6 = append(v6, a)
			} else {
				v4 = append(v4, a)
			}
		}
		hints := rapid.Bool().Draw(t, "hints")
		pair := []*discoveryv1.EndpointSlice{endpoints(v4...), endpoints(v6...)}
		pair[0].Name, pair[1].Name, pair[1].AddressType = name+"-4", name+"-6", discoveryv1.AddressTypeIPv6
		list = append(list, pair...)
		for _, slice := range pair {
			for i := range slice.Endpoints {
				drawState(t, &slice.Endpoints[i], hints)
			}
			if oneIn(t, 4, "weighted") {
				weighted(rapid.SampledFrom([]string{"0", "7", "heavy"}).Draw(t, "weight"), slice)
			}
		}
	}
	return list
}

func drawState(t *rapid.T, e *discoveryv1.Endpoint, hints bool) {
	node := rapid.SampledFrom([]string{nodeName, nodeName, "elsewhere", ""}).Draw(t, "node")
	e.NodeName = &node
	ready, terminating := !oneIn(t, 3, "not ready"), oneIn(t, 3, "terminating")
	e.Conditions = discoveryv1.EndpointConditions{Ready: &ready, Terminating: &terminating}
	if !hints {
		return
	}
	e.Hints = &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "zone")}}}
	if oneIn(t, 3, "for nodes") {
		e.Hints.ForNodes = []discoveryv1.ForNode{{Name: rapid.SampledFrom([]string{nodeName, "elsewhere"}).Draw(t, "for node")}}
	}
}

// drawFacts draws something that happens to this node, its host, or another node.
func drawFacts(t *rapid.T) func(*world) {
	switch rapid.IntRange(0, 3).Draw(t, "fact") {
	case 0:
		this := nodeObject(nodeName, "192.0.2.1")
		if zone := rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "zone"); zone != "" {
			this.Labels[corev1.LabelTopologyZone] = zone
		}
		return func(w *world) { w.this = this }
	case 1:
		return func(w *world) { w.this = nil }
	case 2:
		pool := []netip.Addr{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("203.0.113.2"), netip.MustParseAddr("2001:db8::99")}
		more := rapid.SliceOfNDistinct(rapid.SampledFrom(pool), 0, 3, rapid.ID).Draw(t, "host")
		return func(w *world) { w.host = append([]netip.Addr{netip.MustParseAddr("192.0.2.1")}, more...) }
	}
	ips := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"198.51.100.7", "203.0.113.1"}), 0, 2, rapid.ID).Draw(t, "node-2")
	return func(w *world) { w.others = []*corev1.Node{nodeObject("node-2", ips...)} }
}
