// Package dataset is the cluster that is measured: N Services of one TCP port with two endpoints each, the
// cluster's DNS, and perhaps one Service with very many endpoints. It is the same for the API server, which is filled
// with it, and for the floor, which writes it into the kernel.
package dataset

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Where things are. The ranges are those of test/cluster and test/lab.
const (
	Namespace = "bench"
	Near      = "bench-near" // the subject's node
	Far       = "bench-far"  // where all endpoints are

	Port         = 80   // of every VIP
	EndpointPort = 8080 // of every endpoint

	ServiceCIDR = "172.30.0.0/16"
	PodCIDR     = "10.128.0.0/9" // of all pods; the endpoints' addresses are in FarCIDR
	NearCIDR    = "10.128.0.0/24"
	FarCIDR     = "10.132.0.0/14"

	EndpointsPerService = 2
)

// What every cluster has.
var (
	APIServer = netip.MustParseAddrPort("172.30.0.1:443")
	DNS       = netip.MustParseAddrPort("172.30.0.10:53")
	WideVIP   = netip.MustParseAddrPort("172.30.0.20:80")

	firstVIP      = netip.MustParseAddr("172.30.1.0")
	firstEndpoint = netip.MustParseAddr("10.132.1.0")
	firstWide     = netip.MustParseAddr("10.134.0.0")
	firstFresh    = netip.MustParseAddr("10.135.0.0")
)

// MaxServices is how many VIPs fit into the service range.
const MaxServices = 65_000

// VIP is the address and port of Service i.
func VIP(i int) netip.AddrPort { return netip.AddrPortFrom(plus(firstVIP, i), Port) }

// Endpoints are those of Service i at the beginning.
func Endpoints(i int) []netip.Addr {
	return []netip.Addr{plus(firstEndpoint, 2*i), plus(firstEndpoint, 2*i+1)}
}

// Wide are the endpoints of the wide Service.
func Wide(n int) (list []netip.Addr) {
	for i := range n {
		list = append(list, plus(firstWide, i))
	}
	return list
}

// Fresh is the n-th address that no endpoint has had yet. After 65,536 they begin anew.
func Fresh(n int) netip.Addr { return plus(firstFresh, n%65_536) }

func plus(addr netip.Addr, n int) netip.Addr {
	b := addr.As4()
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+uint32(n))
	return netip.AddrFrom4(b)
}

// Name is the name of Service i, and of its slice.
func Name(i int) string { return fmt.Sprintf("svc-%05d", i) }

// Service is an object with one TCP port.
func Service(namespace, name string, vip netip.AddrPort) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.ServiceSpec{
			// Given, because letting the API server choose is quadratic.
			ClusterIP:  vip.Addr().String(),
			ClusterIPs: []string{vip.Addr().String()},
			Selector:   map[string]string{"app": name},
			Ports:      []corev1.ServicePort{{Name: "web", Port: int32(vip.Port()), Protocol: corev1.ProtocolTCP}},
		},
	}
}

// Slice is an EndpointSlice of a Service. All endpoints are on the far node.
func Slice(namespace, service, name string, endpoints []netip.Addr) *discoveryv1.EndpointSlice {
	port, tcp, web, node, yes := int32(EndpointPort), corev1.ProtocolTCP, "web", Far, true
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name,
			Labels: map[string]string{discoveryv1.LabelServiceName: service, discoveryv1.LabelManagedBy: "fairlead-bench"},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: &web, Port: &port, Protocol: &tcp}},
	}
	for _, addr := range endpoints {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{addr.String()}, NodeName: &node,
			Conditions: discoveryv1.EndpointConditions{Ready: &yes},
		})
	}
	return slice
}

// DNSService is the cluster's DNS, which is not served by name, so that only TCP counts.
func DNSService() (*corev1.Service, *discoveryv1.EndpointSlice) {
	const namespace, name = metav1.NamespaceSystem, "kube-dns"
	return Service(namespace, name, DNS), Slice(namespace, name, name, DNSEndpoints())
}

// DNSEndpoints are those of the cluster's DNS.
func DNSEndpoints() []netip.Addr {
	return []netip.Addr{plus(firstEndpoint, -1), plus(firstEndpoint, -2)}
}
