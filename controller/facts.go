package controller

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/controller/render"
	"github.com/fairlead-lb/fairlead/masq"
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

// followFacts takes over what has changed about the node. That concerns every Service, but is rare; a
// changed owner concerns those who want the address.
func (c *Controller) followFacts() error {
	if !c.feed.factsStale.Swap(false) {
		return nil
	}
	host, err := c.options.Host.list()
	if err != nil {
		c.feed.factsStale.Store(true)
		return err
	}
	now := nodeOf(c.objects.node(), host).after(c.node)
	c.followOwners(host, now)
	ports := c.options.NodePorts.choose(host, now)
	ips := slices.Concat(now.ips, host)
	c.listenForHealthChecks(ports)
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
	c.claims.rebind()
	for _, name := range c.objects.names() {
		c.dirty.add(name)
	}
	if c.options.NodeCIDR && !podCIDRs {
		c.options.Masq.Pods = masq.Pods{CIDRs: now.podCIDRs}
		c.masq.SetOptions(c.options.Masq)
		c.rules.change()
	}
	return nil
}

// listenForHealthChecks listens where node ports are served, everywhere where that is everywhere, as kube-proxy does: a load
// balancer may ask at a VIP.
func (c *Controller) listenForHealthChecks(ports []netip.Addr) {
	if c.options.NodePorts.All || len(ports) == 0 {
		c.healthChecks.Addresses(nil)
		return
	}
	for _, cidr := range c.options.NodePorts.CIDRs {
		if cidr.Bits() == 0 { // all of a family
			same := func(addr netip.Addr) bool { return addr.Is4() == cidr.Addr().Is4() }
			ports = append(slices.DeleteFunc(slices.Clone(ports), same), cidr.Masked().Addr())
		}
	}
	c.healthChecks.Addresses(ports)
}

// owner is who an address belongs to, so that no Service may take it.
type owner struct {
	name   string
	strict bool // not even for a load balancer
	firm   bool // not even as a cluster IP
}

// followOwners takes over who owns which address, and has the Services that want one whose owner has
// changed rendered anew. Cluster IPs give way only to this node and to the API server: without these the
// node could not be reached, or not be told. What another node says of itself takes no cluster IP away,
// or a single bad node could take the cluster's DNS from all.
func (c *Controller) followOwners(host []netip.Addr, now node) {
	owners := make(map[netip.Addr]owner)
	for _, addr := range host {
		// A load balancer's address may well be on a device of the host: some are put there by the
		// load balancer itself.
		owners[addr] = owner{name: "this node", firm: true}
	}
	for _, object := range c.objects.nodes() {
		for _, ip := range nodeOf(object, nil).ips {
			owners[ip] = owner{name: "node " + object.Name, strict: true, firm: owners[ip].firm}
		}
	}
	for _, ip := range now.ips {
		owners[ip] = owner{name: "this node", strict: now.registered, firm: true}
	}
	for _, slice := range c.objects.endpointSlices(apiServer()) {
		for _, ip := range slice.Addresses {
			owners[ip] = owner{name: "the API server", strict: true, firm: true}
		}
	}
	var firm []string
	changed := func(addr netip.Addr) {
		if c.owners[addr] == owners[addr] {
			return
		}
		for name := range c.claims.wanted[addr] {
			c.dirty.add(name)
		}
		if c.owners[addr].firm != owners[addr].firm {
			firm = append(firm, addr.String())
		}
	}
	for addr := range maps.Keys(c.owners) {
		changed(addr)
	}
	for addr := range maps.Keys(owners) {
		changed(addr)
	}
	c.owners = owners
	c.clusterIPsChanged(firm)
}

// clusterIPsChanged has the Services with one of these cluster IPs rendered anew. It looks at every
// Service: that is rare, and who has which cluster IP is not worth remembering for it.
func (c *Controller) clusterIPsChanged(ips []string) {
	if len(ips) == 0 {
		return
	}
	changed := func(ip string) bool { return slices.Contains(ips, ip) }
	for _, name := range c.objects.names() {
		if svc := c.objects.service(name); svc != nil && slices.ContainsFunc(render.ClusterIPs(svc), changed) {
			c.dirty.add(name)
		}
	}
}

// refused returns whose an address is that a Service must not have.
func (c *Controller) refused(kind render.Kind, addr netip.Addr) (whose string) {
	o, owned := c.owners[addr]
	if !owned || kind == render.LoadBalancer && !o.strict || kind == render.ClusterIP && !o.firm {
		return ""
	}
	return o.name
}
