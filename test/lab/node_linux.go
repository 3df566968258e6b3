package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
)

// Node is a cluster node: a host on the fabric that forwards for its pods.
type Node struct {
	*Namespace

	Addr4, Addr6 netip.Addr     // on eth0
	PodCIDRs     []netip.Prefix // the other nodes route these here

	lab  *Lab
	eth0 netlink.Link
	pods int // made so far; numbers the veths
}

// AddNode adds a node. Nodes are numbered from 192.168.77.10 and fd00:77::10 up. Every node has routes to the pod CIDRs of
// the others; nothing else routes them, as in a cluster without an overlay.
func (l *Lab) AddNode(name string, podCIDRs ...string) (_ *Node, err error) {
	cidrs, err := parseAll(podCIDRs, netip.ParsePrefix)
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", name, err)
	}
	n, err := l.newNamespace(name)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.discard(n))
		}
	}()
	number := firstNode + len(l.nodes)
	addrs := fabricAddrs(number)
	node := &Node{Namespace: n, Addr4: addrs[0].Addr(), Addr6: addrs[1].Addr(), PodCIDRs: cidrs, lab: l}
	if node.eth0, err = l.plug(n, number); err != nil {
		return nil, err
	}
	for _, other := range l.nodes {
		if err := errors.Join(node.routePods(other), other.routePods(node)); err != nil {
			return nil, err
		}
	}
	l.nodes = append(l.nodes, node)
	return node, nil
}

// Addr is the node's address of the same family as to.
func (n *Node) Addr(to netip.Addr) netip.Addr {
	if to.Is4() {
		return n.Addr4
	}
	return n.Addr6
}

// Addrs are the node's addresses, IPv4 first.
func (n *Node) Addrs() []netip.Addr { return []netip.Addr{n.Addr4, n.Addr6} }

// AddAddr gives the node's eth0 one more address. Nobody has a route to it, unless it is in the fabric's network.
func (n *Node) AddAddr(prefix string) error {
	p, err := netip.ParsePrefix(prefix)
	if err != nil {
		return fmt.Errorf("node %s: %w", n.Name, err)
	}
	return n.addAddress(n.eth0, p)
}

// AddRoute sends a prefix to another node.
func (n *Node) AddRoute(prefix string, via *Node) error { return n.routeVia(n.eth0, prefix, via) }

// routePods sends the other node's pod CIDRs to it.
func (n *Node) routePods(other *Node) error {
	for _, cidr := range other.PodCIDRs {
		if err := n.addRoute(cidr, n.eth0, other.Addr(cidr.Addr())); err != nil {
			return err
		}
	}
	return nil
}

// Client is a host on the fabric that is no part of the cluster.
type Client struct {
	*Namespace

	Addr4, Addr6 netip.Addr

	eth0 netlink.Link
}

// AddClient adds an outside client, numbered from 192.168.77.100 and fd00:77::100 up. It has no way to pods and VIPs until
// AddRoute gives it one.
func (l *Lab) AddClient(name string) (_ *Client, err error) {
	n, err := l.newNamespace(name)
	if err != nil {
		return nil, err
	}
	number := firstClient + l.clients
	addrs := fabricAddrs(number)
	c := &Client{Namespace: n, Addr4: addrs[0].Addr(), Addr6: addrs[1].Addr()}
	if c.eth0, err = l.plug(n, number); err != nil {
		return nil, errors.Join(err, l.discard(n))
	}
	l.clients++
	return c, nil
}

// AddRoute sends a prefix, such as a range of VIPs, through a node. A second call for the same prefix moves it.
func (c *Client) AddRoute(prefix string, via *Node) error { return c.routeVia(c.eth0, prefix, via) }

func (n *Namespace) routeVia(eth0 netlink.Link, prefix string, via *Node) error {
	p, err := netip.ParsePrefix(prefix)
	if err != nil {
		return fmt.Errorf("namespace %s: route: %w", n.Name, err)
	}
	return n.addRoute(p.Masked(), eth0, via.Addr(p.Addr()))
}

// parseAll parses every text; it copies, so that the caller's slice is not kept.
func parseAll[T any](texts []string, parse func(string) (T, error)) ([]T, error) {
	var all []T
	for _, text := range texts {
		one, err := parse(text)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return slices.Clip(all), nil
}
