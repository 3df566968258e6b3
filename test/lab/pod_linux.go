package lab

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// Every pod has the same gateways, which no device owns: permanent neighbor entries lead to the node's end of the veth.
var (
	gateway4 = netip.MustParseAddr("169.254.1.1")
	gateway6 = netip.MustParseAddr("fe80::1")
)

// Pod is a namespace on a node, joined by a veth whose end on the node has no global address, as under Calico.
type Pod struct {
	*Namespace

	Addrs []netip.Addr
	Node  *Node

	veth netlink.Link // the node's end
}

// AddPod adds a pod with the given addresses, usually one of each family out of the node's pod CIDRs. The node's end of
// the veth is vethN, numbered per node, with the pod's name as its alias.
func (n *Node) AddPod(name string, addrs ...string) (_ *Pod, err error) {
	parsed, err := parseAll(addrs, netip.ParseAddr)
	if err != nil {
		return nil, fmt.Errorf("pod %s: %w", name, err)
	}
	ns, err := n.lab.newNamespace(name)
	if err != nil {
		return nil, err
	}
	pod := &Pod{Namespace: ns, Addrs: parsed, Node: n}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("pod %s on %s: %w", name, n.Name, err), pod.Remove())
		}
	}()
	n.pods++
	veth, eth0, err := n.join(fmt.Sprintf("veth%d", n.pods), ns, "eth0")
	if err != nil {
		return nil, err
	}
	pod.veth = veth
	if err := n.link.LinkSetAlias(veth, name); err != nil {
		return nil, err
	}
	for _, addr := range parsed {
		if err := pod.connect(addr, eth0); err != nil {
			return nil, err
		}
	}
	return pod, nil
}

// connect makes one address of the pod reachable from the node and the rest of the world reachable from the pod.
func (p *Pod) connect(addr netip.Addr, eth0 netlink.Link) error {
	gateway := gateway4
	if addr.Is6() {
		gateway = gateway6
	}
	return errors.Join(
		p.addAddress(eth0, host(addr)),
		p.addNeighbor(eth0, gateway, p.veth.Attrs().HardwareAddr),
		p.addRoute(everywhere(addr), eth0, gateway),
		p.Node.addNeighbor(p.veth, addr, eth0.Attrs().HardwareAddr),
		p.Node.addRoute(host(addr), p.veth, netip.Addr{}),
	)
}

// Addr4 is the pod's first IPv4 address; the zero Addr if it has none.
func (p *Pod) Addr4() netip.Addr { return p.first(netip.Addr.Is4) }

// Addr6 is the pod's first IPv6 address; the zero Addr if it has none.
func (p *Pod) Addr6() netip.Addr { return p.first(netip.Addr.Is6) }

func (p *Pod) first(ok func(netip.Addr) bool) netip.Addr {
	for _, addr := range p.Addrs {
		if ok(addr) {
			return addr
		}
	}
	return netip.Addr{}
}

// Remove makes the pod vanish as a killed one does: its servers end and its veth is gone, with the node's routes to it,
// when Remove returns.
func (p *Pod) Remove() error { return p.Node.lab.discard(p.Namespace) }
