package controller

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/controller/render"
)

// Host is the machine that this node is.
type Host struct {
	// Addresses returns the host's own addresses, those of the device for VIPs not among them. Nil: it
	// has none.
	Addresses func() ([]netip.Addr, error)
	// Watch calls changed after every change of them until ctx ends. Nil: they are not followed.
	Watch func(ctx context.Context, changed func()) error
}

func (h Host) list() ([]netip.Addr, error) {
	if h.Addresses == nil {
		return nil, nil
	}
	addrs, err := h.Addresses()
	if err != nil {
		return nil, fmt.Errorf("list the host's addresses: %w", err)
	}
	return addrs, nil
}

// NodePorts says which of the host's addresses serve node ports (kube-proxy: nodePortAddresses).
type NodePorts struct {
	All       bool
	Primary   bool // the Node's own IPs, one of each family
	Localhost bool // the loopback, by a relay
	CIDRs     []netip.Prefix
}

// choose returns the addresses that serve node ports.
func (p NodePorts) choose(host []netip.Addr, n node) (addrs []netip.Addr) {
	for _, addr := range host {
		if p.All || p.Primary && n.ip(addr) == addr || slices.ContainsFunc(p.CIDRs, func(c netip.Prefix) bool { return c.Contains(addr) }) {
			addrs = append(addrs, addr)
		}
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	return slices.Compact(addrs)
}

// apiServer is the Service whose endpoints are the API server.
func apiServer() types.NamespacedName {
	return types.NamespacedName{Namespace: "default", Name: "kubernetes"}
}

// factsChanged notes that a fact about this node, the host or who owns an address may have changed. It
// is safe for concurrent use, as the event handlers that call it.
func (c *Controller) factsChanged() {
	c.factsStale.Store(true)
	c.dirty.poke()
}

// followFacts takes over what has changed about the node. That concerns every Service, but is rare; a
// changed owner concerns those who want the address.
func (c *Controller) followFacts() error {
	if !c.factsStale.Swap(false) {
		return nil
	}
	host, err := c.options.Host.list()
	if err != nil {
		c.factsStale.Store(true)
		return err
	}
	now := nodeOf(c.objects.node(), host).after(c.node)
	c.followOwners(host, now)
	ports := c.options.NodePorts.choose(host, now)
	ips := slices.Concat(now.ips, host)
	if c.node.equal(now) && slices.Equal(ports, c.render.NodePortAddrs) && slices.Equal(ips, c.render.NodeIPs) {
		return nil
	}
	if !now.registered && c.options.NodeName != "" {
		c.log.Info("no Node of this name yet; the host's own addresses serve", "node", c.options.NodeName)
	}
	c.log.Info("node facts", "ips", now.ips, "zone", now.zone, "podCIDRs", now.podCIDRs, "eligible", now.eligible, "nodePorts", ports)
	podCIDRs := slices.Equal(c.node.podCIDRs, now.podCIDRs)
	c.node = now
	c.render.Zone, c.render.NodeIPs, c.render.NodePortAddrs = now.zone, ips, ports
	c.Health.SetNodeEligible(now.eligible)
	c.listenForHealthChecks(ports)
	c.claims.rebind()
	for _, name := range c.objects.names() {
		c.dirty.add(name)
	}
	if c.options.NodeCIDR && !podCIDRs {
		c.options.Masq.Pods.CIDRs = now.podCIDRs
		c.masq.SetOptions(c.options.Masq)
		c.stale = true
	}
	return nil
}

func (c *Controller) listenForHealthChecks(ports []netip.Addr) {
	if c.options.NodePorts.All || len(ports) == 0 {
		ports = nil // everywhere, as kube-proxy does
	}
	c.healthChecks.Addresses(ports)
}

// owner is who an address belongs to, so that no Service may take it.
type owner struct {
	name   string
	strict bool // not even for a load balancer
}

// followOwners takes over who owns which address, and has the Services that want one whose owner has
// changed rendered anew.
func (c *Controller) followOwners(host []netip.Addr, now node) {
	owners := make(map[netip.Addr]owner)
	for _, addr := range host {
		// A load balancer's address may well be on a device of the host: some are put there by the
		// load balancer itself.
		owners[addr] = owner{"this node", false}
	}
	for _, object := range c.objects.nodes() {
		for _, ip := range nodeOf(object, nil).ips {
			owners[ip] = owner{"node " + object.Name, true}
		}
	}
	for _, ip := range now.ips {
		owners[ip] = owner{"this node", now.registered}
	}
	for _, slice := range c.objects.endpointSlices(apiServer()) {
		for _, ip := range addressesOf(slice) {
			owners[ip] = owner{"the API server", true}
		}
	}
	changed := func(addr netip.Addr) {
		if c.owners[addr] != owners[addr] {
			for name := range c.claims.wanted[addr] {
				c.dirty.add(name)
			}
		}
	}
	for addr := range maps.Keys(c.owners) {
		changed(addr)
	}
	for addr := range maps.Keys(owners) {
		changed(addr)
	}
	c.owners = owners
}

func addressesOf(slice *discoveryv1.EndpointSlice) (addrs []netip.Addr) {
	for _, e := range slice.Endpoints {
		for _, text := range e.Addresses {
			if addr, err := netip.ParseAddr(text); err == nil {
				addrs = append(addrs, addr.Unmap())
			}
		}
	}
	return addrs
}

// refused returns whose an address is that a Service must not have.
func (c *Controller) refused(kind render.Kind, addr netip.Addr) (whose string) {
	o, owned := c.owners[addr]
	if !owned || kind == render.LoadBalancer && !o.strict {
		return ""
	}
	return o.name
}
