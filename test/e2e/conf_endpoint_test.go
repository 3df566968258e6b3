//go:build linux

package e2e

import (
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// endpoint is a pod as an EndpointSlice tells of it.
type endpoint struct {
	pod        *lab.Pod
	conditions discoveryv1.EndpointConditions
	hints      *discoveryv1.EndpointHints
}

// ready is a pod of which the slice says nothing but that it is there.
func ready(pod *lab.Pod) endpoint { return endpoint{pod: pod} }

// in is a pod with explicit conditions.
func in(pod *lab.Pod, ready, serving, terminating bool) endpoint {
	return endpoint{pod: pod, conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating}}
}

func notReady(pod *lab.Pod) endpoint { return in(pod, false, false, false) }

// leaving is a pod that terminates and still serves.
func leaving(pod *lab.Pod) endpoint { return in(pod, false, true, true) }

// forZone adds a hint for a zone.
func (e endpoint) forZone(zone string) endpoint {
	return e.hint(func(h *discoveryv1.EndpointHints) { h.ForZones = append(h.ForZones, discoveryv1.ForZone{Name: zone}) })
}

// forNode adds a hint for a node.
func (e endpoint) forNode(node string) endpoint {
	return e.hint(func(h *discoveryv1.EndpointHints) { h.ForNodes = append(h.ForNodes, discoveryv1.ForNode{Name: node}) })
}

func (e endpoint) hint(add func(*discoveryv1.EndpointHints)) endpoint {
	hints := new(discoveryv1.EndpointHints)
	if e.hints != nil {
		hints = e.hints.DeepCopy()
	}
	add(hints)
	e.hints = hints
	return e
}

// object is the endpoint as it stands in a slice of the family.
func (e endpoint) object(family discoveryv1.AddressType) discoveryv1.Endpoint {
	addr := e.pod.Addr4()
	if family == discoveryv1.AddressTypeIPv6 {
		addr = e.pod.Addr6()
	}
	node := nodeNameOf(e.pod)
	return discoveryv1.Endpoint{Addresses: []string{addr.String()}, NodeName: &node, Conditions: e.conditions, Hints: e.hints}
}

// endpoints makes exactly these the endpoints of the Service, in one slice of each family.
func (v *svc) endpoints(list ...endpoint) {
	v.s.t.Helper()
	v.slice("", nil, list...)
}

// pods is endpoints with pods that are just ready.
func (v *svc) pods(pods ...*lab.Pod) {
	v.s.t.Helper()
	var list []endpoint
	for _, pod := range pods {
		list = append(list, ready(pod))
	}
	v.endpoints(list...)
}

// slice writes a pair of slices, one of each family, among others of the Service. edit may be nil.
func (v *svc) slice(suffix string, edit func(*discoveryv1.EndpointSlice), list ...endpoint) {
	v.s.t.Helper()
	api := v.s.api.client.DiscoveryV1().EndpointSlices(namespace)
	for _, family := range []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6} {
		slice := sliceOf(v.name, family)
		slice.Name += suffix
		slice.Ports = v.slicePorts(slice.Ports)
		for _, e := range list {
			slice.Endpoints = append(slice.Endpoints, e.object(family))
		}
		if edit != nil {
			edit(slice)
		}
		_, err := api.Update(v.s.t.Context(), slice, metav1.UpdateOptions{})
		if apierrors.IsNotFound(err) {
			_, err = api.Create(v.s.t.Context(), slice, metav1.CreateOptions{})
		}
		must(v.s.t, err)
	}
}

// onPort has a slice say that its endpoints listen on another port.
func onPort(port int32) func(*discoveryv1.EndpointSlice) {
	return func(slice *discoveryv1.EndpointSlice) { slice.Ports[0].Port = &port }
}

// slicePorts gives the slice's ports the names of the Service's, as the controller does. A Service without a port for one
// of them, or with one for SCTP, gets what it has.
func (v *svc) slicePorts(defaults []discoveryv1.EndpointPort) []discoveryv1.EndpointPort {
	var ports []discoveryv1.EndpointPort
	for _, port := range v.object.Spec.Ports {
		target := int32(8080)
		for _, d := range defaults {
			if *d.Protocol == port.Protocol {
				target = *d.Port
			}
		}
		ports = append(ports, discoveryv1.EndpointPort{Name: &port.Name, Port: &target, Protocol: &port.Protocol})
	}
	return ports
}

// deleteNow is what a plain deletion asks for.
var deleteNow = metav1.DeleteOptions{}

// create writes one more slice.
func (v *svc) create(slice *discoveryv1.EndpointSlice) {
	v.s.t.Helper()
	_, err := v.s.api.client.DiscoveryV1().EndpointSlices(namespace).Create(v.s.t.Context(), slice, metav1.CreateOptions{})
	must(v.s.t, err)
}
