package render_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/fairlead-lb/fairlead/controller/render"
)

func BenchmarkRender(b *testing.B) {
	for _, n := range []int{2, 100, 10_000} {
		b.Run(fmt.Sprintf("endpoints=%d", n), func(b *testing.B) {
			svc, list := large(1, n)
			mix(list)
			read := readSlices(list)
			b.ReportAllocs()
			for b.Loop() {
				if r := render.Service(svc, read, options, render.Settings{}); len(r.Servers[0].Reals) != n {
					b.Fatalf("%d real servers", len(r.Servers[0].Reals))
				}
			}
		})
	}
}

var options = render.Options{Scheduler: "rr", NodeName: "this", IPv6: true}

// large returns a Service with so many ports and endpoints, in slices of 100 endpoints.
func large(ports, endpoints int) (*corev1.Service, []*discoveryv1.EndpointSlice) {
	svc := &corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.1"}}
	var slicePorts []discoveryv1.EndpointPort
	for p := range ports {
		name, number, protocol := fmt.Sprintf("p%d", p), int32(p+1), corev1.ProtocolTCP
		svc.Spec.Ports = append(svc.Spec.Ports, corev1.ServicePort{Name: name, Port: number})
		slicePorts = append(slicePorts, discoveryv1.EndpointPort{Name: &name, Port: &number, Protocol: &protocol})
	}
	var list []*discoveryv1.EndpointSlice
	node, ready := "other", true
	for n := range endpoints {
		if n%100 == 0 {
			list = append(list, &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4, Ports: slicePorts})
		}
		slice := list[len(list)-1]
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{fmt.Sprintf("10.1.%d.%d", n/250, n%250+1)}, NodeName: &node,
			Conditions: discoveryv1.EndpointConditions{Ready: &ready},
		})
	}
	return svc, list
}

// mix gives the endpoints to the slices in no order, as the pods of a cluster come.
func mix(list []*discoveryv1.EndpointSlice) {
	var all []*discoveryv1.Endpoint
	for _, slice := range list {
		for i := range slice.Endpoints {
			all = append(all, &slice.Endpoints[i])
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	random.Shuffle(len(all), func(i, j int) { *all[i], *all[j] = *all[j], *all[i] })
}

// TestAServiceOfVeryManyPortsRendersAtOnce takes some hundredths of a second; with a cost that
// grows with the square of the ports it would take minutes under the race detector.
func TestAServiceOfVeryManyPortsRendersAtOnce(t *testing.T) {
	svc, list := large(50_000, 2)
	start := time.Now()
	if r := render.Service(svc, readSlices(list), options, render.Settings{}); len(r.Servers) != 50_000 || len(r.Servers[49_999].Reals) != 2 {
		t.Errorf("%d servers", len(r.Servers))
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
}

// TestAServiceOfVeryManyAddressesRendersAtOnce, the good and the bad ones.
func TestAServiceOfVeryManyAddressesRendersAtOnce(t *testing.T) {
	svc, list := large(1, 2)
	for n := range 200_000 {
		svc.Spec.ExternalIPs = append(svc.Spec.ExternalIPs, fmt.Sprintf("20.%d.%d.%d", n>>16, n>>8&255, n&255), fmt.Sprint("bad ", n))
	}
	start := time.Now()
	if r := render.Service(svc, readSlices(list), options, render.Settings{}); len(r.Servers) != 200_001 || len(r.External) != 200_000 || len(r.Problems) != 200_000 {
		t.Errorf("%d servers, %d external addresses, %d problems", len(r.Servers), len(r.External), len(r.Problems))
	}
	if took := time.Since(start); took > 40*time.Second {
		t.Errorf("took %v", took)
	}
}

// TestPortsThatTheServiceDoesNotHaveCostNothing: whoever writes slices may list a hundred in each.
func TestPortsThatTheServiceDoesNotHaveCostNothing(t *testing.T) {
	svc, list := large(100, 10_000)
	svc.Spec.Ports = svc.Spec.Ports[:1]
	read := readSlices(list)
	const most = 10_000 * 250
	if got := bytesFor(func() { render.Service(svc, read, options, render.Settings{}) }); got > most {
		t.Errorf("%d bytes, at most %d wanted", got, most)
	}
}

// TestPortsOfFewEndpointsNeedLittleRoom, though all of them together have very many.
func TestPortsOfFewEndpointsNeedLittleRoom(t *testing.T) {
	const ports, each = 1_000, 100
	svc, list := large(ports, ports*each)
	for n, slice := range list {
		slice.Ports = slice.Ports[n : n+1]
	}
	read := readSlices(list)
	const most = ports * each * 1_000
	if got := bytesFor(func() { render.Service(svc, read, options, render.Settings{}) }); got > most {
		t.Errorf("%d bytes, at most %d wanted", got, most)
	}
}

// bytesFor is how much memory a call allocates.
func bytesFor(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
