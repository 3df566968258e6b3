package render_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/controller/render"
	"github.com/fairlead-lb/fairlead/ipvs"
)

// check checks what must hold of any result.
func check(t *testing.T, r render.Rendered, svc *corev1.Service, o render.Options) {
	t.Helper()
	if (len(r.Servers) == 0) != (r.Reason != "") {
		t.Errorf("%d servers and the reason %q for there being none", len(r.Servers), r.Reason)
	}
	seen := make(map[ipvs.Key]bool)
	families := make(map[bool]bool)
	led := make(map[int]bool)
	for _, s := range r.Servers {
		if seen[s.Key] {
			t.Errorf("%s is there twice", s.Key)
		}
		seen[s.Key], families[s.Key.Addr.Addr().Is4()] = true, true
		checkServer(t, s, o)
		checkPolicies(t, r, s, svc)
		checkSources(t, s, svc)
		if s.Outside == render.OutsideLocal {
			led[s.Local] = true
		}
	}
	if len(led) != len(r.Locals) {
		t.Errorf("%d Locals, and servers lead to %d of them", len(r.Locals), len(led))
	}
	for n, addr := range r.Hairpin {
		if !families[addr.Is4()] || !usable(addr) {
			t.Errorf("hairpin entry %s of a family or kind that has no virtual server", addr)
		}
		if n > 0 && !r.Hairpin[n-1].Less(addr) {
			t.Errorf("hairpin entries not sorted or not unique: %v", r.Hairpin)
		}
	}
	for _, relay := range r.Relays {
		if !o.Localhost || !relay.Listen.Addr().IsLoopback() || relay.Listen.Port() == 0 || !slices.IsSortedFunc(relay.Targets, netip.AddrPort.Compare) {
			t.Errorf("relay %+v", relay)
		}
	}
	if h := r.Health; h.Local < 0 || h.Port != 0 && (svc.Spec.Type != corev1.ServiceTypeLoadBalancer || svc.Spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal) {
		t.Errorf("health %+v", h)
	}
	if !slices.IsSortedFunc(r.Problems, func(a, b render.Problem) int { return strings.Compare(a.Text, b.Text) }) {
		t.Errorf("problems in no order: %v", r.Problems)
	}
	if d := r.Settings.DrainTimeout; d != nil && *d < 0 {
		t.Errorf("drain timeout %v", *d)
	}
}

// checkServer checks that the kernel would take the virtual server, and its owner does not mind.
func checkServer(t *testing.T, s render.Server, o render.Options) {
	t.Helper()
	vip := s.Key.Addr.Addr()
	excluded := func(p netip.Prefix) bool { return p.Contains(vip) }
	if !usable(vip) || s.Key.Addr.Port() == 0 || vip.Is6() && !o.IPv6 || slices.ContainsFunc(o.Excluded, excluded) {
		t.Errorf("%s can be no virtual server here", s.Key)
	}
	if s.Kind != render.NodePort && whose(s.Kind, vip) != "" {
		t.Errorf("%s of kind %s belongs to %s", s.Key, s.Kind, whose(s.Kind, vip))
	}
	if s.Kind == render.ExternalIP && len(o.AllowedExternalIPs) > 0 && !slices.ContainsFunc(o.AllowedExternalIPs, excluded) {
		t.Errorf("%s is not allowed", s.Key)
	}
	if s.Kind == render.NodePort && !slices.Contains(o.NodePortAddrs, vip) {
		t.Errorf("node port %s on an address that serves none", s.Key)
	}
	if !slices.Contains([]ipvs.Protocol{ipvs.TCP, ipvs.UDP, ipvs.SCTP}, s.Key.Protocol) {
		t.Errorf("%s: unknown protocol", s.Key)
	}
	if p := s.Config.Persistence; p < 0 || p > 24*time.Hour || p%time.Second != 0 {
		t.Errorf("%s: persistence %v", s.Key, p)
	}
	if c := s.Config; !slices.Contains(ipvs.Schedulers(), c.Scheduler) || c.Scheduler == "twos" || c.Flags&^(ipvs.SchedFallback|ipvs.SchedPort) != 0 {
		t.Errorf("%s: %+v cannot be asked of this kernel", s.Key, c)
	}
	if !slices.IsSortedFunc(s.Reals, func(a, b ipvs.Real) int { return a.Addr.Compare(b.Addr) }) {
		t.Errorf("%s: %v are not sorted", s.Key, s.Reals)
	}
	for i, v := range s.Reals {
		at := v.Addr
		if i > 0 && s.Reals[i-1].Addr == at {
			t.Errorf("%s: %s is there twice", s.Key, at)
		}
		if !usable(at.Addr()) || at.Addr().Is4() != vip.Is4() || at.Port() == 0 || v.Foreign {
			t.Errorf("%s: real server %s %+v", s.Key, at, v)
		}
	}
}

// checkPolicies checks that no two answers are given to one client.
func checkPolicies(t *testing.T, r render.Rendered, s render.Server, svc *corev1.Service) {
	t.Helper()
	external := svc.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
	if s.Drop && len(s.Reals) > 0 {
		t.Errorf("%s drops, and has real servers", s.Key)
	}
	if s.Kind == render.ClusterIP && (s.Masquerade || s.Outside != render.OutsideAlike) || s.Kind != render.ClusterIP && s.Drop {
		t.Errorf("%s of kind %s: %+v", s.Key, s.Kind, s)
	}
	if s.Kind != render.ClusterIP && s.Masquerade == external {
		t.Errorf("%s: masquerade %v, though externalTrafficPolicy is %q", s.Key, s.Masquerade, svc.Spec.ExternalTrafficPolicy)
	}
	if s.Masquerade && s.Outside != render.OutsideAlike {
		t.Errorf("%s masquerades clients from outside and leads them aside", s.Key)
	}
	if s.Outside != render.OutsideLocal {
		return
	}
	if s.Local < 0 || s.Local >= len(r.Locals) {
		t.Fatalf("%s: there is no Local %d", s.Key, s.Local)
	}
	l := r.Locals[s.Local]
	if len(l.Reals) == 0 || l.Protocol != s.Key.Protocol || l.IPv6 != s.Key.Addr.Addr().Is6() {
		t.Errorf("%s leads to %+v", s.Key, l)
	}
	// Affinity is by hashing there: see byMark.
	if hashes := l.Config.Scheduler == "mh" || l.Config.Scheduler == "sh"; l.Config.Persistence > 0 ||
		s.Config.Persistence > 0 && !hashes || s.Config.Persistence == 0 && l.Config != s.Config {
		t.Errorf("%s: %+v leads to %+v", s.Key, s.Config, l.Config)
	}
	for _, real := range l.Reals {
		if !slices.Contains(r.Hairpin, real.Addr.Addr()) {
			t.Errorf("%s leads to %s, which is not on this node", s.Key, real.Addr)
		}
	}
	for _, other := range r.Servers {
		if other.Outside == render.OutsideLocal && other.Local == s.Local && !other.Reals.Equal(s.Reals) {
			t.Errorf("%s and %s lead to one Local, and have other real servers", s.Key, other.Key)
		}
	}
}

// checkSources checks that the set can hold the sources.
func checkSources(t *testing.T, s render.Server, svc *corev1.Service) {
	t.Helper()
	if s.Restricted && (s.Kind != render.LoadBalancer || len(svc.Spec.LoadBalancerSourceRanges) == 0) || !s.Restricted && len(s.Sources) > 0 {
		t.Errorf("%s of kind %s: restricted %v to %v", s.Key, s.Kind, s.Restricted, s.Sources)
	}
	for n, cidr := range s.Sources {
		if cidr.Bits() <= 0 || cidr != cidr.Masked() || cidr.Addr().Is4() != s.Key.Addr.Addr().Is4() {
			t.Errorf("%s: source %s", s.Key, cidr)
		}
		if slices.Contains(s.Sources[:n], cidr) {
			t.Errorf("%s: source %s is there twice", s.Key, cidr)
		}
	}
	if !slices.IsSortedFunc(s.Sources, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	}) {
		t.Errorf("%s: sources in no order: %v", s.Key, s.Sources)
	}
}
