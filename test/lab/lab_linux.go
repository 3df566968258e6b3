package lab

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The fabric's addresses exist in the lab's own namespaces only, so every lab uses the same.
const (
	firstNode   = 10  // 192.168.77.10, fd00:77::10
	firstClient = 100 // 192.168.77.100, fd00:77::100
)

// fabricAddrs are the addresses of one host on the fabric, with the fabric's prefix length.
func fabricAddrs(number int) []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix(fmt.Sprintf("192.168.77.%d/24", number)),
		netip.MustParsePrefix(fmt.Sprintf("fd00:77::%d/64", number)),
	}
}

// Options are what may differ between labs. The zero value is useful.
type Options struct {
	ID string // part of every namespace's name; empty: random
}

// Lab is a network of nodes, pods and outside clients. Build it from one goroutine; use its parts from any.
type Lab struct {
	ID string

	fabric *Namespace
	bridge netlink.Link

	mu      sync.Mutex
	spaces  []*Namespace // in order of creation; Close goes backward
	nodes   []*Node
	clients int
}

// Create makes an empty lab: the fabric and nothing on it. It needs root.
func Create(ctx context.Context, opts Options) (*Lab, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("create lab: %w", err)
	}
	l := &Lab{ID: opts.ID}
	if l.ID == "" {
		var id [3]byte
		rand.Read(id[:]) //nolint:errcheck // never fails, see crypto/rand
		l.ID = hex.EncodeToString(id[:])
	}
	if err := l.buildFabric(); err != nil {
		return nil, errors.Join(fmt.Errorf("create lab %s: %w", l.ID, err), l.Close())
	}
	return l, nil
}

// buildFabric makes the bridge and gives it the gateway's addresses. The fabric forwards and has no route to anything
// beyond: who asks for an address that nobody has is told so at once, by ICMP, instead of waiting for a time limit.
func (l *Lab) buildFabric() error {
	var err error
	if l.fabric, err = l.newNamespace("fabric"); err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "br0"
	if err := l.fabric.link.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		return fmt.Errorf("add bridge: %w", err)
	}
	if l.bridge, err = l.fabric.link.LinkByName("br0"); err != nil {
		return err
	}
	for _, addr := range fabricAddrs(1) {
		if err := l.fabric.addAddress(l.bridge, addr); err != nil {
			return err
		}
	}
	return l.fabric.bringUp("br0")
}

// Beyond makes the fabric's gateway answer under a name, on a TCP port of every address of some networks, as if these were
// somewhere behind it. What no node takes for itself ends up there, and says so.
func (l *Lab) Beyond(name string, port uint16, prefixes ...string) error {
	lo, err := l.fabric.link.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("beyond the fabric: %w", err)
	}
	nets, err := parseAll(prefixes, netip.ParsePrefix)
	if err != nil {
		return fmt.Errorf("beyond the fabric: %w", err)
	}
	for _, prefix := range nets {
		route := &netlink.Route{Dst: ipNet(prefix.Masked()), LinkIndex: lo.Attrs().Index, Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL}
		if prefix.Addr().Is4() {
			route.Scope = netlink.SCOPE_HOST
		}
		if err := l.fabric.link.RouteReplace(route); err != nil {
			return fmt.Errorf("beyond the fabric: route %s: %w", prefix, err)
		}
	}
	for _, node := range l.nodes { // answers to pods find their way
		for _, cidr := range node.PodCIDRs {
			if err := l.fabric.addRoute(cidr, l.bridge, node.Addr(cidr.Addr())); err != nil {
				return fmt.Errorf("beyond the fabric: %w", err)
			}
		}
	}
	for _, wildcard := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		if _, err := l.fabric.ServeTCP(netip.AddrPortFrom(wildcard, port).String(), name); err != nil {
			return fmt.Errorf("beyond the fabric: %w", err)
		}
	}
	return nil
}

// AddRoute makes the fabric's gateway send a prefix, such as one client's address, through a node.
func (l *Lab) AddRoute(prefix string, via *Node) error {
	return l.fabric.routeVia(l.bridge, prefix, via)
}

// plug gives a namespace eth0 on the fabric with the addresses of a host number, and default routes to the gateway.
func (l *Lab) plug(n *Namespace, number int) (netlink.Link, error) {
	port, eth0, err := l.fabric.join(fmt.Sprintf("port%d", number), n, "eth0")
	if err != nil {
		return nil, err
	}
	if err := l.fabric.link.LinkSetMaster(port, l.bridge); err != nil {
		return nil, fmt.Errorf("plug %s into the bridge: %w", n.Name, err)
	}
	for _, addr := range fabricAddrs(number) {
		if err := n.addAddress(eth0, addr); err != nil {
			return nil, err
		}
	}
	for _, gateway := range fabricAddrs(1) {
		if err := n.addRoute(everywhere(gateway.Addr()), eth0, gateway.Addr()); err != nil {
			return nil, err
		}
	}
	return eth0, nil
}

// newNamespace makes a namespace that Close removes.
func (l *Lab) newNamespace(name string) (*Namespace, error) {
	n, err := newNamespace("fl-" + l.ID + "-" + name)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spaces = append(l.spaces, n)
	return n, nil
}

// discard removes one namespace before its time.
func (l *Lab) discard(n *Namespace) error {
	l.mu.Lock()
	l.spaces = slices.DeleteFunc(l.spaces, func(s *Namespace) bool { return s == n })
	l.mu.Unlock()
	return n.Close()
}

// Close removes the whole lab: servers, processes, devices, namespaces. What fails does not keep the rest from going.
func (l *Lab) Close() error {
	l.mu.Lock()
	spaces := l.spaces
	l.spaces = nil
	l.mu.Unlock()
	var errs []error
	for _, n := range slices.Backward(spaces) {
		errs = append(errs, n.Close())
	}
	return errors.Join(errs...)
}
