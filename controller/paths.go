package controller

import (
	"fmt"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/controller/render"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
	"github.com/fairlead-lb/fairlead/view"
)

// The clients that the rules tell apart (docs/packet-path.md).
const (
	fromPod     = "a pod"
	fromNode    = "this node"
	fromOutside = "outside"
)

// paths says how packets of each kind of client fare at each virtual server that a Service has. It says in words
// what masq.Skeleton does by rules; a test holds the two together.
func (c *Controller) paths(name types.NamespacedName, r render.Rendered) []view.Path {
	list := []view.Path{}
	for _, s := range r.Servers {
		if claim := c.claims.servers[s.Key]; claim == nil || claim.claimants[0].name != name {
			continue
		}
		for _, from := range []string{fromPod, fromNode, fromOutside} {
			list = append(list, c.path(s, r, from))
		}
	}
	return list
}

func (c *Controller) path(s render.Server, r render.Rendered, from string) view.Path {
	p := view.Path{Server: s.Key.String(), From: from, Endpoints: []string{}}
	reals, local := s.Reals, false
	outside := from == fromOutside || from == fromPod && !c.podsKnown(s.Key)
	switch {
	case s.Drop:
		p.To = "dropped: a Local policy, and no usable endpoint on this node"
	case outside && s.Outside == render.OutsideDrop:
		p.To = "dropped: externalTrafficPolicy Local, and no usable endpoint on this node"
	case outside && s.Outside == render.OutsideLocal:
		reals, local = r.Locals[s.Local].Reals, true
		mark := c.claims.marks.of[markOwner{c.claims.servers[s.Key].claimants[0].name, r.Locals[s.Local].Port, s.Key.Protocol}]
		p.To = fmt.Sprintf("endpoints on this node, by firewall mark %#x", mark)
	case len(s.Reals) == 0:
		p.To = "refused: no usable endpoint"
	default:
		p.To = "all usable endpoints"
	}
	if s.Restricted && p.To[:7] != "dropped" {
		p.To += ", if the source is in loadBalancerSourceRanges; otherwise dropped"
	}
	for _, real := range reals {
		if real.Weight > 0 {
			p.Endpoints = append(p.Endpoints, real.Addr.String())
		}
	}
	if len(p.Endpoints) > 0 {
		p.Masquerade = c.masquerade(s, from, local)
	}
	return p
}

// podsKnown reports whether the rules can tell what comes from a pod.
func (c *Controller) podsKnown(k ipvs.Key) bool {
	pods := c.options.Masq.Pods
	return pods.Bridge != "" || pods.InterfacePrefix != "" ||
		slices.ContainsFunc(pods.CIDRs, func(cidr netip.Prefix) bool { return masq.FamilyOf(cidr.Addr()) == masq.FamilyOf(k.Addr.Addr()) })
}

// masquerade says which address the endpoint sees, and why.
func (c *Controller) masquerade(s render.Server, from string, local bool) string {
	known := c.podsKnown(s.Key)
	aside := s.Outside != render.OutsideAlike
	switch {
	case from == fromNode && (known || s.Masquerade || aside || c.options.Masq.MasqueradeAll):
		return "masqueraded: a process of the node may have a VIP as its source, to which nobody could answer"
	case from == fromNode:
		return "masqueraded if its source is a VIP (nobody said what a pod is: clusterCIDR, detectLocalMode)"
	case local:
		return "the client's own address: the endpoint is on this node, and answers through it"
	case s.Masquerade:
		return "masqueraded: the endpoint may be on another node, and must answer through this one"
	case aside:
		return "the pod's own address: its answer comes through this node in any case"
	case c.options.Masq.MasqueradeAll:
		return "masqueraded: iptables.masqueradeAll"
	case from == fromOutside && known:
		return "masqueraded: the client is no pod, and its answer must come through this node"
	case from == fromOutside:
		return "the client's own address (nobody said what a pod is: clusterCIDR, detectLocalMode)"
	}
	return "the pod's own address, unless it meets itself"
}
