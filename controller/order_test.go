package controller

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// TestALocalServiceGrowsForwardAndShrinksBackward: a VIP must not carry traffic before all that decides
// about it is there, nor after any of it has gone.
func TestALocalServiceGrowsForwardAndShrinksBackward(t *testing.T) {
	r := newRig(t)
	r.traced()
	svc := service("web", "10.96.0.10", loadBalancer("203.0.113.1"), nodePort(30080), externalLocal, sources("198.51.100.0/24"))
	r.set(svc, here(endpoints("10.1.0.1")), endpoints("10.1.0.2"))
	r.round()
	forward := [][]string{
		{"-A -f M1 -s rr", "-a -f M1 -r 10.1.0.1:8080 -m -w 1", "add FAIRLEAD-LOCAL 203.0.113.1,tcp:80 skbmark M1", "-A -t 203.0.113.1:80 -s rr"},
		{"-a -f M1 -r 10.1.0.1:8080 -m -w 1", "add FAIRLEAD-LOCAL 192.0.2.1,tcp:30080 skbmark M1", "-A -t 192.0.2.1:30080 -s rr"},
		{"add FAIRLEAD-ALLOWED 203.0.113.1,tcp:80,198.51.100.0/24", "add FAIRLEAD-RESTRICTED 203.0.113.1,tcp:80", "-A -t 203.0.113.1:80 -s rr"},
		{"add FAIRLEAD-SERVED 203.0.113.1,tcp:80", "-A -t 203.0.113.1:80 -s rr", "-a -t 203.0.113.1:80 -r 10.1.0.1:8080 -m -w 1", "addr replace inet 203.0.113.1/32 scope host"},
		{"add FAIRLEAD-VIP 203.0.113.1", "-A -t 203.0.113.1:80 -s rr", "addr replace inet 203.0.113.1/32 scope host"},
		{"add FAIRLEAD-HAIRPIN 10.1.0.1,10.1.0.1", "-a -t 203.0.113.1:80 -r 10.1.0.2:8080 -m -w 1"},
	}
	for _, order := range forward {
		r.inOrder(order...)
	}
	if text := strings.Join(r.trace, "\n"); strings.Contains(text, "192.0.2.1/32") || strings.Contains(text, "VIP 192.0.2.1") {
		t.Errorf("the address of a node port is bound:\n%s", text)
	}

	r.traced()
	r.remove(named("web"))
	r.round()
	r.inOrder("-e -t 203.0.113.1:80 -r 10.1.0.1:8080 -m -w 0")
	if text := strings.Join(r.trace, "\n"); strings.Contains(text, "addr del") || strings.Contains(text, "del FAIRLEAD-S") || strings.Contains(text, "del FAIRLEAD-L") || strings.Contains(text, "-D ") {
		t.Errorf("deleted before the drain has ended:\n%s", text)
	}
	r.traced()
	r.drained()
	backward := [][]string{
		{"addr del inet 203.0.113.1/32 scope host", "-D -t 203.0.113.1:80", "del FAIRLEAD-SERVED 203.0.113.1,tcp:80", "-D -f M1"},
		{"-D -t 203.0.113.1:80", "del FAIRLEAD-LOCAL 203.0.113.1,tcp:80", "-D -f M1"},
		{"-D -t 192.0.2.1:30080", "del FAIRLEAD-LOCAL 192.0.2.1,tcp:30080", "-D -f M1"},
		{"-D -t 203.0.113.1:80", "del FAIRLEAD-RESTRICTED 203.0.113.1,tcp:80", "del FAIRLEAD-ALLOWED 203.0.113.1,tcp:80,198.51.100.0/24"},
		{"addr del inet 203.0.113.1/32 scope host", "del FAIRLEAD-VIP 203.0.113.1"},
	}
	for _, order := range backward {
		r.inOrder(order...)
	}
	r.mustHold("")
}

// TestADropComesBeforeAndGoesBehindTheEndpoints: a client must be let in, or meet silence, but never the
// refusal of a virtual server without endpoints.
func TestADropComesBeforeAndGoesBehindTheEndpoints(t *testing.T) {
	r := newRig(t)
	svc := service("web", "10.96.0.10", loadBalancer("203.0.113.1"), externalLocal, internalLocal)
	r.set(svc, here(endpoints("10.1.0.1")), endpoints("10.1.0.2"))
	r.round()
	r.traced()
	r.set(svc, endpoints("10.1.0.2"))
	r.round()
	r.inOrder("add FAIRLEAD-RESTRICTED 10.96.0.10,tcp:80", "-e -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 0")
	r.inOrder("add FAIRLEAD-LOCAL 203.0.113.1,tcp:80 skbmark DROP", "-e -f M1 -r 10.1.0.1:8080 -m -w 0")
	r.drained()
	r.traced()
	r.set(svc, here(endpoints("10.1.0.1")), endpoints("10.1.0.2"))
	r.round()
	r.inOrder("-a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1", "del FAIRLEAD-RESTRICTED 10.96.0.10,tcp:80")
	r.inOrder("-a -f M2 -r 10.1.0.1:8080 -m -w 1", "add FAIRLEAD-LOCAL 203.0.113.1,tcp:80 skbmark M2")
}

// TestARestrictionIsThereBeforeItIsLifted: when source ranges change, those that stay admitted are so all
// the time.
func TestARestrictionIsThereBeforeItIsLifted(t *testing.T) {
	r := newRig(t)
	set := func(cidrs ...string) {
		r.traced()
		r.set(service("web", "10.96.0.10", loadBalancer("203.0.113.1"), sources(cidrs...)), endpoints("10.1.0.1"))
		r.round()
	}
	const allowed = " FAIRLEAD-ALLOWED 203.0.113.1,tcp:80,"
	set()
	set("198.51.100.0/24")
	r.inOrder("add"+allowed+"198.51.100.0/24", "add FAIRLEAD-RESTRICTED 203.0.113.1,tcp:80")
	set("198.51.100.0/25")
	r.inOrder("add"+allowed+"198.51.100.0/25", "del"+allowed+"198.51.100.0/24")
	set("198.51.100.0/25", "0.0.0.0/0")
	r.inOrder("del FAIRLEAD-RESTRICTED 203.0.113.1,tcp:80", "del"+allowed+"198.51.100.0/25")
	r.remove(named("web"))
	r.round()
	r.drained()
	r.mustHold("")
}

// TestTheServiceChangesItsTypeAtRunTime in any order, and in the end holds what a fresh start would write.
func TestTheServiceChangesItsTypeAtRunTime(t *testing.T) {
	r := newRig(t)
	const vip = "10.96.0.10"
	shapes := []*corev1.Service{
		service("web", vip),
		service("web", vip, nodePort(30080)),
		service("web", vip, nodePort(30080), externalLocal),
		service("web", vip, loadBalancer("203.0.113.1"), nodePort(30080), externalLocal, sources("198.51.100.0/24")),
		service("web", vip, loadBalancer("203.0.113.1"), externalIPs("203.0.113.2"), internalLocal),
		service("web", vip, externalIPs("203.0.113.2"), externalLocal),
		service("web", vip, typed(corev1.ServiceTypeExternalName)),
		service("web", corev1.ClusterIPNone),
		service("web", vip, labeled("service.kubernetes.io/service-proxy-name", "other")),
	}
	for i := range shapes {
		for j := range shapes {
			for _, n := range []int{i, j} {
				r.set(shapes[n], here(endpoints("10.1.0.1")), endpoints("10.1.0.2"))
				r.round()
			}
			r.drained()
			if got, want := renamed(r.kernel()), freshly(r.c); got != want {
				t.Fatalf("from shape %d to %d, the kernel holds\n%s\nwant\n%s", i, j, got, want)
			}
		}
	}
}
