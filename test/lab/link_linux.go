package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// bringUp sets a device up.
func (n *Namespace) bringUp(device string) error {
	link, err := n.link.LinkByName(device)
	if err == nil {
		err = n.link.LinkSetUp(link)
	}
	if err != nil {
		return fmt.Errorf("namespace %s: bring %s up: %w", n.Name, device, err)
	}
	return nil
}

// join ties two namespaces by a veth pair, both ends up, and returns this end and the other.
func (n *Namespace) join(device string, other *Namespace, otherDevice string) (here, there netlink.Link, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("join %s (%s) and %s (%s): %w", n.Name, device, other.Name, otherDevice, err)
		}
	}()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = device
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: otherDevice, PeerNamespace: netlink.NsFd(other.handle)}
	if err := n.link.LinkAdd(veth); err != nil {
		return nil, nil, err
	}
	if here, err = n.link.LinkByName(device); err != nil {
		return nil, nil, err
	}
	if there, err = other.link.LinkByName(otherDevice); err != nil {
		return nil, nil, err
	}
	return here, there, errors.Join(n.link.LinkSetUp(here), other.link.LinkSetUp(there))
}

// addAddress gives a device an address that is usable at once.
func (n *Namespace) addAddress(link netlink.Link, prefix netip.Prefix) error {
	addr := &netlink.Addr{IPNet: ipNet(prefix)}
	if prefix.Addr().Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	if err := n.link.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("namespace %s: add address %s to %s: %w", n.Name, prefix, link.Attrs().Name, err)
	}
	return nil
}

// addRoute adds a route, or replaces the one to the same destination. Without a gateway the destination is on the link.
func (n *Namespace) addRoute(dst netip.Prefix, link netlink.Link, via netip.Addr) error {
	route := &netlink.Route{Dst: ipNet(dst), LinkIndex: link.Attrs().Index}
	if via.IsValid() {
		route.Gw = via.AsSlice()
		route.Flags = int(netlink.FLAG_ONLINK)
	} else if dst.Addr().Is4() {
		route.Scope = netlink.SCOPE_LINK
	}
	if err := n.link.RouteReplace(route); err != nil {
		return fmt.Errorf("namespace %s: route %s via %s on %s: %w", n.Name, dst, via, link.Attrs().Name, err)
	}
	return nil
}

// addNeighbor pins an address to a hardware address: no ARP and no neighbor discovery where nothing is to be discovered.
func (n *Namespace) addNeighbor(link netlink.Link, addr netip.Addr, hw net.HardwareAddr) error {
	err := n.link.NeighSet(&netlink.Neigh{
		LinkIndex: link.Attrs().Index, Family: family(addr), State: netlink.NUD_PERMANENT,
		IP: addr.AsSlice(), HardwareAddr: hw,
	})
	if err != nil {
		return fmt.Errorf("namespace %s: neighbor %s on %s: %w", n.Name, addr, link.Attrs().Name, err)
	}
	return nil
}

// deleteLinks removes every device that can be removed; the other end of a veth pair goes with it.
func (n *Namespace) deleteLinks() error {
	links, err := n.link.LinkList()
	if err != nil {
		return fmt.Errorf("namespace %s: list devices: %w", n.Name, err)
	}
	var errs []error
	for _, link := range links {
		switch link.Type() {
		case "veth", "bridge", "dummy":
			err := n.link.LinkDel(link)
			if err != nil && !errors.Is(err, unix.ENODEV) && !errors.Is(err, unix.EINVAL) {
				errs = append(errs, fmt.Errorf("namespace %s: delete %s: %w", n.Name, link.Attrs().Name, err))
			}
		}
	}
	return errors.Join(errs...)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// host is the prefix that holds this one address.
func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// everywhere is the default destination of the address's family.
func everywhere(a netip.Addr) netip.Prefix {
	if a.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}
