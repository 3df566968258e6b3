package controller

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TestADangerousAddressBecomesFreeAndIsTakenAgain: the owner of an address changes while Fairlead runs,
// and exactly the Services that want it are looked at.
func TestADangerousAddressBecomesFreeAndIsTakenAgain(t *testing.T) {
	r := newRig(t)
	r.world.this = nodeObject(nodeName, "192.0.2.1")
	for n := range 10 {
		r.set(service(fmt.Sprint("other", n), vip(n), nodePort(int32(30100+n)), externalIPs(lbIP(n))), endpoints("10.1.0.1"))
	}
	r.set(service("wants-ext", "10.97.0.1", externalIPs("198.51.100.7")), endpoints("10.1.0.1"))
	r.set(service("wants-lb", "10.97.0.2", loadBalancer("198.51.100.8")), endpoints("10.1.0.1"))
	r.c.feed.factsChanged()
	r.round()
	bound := func(what, addr string, want bool) {
		t.Helper()
		r.drained()
		if got := strings.Contains(r.dummyif.Dump(), addr); got != want {
			t.Errorf("%s: %s bound is %v", what, addr, got)
		}
		if got := strings.Contains(r.ipvs.Dump(), addr); got != want {
			t.Errorf("%s: %s served is %v", what, addr, got)
		}
	}
	renders := func(what string, want int, change func()) {
		t.Helper()
		if got := r.facts(change); got != want {
			t.Errorf("%s: %d renders, want %d", what, got, want)
		}
	}
	node2 := nodeObject("node-2", "198.51.100.7", "198.51.100.8", "198.51.100.200")
	renders("a node with both comes", 2, func() { r.world.others = []*corev1.Node{node2} })
	bound("a node with both comes", "198.51.100.7", false)
	bound("a node with both comes", "198.51.100.8", false)
	want := "wants-ext AddressRefused: external IP 198.51.100.7 belongs to node node-2 and is not taken away\n" +
		"wants-lb AddressRefused: load balancer IP 198.51.100.8 belongs to node node-2 and is not taken away"
	if got := r.told(); got != want {
		t.Errorf("told:\n%s\nwant:\n%s", got, want)
	}
	if got := testutil.ToFloat64(r.c.Metrics.problems.WithLabelValues("AddressRefused")); got != 2 {
		t.Errorf("the metric says %v", got)
	}
	for range 3 {
		r.c.dirty.add(named("wants-ext"))
		r.round()
	}
	if got := r.told(); got != "" {
		t.Errorf("told again: %s", got)
	}

	renders("it loses one", 1, func() { r.world.others = []*corev1.Node{nodeObject("node-2", "198.51.100.7")} })
	bound("it loses one", "198.51.100.7", false)
	bound("it loses one", "198.51.100.8", true)
	renders("it goes", 1, func() { r.world.others = nil })
	bound("it goes", "198.51.100.7", true)
	if got := testutil.ToFloat64(r.c.Metrics.problems.WithLabelValues("AddressRefused")); got != 0 {
		t.Errorf("the metric says %v", got)
	}

	api := types.NamespacedName{Namespace: "default", Name: "kubernetes"}
	renders("the API server moves there", 1, func() { r.world.slices[api] = []*discoveryv1.EndpointSlice{endpoints("198.51.100.8")} })
	bound("the API server moves there", "198.51.100.8", false)
	if got, want := r.told(), "wants-lb AddressRefused: load balancer IP 198.51.100.8 belongs to the API server and is not taken away"; got != want {
		t.Errorf("told: %s", got)
	}
	renders("the API server moves on", 1, func() { r.world.slices[api] = []*discoveryv1.EndpointSlice{endpoints("198.51.100.9")} })
	bound("the API server moves on", "198.51.100.8", true)
}

// TestAnAddressOnADeviceOfTheHost may be a load balancer's, which may have put it there, but not an
// external IP; one of the Node may be neither.
func TestAnAddressOnADeviceOfTheHost(t *testing.T) {
	r := newRig(t)
	r.world.this = nodeObject(nodeName, "192.0.2.1")
	r.hosts("192.0.2.1", "198.51.100.7")
	r.set(service("lb", "10.97.0.1", loadBalancer("198.51.100.7", "192.0.2.1"), nodePort(30080)), endpoints("10.1.0.1"))
	r.set(service("ext", "10.97.0.2", externalIPs("198.51.100.7")), endpoints("10.1.0.1"))
	r.c.feed.factsChanged()
	r.round()
	want := "ext AddressRefused: external IP 198.51.100.7 belongs to this node and is not taken away\n" +
		"lb AddressRefused: load balancer IP 192.0.2.1 belongs to this node and is not taken away"
	if got := r.told(); got != want {
		t.Errorf("told:\n%s\nwant:\n%s", got, want)
	}
	if got := r.dummyif.Dump(); !strings.Contains(got, "198.51.100.7") || strings.Contains(got, "192.0.2.1") {
		t.Errorf("bound:\n%s", got)
	}
	r.set(service("lb", "10.97.0.1", nodePort(30080)), endpoints("10.1.0.1"))
	r.round()
	r.drained()
	if got := r.dummyif.Dump(); strings.Contains(got, "198.51.100.7") {
		t.Errorf("the Service is no load balancer any more, and its address is bound:\n%s", got)
	}
	r.mustBeFresh("the Service is no load balancer any more")
}
