package controller

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/fairlead-lb/fairlead/ipvs"
)

// facts changes what is known about the node or its neighbors and runs a round. It returns how many
// Services were rendered.
func (r *rig) facts(change func()) int {
	before := testutil.ToFloat64(r.c.Metrics.renders)
	change()
	r.c.feed.factsChanged()
	r.round()
	return int(testutil.ToFloat64(r.c.Metrics.renders) - before)
}

func (r *rig) hosts(addrs ...string) {
	r.world.host = nil
	for _, addr := range addrs {
		r.world.host = append(r.world.host, netip.MustParseAddr(addr))
	}
}

// mustBeFresh checks that the kernel holds what a full sync would write into an empty one.
func (r *rig) mustBeFresh(when string) {
	r.t.Helper()
	if got, want := renamed(r.kernel()), freshly(r.c); got != want {
		r.t.Fatalf("%s, the kernel holds\n%s\nwant\n%s\nlog:\n%s", when, got, want, r.log)
	}
}

func TestNodePortsFollowTheAddressesOfTheNode(t *testing.T) {
	r := newRig(t)
	r.set(service("web", "10.96.0.10", nodePort(30080), dualStack("fd00:96::10")), endpoints("10.1.0.1"), endpoints("fd00:1::1"))
	r.set(service("local", "10.96.0.11", nodePort(30081), externalLocal), here(endpoints("10.1.0.1")))
	r.round()
	serves := func(want string) {
		t.Helper()
		var list []string
		servers, _ := r.ipvs.Servers()
		for k := range servers {
			if k.Addr.Port() > 30000 {
				list = append(list, k.Addr.String())
			}
		}
		r.drained()
		r.mustBeFresh(want)
		for addr := range strings.FieldsSeq(want) {
			if !strings.Contains(strings.Join(list, " "), addr) {
				t.Errorf("%s is not served: %v", addr, list)
			}
		}
		if len(list) != len(strings.Fields(want)) {
			t.Errorf("served: %v, want %s", list, want)
		}
	}
	serves("192.0.2.1:30080 192.0.2.1:30081")
	if n := r.facts(func() { r.hosts("192.0.2.1", "198.51.100.1", "2001:db8::1") }); n != 2 {
		t.Errorf("%d renders when addresses appear, want each Service once", n)
	}
	serves("192.0.2.1:30080 192.0.2.1:30081 198.51.100.1:30080 198.51.100.1:30081 [2001:db8::1]:30080")
	if n := r.facts(func() {}); n != 0 {
		t.Errorf("%d renders when nothing has changed", n)
	}
	r.facts(func() { r.hosts("198.51.100.1") })
	r.later(10 * time.Minute)
	r.drained()
	serves("198.51.100.1:30080 198.51.100.1:30081")
	if text := r.dummyif.Dump(); strings.Contains(text, "198.51.100.1") || strings.Contains(text, "192.0.2.1") {
		t.Errorf("an address of the node is bound: %s", text)
	}
}

// TestPrimaryNodePortsFollowTheNode: nodePortAddresses names CIDRs or the Node's own IPs.
func TestPrimaryNodePortsFollowTheNode(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.NodePorts = NodePorts{Primary: true, CIDRs: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}
	})
	r.set(service("web", "10.96.0.10", nodePort(30080)), endpoints("10.1.0.1"))
	for _, c := range []struct {
		node *corev1.Node
		host string
		want string
	}{
		{nodeObject(nodeName, "192.0.2.7", "192.0.2.8"), "192.0.2.7 192.0.2.8 203.0.113.9", "192.0.2.7"},
		{nodeObject(nodeName, "192.0.2.8", "192.0.2.7"), "192.0.2.7 192.0.2.8 203.0.113.9", "192.0.2.8"},
		{nodeObject(nodeName, "192.0.2.8"), "192.0.2.7 192.0.2.8 198.51.100.1 198.51.100.2", "192.0.2.8 198.51.100.1 198.51.100.2"},
		{nodeObject(nodeName, "192.0.2.99"), "192.0.2.7", ""}, // not this host's, so nothing can be served there
	} {
		r.facts(func() { r.world.this = c.node; r.hosts(strings.Fields(c.host)...) })
		r.drained()
		for addr := range strings.FieldsSeq(c.host) {
			served := strings.Contains(r.ipvs.Dump(), "-A -t "+addr+":30080")
			if want := strings.Contains(" "+c.want+" ", " "+addr+" "); served != want {
				t.Errorf("Node %v, host %s: %s served is %v", c.node.Status.Addresses, c.host, addr, served)
			}
		}
	}
}

func hinted(zone string, slice *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	for i := range slice.Endpoints {
		slice.Endpoints[i].Hints = &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: zone}}}
	}
	return slice
}

func TestHintsFollowTheZoneOfTheNode(t *testing.T) {
	r := newRig(t)
	r.set(service("web", "10.96.0.10"), hinted("a", endpoints("10.1.0.1")), hinted("b", endpoints("10.1.0.2")))
	for _, c := range []struct{ zone, want string }{
		{"", "10.1.0.1 10.1.0.2"}, {"a", "10.1.0.1"}, {"b", "10.1.0.2"}, {"c", "10.1.0.1 10.1.0.2"}, {"a", "10.1.0.1"},
	} {
		r.facts(func() {
			r.world.this = nodeObject(nodeName, "192.0.2.1")
			if c.zone != "" {
				r.world.this.Labels[corev1.LabelTopologyZone] = c.zone
			}
		})
		r.drained()
		r.reals("zone "+c.zone, "10.96.0.10:80", c.want)
	}
	r.facts(func() { r.world.this = nil })
	r.drained()
	r.reals("the Node is deleted: what was known last holds", "10.96.0.10:80", "10.1.0.1")
}

// reals checks which endpoints a TCP frontend has.
func (r *rig) reals(when, at, want string) {
	r.t.Helper()
	reals, _ := r.ipvs.RealServers(r.key(at, ipvs.TCP))
	for addr := range strings.FieldsSeq(want) {
		if _, ok := reals[r.real(addr+":8080")]; !ok {
			r.t.Errorf("%s: %s does not lead to %s", when, at, addr)
		}
	}
	if len(reals) != len(strings.Fields(want)) {
		r.t.Errorf("%s: %s leads to %v, want %s", when, at, reals, want)
	}
}

// TestADeletedNodeGoesOnServing as it did, until it is registered again.
func TestADeletedNodeGoesOnServing(t *testing.T) {
	r := newRig(t, func(o *Options) { o.NodeCIDR = true; o.NodePorts = NodePorts{Primary: true} })
	r.set(service("web", "10.96.0.10", nodePort(30080)), endpoints("10.1.0.1"))
	r.set(service("greedy", "10.96.0.11", loadBalancer("192.0.2.7", "192.0.2.8")), endpoints("10.1.0.1"))
	r.facts(func() {
		r.world.this = nodeObject(nodeName, "192.0.2.7")
		r.world.this.Spec.PodCIDRs = []string{"10.244.3.0/24"}
		r.hosts("192.0.2.7", "192.0.2.8")
	})
	held, rules := r.kernel(), r.masq.Rules()
	r.told()
	r.facts(func() { r.world.this = nil })
	r.drained()
	if r.kernel() != held || r.masq.Rules() != rules || !strings.Contains(rules, "10.244.3.0/24") {
		t.Errorf("after the Node was deleted, the kernel holds\n%s%s\nbefore\n%s%s", r.kernel(), r.masq.Rules(), held, rules)
	}
	if got := r.told(); got != "" {
		t.Errorf("told: %s", got)
	}
	r.facts(func() { r.world.this = nodeObject(nodeName, "192.0.2.8") })
	r.drained()
	if text := r.kernel(); !strings.Contains(text, "-t 192.0.2.8:30080") || strings.Contains(text, "-t 192.0.2.7:30080") {
		t.Errorf("registered again with another address:\n%s", text)
	}
}
