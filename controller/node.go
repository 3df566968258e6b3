package controller

import (
	"net/netip"
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// node is what is known about this node: one value, never changed, replaced as a whole.
type node struct {
	zone       string
	ips        []netip.Addr // InternalIPs, then ExternalIPs; without a Node object, the host's
	podCIDRs   []netip.Prefix
	registered bool // there is a Node object, or there has been one
	eligible   bool // load balancers should send traffic here: the node is not about to go
}

// toBeDeleted is the key of the taint by which the cluster autoscaler announces that it will delete
// a node (cluster-autoscaler/utils/taints).
const toBeDeleted = "ToBeDeletedByClusterAutoscaler"

// nodeOf reads a Node object. Without one, the host's own addresses serve, and so does the node.
func nodeOf(object *corev1.Node, hostIPs []netip.Addr) node {
	if object == nil {
		return node{ips: hostIPs, eligible: true}
	}
	n := node{
		zone: object.Labels[corev1.LabelTopologyZone], registered: true,
		eligible: object.DeletionTimestamp.IsZero() && !slices.ContainsFunc(object.Spec.Taints,
			func(t corev1.Taint) bool { return t.Key == toBeDeleted }),
	}
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

// after is what is known about the node when this is what was known before. A Node object that is no
// longer there was deleted. Unlike one that never was, that takes the node out of service; but as long
// as it goes on serving, what the object said last is better than nothing. Nor do pods move when an
// object stops to say which CIDRs they have.
func (n node) after(before node) node {
	if len(n.podCIDRs) == 0 {
		n.podCIDRs = before.podCIDRs
	}
	if before.registered && !n.registered {
		before.eligible = false
		return before
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
