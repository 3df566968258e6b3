package dummyif

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

// Linux is the Kernel of the network namespace that it was opened in. It writes in batches of its
// own encoding, and reads what is bound by its own decoding: there may be very many. The device itself it
// knows through vishvananda/netlink.
type Linux struct {
	name   string
	index  int
	conn   *nlbatch.Conn
	handle *netlink.Handle
	batch  nlbatch.Batch
	listed int // bindings, the last time

	pages       *nlbatch.Conn // of MoreBindings, between whose calls others come
	list        int           // that is being read in pages, or is next
	interrupted bool          // one of them was
}

var (
	_ Kernel = (*Linux)(nil)
	_ Reader = (*Linux)(nil)
)

// Open connects to the current network namespace. The device need not exist.
func Open(name string) (*Linux, error) {
	conn, err := nlbatch.Dial(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	pages, err := nlbatch.DialPages(unix.NETLINK_ROUTE)
	if err != nil {
		conn.Close()
		return nil, err
	}
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		pages.Close()
		conn.Close()
		return nil, fmt.Errorf("open rtnetlink: %w", err)
	}
	return &Linux{name: name, conn: conn, pages: pages, handle: handle}, nil
}

// Close releases the sockets.
func (l *Linux) Close() error {
	l.handle.Close()
	return errors.Join(l.pages.Close(), l.conn.Close())
}

// Ensure implements Kernel. A device that is there is used as it is, whoever made it, provided
// that it is a dummy: binding VIPs to a real one would hand the node's traffic to IPVS.
func (l *Linux) Ensure() (changed bool, err error) {
	link, err := l.handle.LinkByName(l.name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		if link, err = l.create(); err != nil {
			return true, err
		}
		changed = true
	}
	if err != nil {
		return changed, fmt.Errorf("look up %s: %w", l.name, err)
	}
	if err := isDummy(link); err != nil {
		return changed, err
	}
	l.index = link.Attrs().Index
	if link.Attrs().Flags&net.FlagUp == 0 {
		if err := l.handle.LinkSetUp(link); err != nil {
			return changed, fmt.Errorf("bring up %s: %w", l.name, err)
		}
		changed = true
	}
	return changed, nil
}

func isDummy(link netlink.Link) error {
	if link.Type() != "dummy" {
		return fmt.Errorf("%s is a device of type %s, not a dummy: choose another dummyInterface.name", link.Attrs().Name, link.Type())
	}
	return nil
}

// State implements Reader.
func (l *Linux) State() (State, error) {
	link, err := l.handle.LinkByName(l.name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return Missing, nil
	}
	if err != nil {
		return Missing, fmt.Errorf("look up %s: %w", l.name, err)
	}
	if err := isDummy(link); err != nil {
		return Missing, err
	}
	l.index = link.Attrs().Index
	if link.Attrs().Flags&net.FlagUp == 0 {
		return Down, nil
	}
	return Up, nil
}

func (l *Linux) create() (netlink.Link, error) {
	link := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: l.name}}
	if err := l.handle.LinkAdd(link); err != nil {
		return nil, fmt.Errorf("create dummy device %s: %w", l.name, err)
	}
	if err := l.handle.LinkSetAlias(link, Alias); err != nil {
		_ = l.handle.LinkDel(link) // nobody would ever know it as ours
		return nil, fmt.Errorf("mark %s as ours: %w", l.name, err)
	}
	// No link-local address: nobody is to be reached there. Kernels without IPv6 refuse; fine.
	const none = 1 // IN6_ADDR_GEN_MODE_NONE, include/uapi/linux/if_link.h
	_ = l.handle.LinkSetIP6AddrGenMode(link, none)
	return l.handle.LinkByName(l.name)
}

// Bindings implements Kernel. Only host addresses (/32, /128) are VIPs, and of the routes only
// those that carry RouteProtocol.
func (l *Linux) Bindings() (bindings map[Binding]netip.Addr, err error) {
	err = nlbatch.Whole(func() error {
		bindings = make(map[Binding]netip.Addr, l.listed)
		for list := range lists {
			l.ask(list)
			if err := l.conn.Dump(&l.batch, func(payload []byte) { l.read(list, payload, bindings) }); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	l.listed = len(bindings)
	return bindings, nil
}

// The lists that bindings are read from.
const (
	listOfAddrs = iota
	listOfRoutes4
	listOfRoutes6
	lists
)

// ask makes the request for a list.
func (l *Linux) ask(list int) {
	l.batch.Reset()
	if list == listOfAddrs {
		l.batch.Begin(rtmGetAddr, 0, make([]byte, ifaddrmsgLen)...)
		return
	}
	header := make([]byte, rtmsgLen)
	header[0] = map[int]byte{listOfRoutes4: familyIPv4, listOfRoutes6: familyIPv6}[list]
	l.batch.Begin(rtmGetRoute, 0, header...)
}

// read takes down what a message of a list says.
func (l *Linux) read(list int, payload []byte, into map[Binding]netip.Addr) {
	decode := decodeRoute
	if list == listOfAddrs {
		decode = decodeAddr
	}
	if b, source, ok := decode(payload, l.index); ok {
		into[b] = source
	}
}

// MoreBindings implements Kernel.
func (l *Linux) MoreBindings(fromFirst bool) (map[Binding]netip.Addr, bool, error) {
	if fromFirst {
		l.list, l.interrupted = 0, false
	}
	page := make(map[Binding]netip.Addr)
	if fromFirst || !l.pages.Dumping() {
		l.ask(l.list)
		if err := l.pages.Begin(&l.batch); err != nil {
			return nil, false, err
		}
	}
	more, err := l.pages.More(func(payload []byte) { l.read(l.list, payload, page) })
	if !more {
		l.list++
	}
	l.interrupted = l.interrupted || errors.Is(err, nlbatch.ErrInterrupted)
	switch {
	case err != nil && !errors.Is(err, nlbatch.ErrInterrupted):
		return nil, false, err
	case l.list < lists:
		return page, true, nil
	case l.interrupted:
		return page, false, nlbatch.ErrInterrupted
	}
	return page, false, nil
}

// Apply implements Kernel.
func (l *Linux) Apply(ops []Op) []error {
	l.batch.Reset()
	for _, op := range ops {
		encode(&l.batch, l.index, op)
	}
	errs := l.conn.Do(&l.batch)
	for i, err := range errs {
		// EADDRNOTAVAIL: no such address; ESRCH: no such route; ENODEV: the device itself is gone.
		if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.ESRCH) || errors.Is(err, syscall.ENODEV) {
			errs[i] = fmt.Errorf("%w (%w)", fs.ErrNotExist, err)
		}
		if source := ops[i].Source; source.IsValid() && errors.Is(err, syscall.EINVAL) {
			errs[i] = fmt.Errorf("%w (is %s an address of this machine?)", err, source)
		}
	}
	return errs
}

// Remove implements Kernel.
func (l *Linux) Remove() error {
	link, err := l.handle.LinkByName(l.name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up %s: %w", l.name, err)
	}
	if link.Type() != "dummy" || link.Attrs().Alias != Alias {
		return nil
	}
	l.index = link.Attrs().Index
	left, err := l.Bindings()
	if err != nil {
		return fmt.Errorf("read what is left on %s: %w", l.name, err)
	}
	used, err := l.used(link)
	if err != nil {
		return fmt.Errorf("read what others have on %s: %w", l.name, err)
	}
	if len(left) > 0 || used {
		return nil
	}
	if err := l.handle.LinkDel(link); err != nil {
		return fmt.Errorf("delete %s: %w", l.name, err)
	}
	return nil
}

// used reports whether somebody has given the device an address or a route that is not of the kind of a VIP's.
func (l *Linux) used(link netlink.Link) (bool, error) {
	addrs, err := l.handle.AddrList(link, netlink.FAMILY_ALL)
	routes, routesErr := l.handle.RouteList(link, netlink.FAMILY_ALL) // of the main table
	if err := errors.Join(err, routesErr); err != nil {
		return false, err
	}
	return slices.ContainsFunc(addrs, func(a netlink.Addr) bool { return !a.IP.IsLinkLocalUnicast() }) ||
		slices.ContainsFunc(routes, func(r netlink.Route) bool { return r.Protocol != unix.RTPROT_KERNEL }), nil
}

// Exists reports whether the device is there, without creating it.
func (l *Linux) Exists() (bool, error) {
	link, err := l.handle.LinkByName(l.name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up %s: %w", l.name, err)
	}
	l.index = link.Attrs().Index
	return true, nil
}

// Holder is a dummy device that holds VIPs.
type Holder struct {
	Name string
	Ours bool // Fairlead created it
}

// Holders returns the dummy devices to which any of the VIPs is bound, and those that Fairlead created.
func Holders(vip func(netip.Addr) bool) (holders []Holder, err error) {
	all, err := Open("")
	if err != nil {
		return nil, err
	}
	defer all.Close()
	links, err := all.handle.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	for _, link := range links {
		if link.Type() != "dummy" {
			continue
		}
		device := &Linux{name: link.Attrs().Name, index: link.Attrs().Index, handle: all.handle, conn: all.conn}
		bindings, err := device.Bindings()
		if err != nil {
			return nil, fmt.Errorf("read what is bound to %s: %w", device.name, err)
		}
		ours, holds := link.Attrs().Alias == Alias, false
		for b := range bindings {
			holds = holds || vip(b.Addr)
		}
		if ours || holds {
			holders = append(holders, Holder{device.name, ours})
		}
	}
	return holders, nil
}
