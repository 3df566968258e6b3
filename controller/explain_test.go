package controller

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/view"
)

// explained returns what is explained of the one Service that is meant, as lines.
func (r *rig) explained(what string) string {
	r.t.Helper()
	if r.asking == nil {
		r.asking = r.answering()
	}
	list, err := r.c.Explain(r.asking, what)
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, e := range list {
		fmt.Fprintf(&b, "%s/%s %s %s\n", e.Namespace, e.Name, e.State, e.Reason)
		for _, p := range e.Problems {
			fmt.Fprintf(&b, "problem %s: %s\n", p.Reason, p.Text)
		}
		for _, text := range e.Remarks {
			fmt.Fprintf(&b, "remark %s\n", text)
		}
		for _, v := range e.Verdicts {
			fmt.Fprintf(&b, "endpoint %s %t %s; local %t %s\n", v.Address, v.In, v.Why, v.Local, v.WhyLocal)
		}
		for _, p := range e.Paths {
			fmt.Fprintf(&b, "%s from %s: %s %v %s\n", p.Server, p.From, p.To, p.Endpoints, p.Masquerade)
		}
	}
	return b.String()
}

func (r *rig) mustExplain(what string, words ...string) {
	r.t.Helper()
	got := r.explained(what)
	for _, word := range words {
		if !strings.Contains(got, word) {
			r.t.Errorf("%s: no %q in\n%s", what, word, got)
		}
	}
}

func TestExplainNamesTheCause(t *testing.T) {
	r := newRig(t)
	r.set(service("empty", "10.96.0.1"))
	r.set(service("local", "10.96.0.2", loadBalancer("203.0.113.2"), externalLocal), endpoints("10.1.0.1"))
	r.set(service("ranges", "10.96.0.3", loadBalancer("203.0.113.3"), func(svc *corev1.Service) {
		svc.Spec.LoadBalancerSourceRanges = []string{"198.51.100.0/24"}
	}), endpoints("10.1.0.1"))
	r.set(service("headless", "None"))
	r.set(service("thief", "10.96.0.5", externalIPs("192.0.2.1")), endpoints("10.1.0.1"))
	r.set(service("first", "10.96.0.6", loadBalancer("203.0.113.6"), created(time.Unix(100, 0))), endpoints("10.1.0.3"))
	r.set(service("second", "10.96.0.7", loadBalancer("203.0.113.6"), created(time.Unix(200, 0))), endpoints("10.1.0.4"))
	r.round()
	r.mustExplain("ns/empty", "no endpoints", "no EndpointSlice of this Service has an address", "from a pod: refused")
	r.mustExplain("ns/local", "no usable endpoint on this node: connections from outside are dropped",
		"tcp 203.0.113.2:80 from outside: dropped", "tcp 203.0.113.2:80 from this node: all usable endpoints [10.1.0.1:8080]")
	r.mustExplain("203.0.113.3:80", "ns/ranges", "loadBalancerSourceRanges admit 198.51.100.0/24")
	r.mustExplain("ns/headless", "not served headless")
	r.mustExplain("ns/thief", "problem AddressRefused: external IP 192.0.2.1 belongs to this node")
	r.mustExplain("203.0.113.6", "ns/first in force", "ns/second lost", "AddressInUse: tcp 203.0.113.6:80 belongs to Service ns/first")
	r.mustExplain("ns/nothing", "knows no Service ns/nothing")
	r.mustExplain("nonsense", "neither namespace/name nor an address")
	r.mustExplain("203.0.113.99:1", "no Service has 203.0.113.99:1")
	r.mustExplain("192.0.2.1:22", "the address is this node's own")
}

func TestPathsFollowTheRules(t *testing.T) {
	pods := func(o *Options) { o.Masq.Pods.CIDRs = append(o.Masq.Pods.CIDRs, netip.MustParsePrefix("10.1.0.0/16")) }
	r := newRig(t, pods)
	r.set(service("web", "10.96.0.1", loadBalancer("203.0.113.1"), externalLocal), twin(here(endpoints("10.1.0.1"))), endpoints("10.1.0.2"))
	r.set(service("open", "10.96.0.2", loadBalancer("203.0.113.2")), endpoints("10.1.0.3"))
	r.round()
	r.mustExplain("ns/web",
		"tcp 10.96.0.1:80 from a pod: all usable endpoints [10.1.0.1:8080 10.1.0.2:8080] the pod's own address",
		"tcp 10.96.0.1:80 from outside: all usable endpoints [10.1.0.1:8080 10.1.0.2:8080] masqueraded",
		"tcp 203.0.113.1:80 from this node: all usable endpoints [10.1.0.1:8080 10.1.0.2:8080] masqueraded",
		"tcp 203.0.113.1:80 from outside: endpoints on this node, by firewall mark 0x50000002 [10.1.0.1:8080] the client's own address")
	r.mustExplain("ns/open", "tcp 203.0.113.2:80 from outside: all usable endpoints [10.1.0.3:8080] masqueraded",
		"tcp 203.0.113.2:80 from a pod: all usable endpoints [10.1.0.3:8080] masqueraded")
}

func TestStatusCountsAndRemembers(t *testing.T) {
	r := newRig(t)
	r.set(service("web", "10.96.0.1"), endpoints("10.1.0.1"))
	r.set(service("thief", "10.96.0.5", externalIPs("192.0.2.1")), endpoints("10.1.0.1"))
	r.round()
	r.ipvs.Apply([]ipvs.Op{{Verb: ipvs.DeleteServer, Key: r.key("10.96.0.1:80", ipvs.TCP)}}) // ipvsadm -C
	r.later(2 * time.Hour)
	s, err := r.c.Status(r.answering())
	if err != nil {
		t.Fatal(err)
	}
	if s.Phase != view.PhaseRunning || s.Services != 2 || s.Served != 2 || s.VirtualServers.Total != 2 || s.Addresses.Total != 2 {
		t.Errorf("status %+v", s)
	}
	if s.Drift.Last == nil || s.Drift.Servers == 0 || s.LastSync == nil || s.Audit.Ended == nil {
		t.Errorf("drift %+v, last sync %+v, audit %+v", s.Drift, s.LastSync, s.Audit)
	}
	if len(s.Problems) != 1 || s.Problems[0].Reason != "AddressRefused" {
		t.Errorf("problems %+v", s.Problems)
	}
	var recent []string
	for _, o := range s.Recent {
		recent = append(recent, o.Service+" "+o.Text)
	}
	if all := strings.Join(recent, "\n"); !strings.Contains(all, "ns/thief AddressRefused") || !strings.Contains(all, "not as Fairlead left it") {
		t.Errorf("recent:\n%s", all)
	}
}

// twin gives a slice another name, so that a Service may have two.
func twin(slice *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	slice.Name += "-b"
	return slice
}
