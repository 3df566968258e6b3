package controller

import (
	"net/netip"
	"reflect"

	corev1 "k8s.io/api/core/v1"
)

// node is what is known about this node: one value, never changed, replaced as a whole.
type node struct {
	zone     string
	ips      []netip.Addr // InternalIPs, then ExternalIPs; without a Node object, the host's
	podCIDRs []netip.Prefix
}

// nodeOf reads a Node object. Without one, the host's own addresses serve.
func nodeOf(object *corev1.Node, hostIPs []netip.Addr) node {
	if object == nil {
		return node{ips: hostIPs}
	}
	n := node{zone: object.Labels[corev1.LabelTopologyZone]}
	for _, kind := range []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeExternalIP} {
		for _, a := range object.Status.Addresses {
			if ip, err := netip.ParseAddr(a.Address); err == nil && a.Type == kind {
				n.ips = append(n.ips, ip.Unmap())
			}
		}
	}
	if len(n.ips) == 0 {
		n.ips = hostIPs
	}
	for _, text := range object.Spec.PodCIDRs {
		if cidr, err := netip.ParsePrefix(text); err == nil {
			n.podCIDRs = append(n.podCIDRs, cidr.Masked())
		}
	}
	return n
}

// ip returns the node's first address of the family of other, or the invalid address.
func (n node) ip(other netip.Addr) netip.Addr {
	for _, ip := range n.ips {
		if ip.Is4() == other.Is4() {
			return ip
		}
	}
	return netip.Addr{}
}

func (n node) equal(o node) bool { return reflect.DeepEqual(n, o) }
