package render

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// addresses is a set: somebody may list very many.
type addresses struct {
	few[netip.Addr, struct{}]
}

// add reports whether the address is new.
func (a *addresses) add(addr netip.Addr) bool {
	before := len(a.pairs)
	a.at(addr)
	return len(a.pairs) > before
}

// clusterIPs returns the Service's usable cluster IPs and notes in which families it has any: in
// another one it has no other address either.
func (w *work) clusterIPs() (vips []netip.Addr) {
	var seen addresses
	for _, text := range ClusterIPs(w.svc) {
		vip, ok := w.address("cluster IP", text)
		if !ok || !seen.add(vip) {
			continue
		}
		w.ipv4, w.ipv6 = w.ipv4 || vip.Is4(), w.ipv6 || vip.Is6()
		if w.excluded("cluster IP", vip) || w.owned(ClusterIP, "cluster IP", vip) {
			continue
		}
		vips = append(vips, vip)
	}
	return vips
}

// ClusterIPs returns the cluster IPs of a Service as it has them.
func ClusterIPs(svc *corev1.Service) []string {
	if len(svc.Spec.ClusterIPs) == 0 {
		return []string{svc.Spec.ClusterIP}
	}
	return svc.Spec.ClusterIPs
}

// ingressIPs returns the addresses that a load balancer hands on to this node as they are. One with
// ipMode Proxy sends to node ports, and one with a host name only is for DNS.
func (w *work) ingressIPs() (vips []netip.Addr) {
	if w.svc.Spec.Type != corev1.ServiceTypeLoadBalancer {
		return nil
	}
	var seen addresses
	for _, ingress := range w.svc.Status.LoadBalancer.Ingress {
		if ingress.IP == "" || ingress.IPMode != nil && *ingress.IPMode != corev1.LoadBalancerIPModeVIP {
			continue
		}
		if vip, ok := w.borrowed(LoadBalancer, "load balancer IP", ingress.IP); ok && seen.add(vip) {
			vips = append(vips, vip)
		}
	}
	return vips
}

func (w *work) externalIPs() (vips []netip.Addr) {
	var seen addresses
	for _, text := range w.svc.Spec.ExternalIPs {
		vip, ok := w.borrowed(ExternalIP, "external IP", text)
		if !ok || !seen.add(vip) {
			continue
		}
		if allowed := w.o.AllowedExternalIPs; len(allowed) > 0 && !contains(allowed, vip) {
			w.problem(refused, "external IP %s is not in externalIPs.allowedCIDRs", vip)
			continue
		}
		vips = append(vips, vip)
	}
	return vips
}

// nodeAddrs returns the node's addresses in the families of the Service.
func (w *work) nodeAddrs() (addrs []netip.Addr) {
	for _, addr := range w.o.NodePortAddrs {
		if (addr.Is4() && w.ipv4 || addr.Is6() && w.ipv6) && !contains(w.o.Excluded, addr) {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

// borrowed reads an address that somebody chose who may not own it.
func (w *work) borrowed(kind Kind, what, text string) (vip netip.Addr, ok bool) {
	vip, ok = w.address(what, text)
	switch {
	case !ok || w.excluded(what, vip):
		return vip, false
	case vip.Is4() && !w.ipv4 || vip.Is6() && !w.ipv6:
		w.problem(badAddress, "%s %s: the Service has no cluster IP of that family", what, vip)
		return vip, false
	}
	if w.wanted.add(vip) {
		w.External = append(w.External, vip)
	}
	return vip, !w.owned(kind, what, vip)
}

// owned reports that an address is somebody's who must not lose it. Whoever bound it would cut its owner
// off: packets to it would stay here, and the guard would refuse all that is not for the Service.
func (w *work) owned(kind Kind, what string, vip netip.Addr) bool {
	if w.o.Refused == nil {
		return false
	}
	whose := w.o.Refused(kind, vip)
	if whose != "" {
		w.problem(refused, "%s %s belongs to %s and is not taken away", what, vip, whose)
	}
	return whose != ""
}

// address reads an address that could be a VIP.
func (w *work) address(what, text string) (vip netip.Addr, ok bool) {
	vip, err := netip.ParseAddr(text)
	switch {
	case err != nil || vip.Zone() != "" || vip.Is4In6():
		w.problem(badAddress, "%s %q is not an IP address", what, text)
	case !bindable(vip):
		w.problem(refused, "%s %s can be no Service's address", what, vip)
	case vip.Is6() && !w.o.IPv6:
		w.problem(badAddress, "%s %s: this node has no IPv6", what, vip)
	default:
		return vip, true
	}
	return vip, false
}

func (w *work) excluded(what string, vip netip.Addr) bool {
	if !contains(w.o.Excluded, vip) {
		return false
	}
	w.problem(refused, "%s %s is in ipvs.excludeCIDRs", what, vip)
	return true
}

func contains(cidrs []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(cidrs, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// bindable refuses addresses that mean something else to every host. 0.0.0.0/8 without its first address is a range as
// any other (since Linux 5.3: ipv4_is_zeronet, include/linux/in.h).
func bindable(a netip.Addr) bool {
	broadcast := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	return !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && !a.IsLinkLocalUnicast() && a != broadcast
}

// ranges are the loadBalancerSourceRanges of a Service, by family.
type ranges struct {
	any    bool // some are given, and some could not be read: then a family without any admits nobody
	v4, v6 []netip.Prefix
}

// restriction reads loadBalancerSourceRanges. One that cannot be read admits nobody, and does not lift
// the restriction.
func restriction(svc *corev1.Service, problem complain) (r ranges) {
	for _, text := range svc.Spec.LoadBalancerSourceRanges {
		cidr, err := netip.ParsePrefix(strings.TrimSpace(text))
		switch {
		case err != nil || cidr.Addr().Is4In6():
			problem(badValue, "source range %q is not a CIDR; it admits nobody", text)
			r.any = true
		case cidr.Addr().Is4():
			r.v4 = append(r.v4, cidr.Masked())
		default:
			r.v6 = append(r.v6, cidr.Masked())
		}
	}
	return r
}

// at returns who may come to a VIP. Ranges of the other family do not concern it, and one of length 0
// is no restriction. A range with an address of this node also admits the VIP itself: a process of the
// node that connects to a bound VIP has it as its source.
func (r ranges) at(vip netip.Addr, nodeIPs []netip.Addr) (restricted bool, sources []netip.Prefix) {
	cidrs := r.v4
	if vip.Is6() {
		cidrs = r.v6
	}
	if len(cidrs) == 0 {
		return r.any, nil
	}
	itself := netip.PrefixFrom(vip, vip.BitLen())
	for _, cidr := range cidrs {
		if cidr.Bits() == 0 {
			return false, nil
		}
		sources = append(sources, cidr)
		if slices.ContainsFunc(nodeIPs, cidr.Contains) {
			sources = append(sources, itself)
		}
	}
	slices.SortFunc(sources, comparePrefixes)
	return true, slices.Compact(sources)
}

func comparePrefixes(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}
