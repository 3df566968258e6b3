package floor

import (
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

// Floor writes into the network namespace that it was opened in. Not safe for concurrent use.
type Floor struct {
	generic, route, netfilter *nlbatch.Conn

	family uint16 // the number of the generic netlink family IPVS
	device int
}

// Open prepares what is constant: the device, the sets, the sockets. The calling thread has to be in the namespace, now
// and in no other call.
func Open() (f *Floor, err error) {
	f = new(Floor)
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	family, err := netlink.GenlFamilyGet("IPVS")
	if err != nil {
		return f, fmt.Errorf("look for IPVS in the kernel: %w", err)
	}
	f.family = family.ID
	for conn, number := range map[**nlbatch.Conn]int{
		&f.generic: unix.NETLINK_GENERIC, &f.route: unix.NETLINK_ROUTE, &f.netfilter: unix.NETLINK_NETFILTER,
	} {
		if *conn, err = nlbatch.Dial(number); err != nil {
			return f, err
		}
	}
	for _, command := range [][]string{
		{"ip", "link", "add", Device, "type", "dummy"},
		{"ip", "link", "set", Device, "addrgenmode", "none"}, // no address of its own
		{"ip", "link", "set", Device, "up"},
		{"ipset", "create", servedSet, "hash:ip,port", "maxelem", "1048576"},
		{"ipset", "create", vipSet, "hash:ip", "maxelem", "1048576"},
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			return f, fmt.Errorf("%v: %w: %s", command, err, out)
		}
	}
	link, err := netlink.LinkByName(Device)
	if err != nil {
		return f, fmt.Errorf("look up %s: %w", Device, err)
	}
	f.device = link.Attrs().Index
	return f, nil
}

// Close closes the sockets; the kernel keeps what it has.
func (f *Floor) Close() error {
	var errs []error
	for _, conn := range []*nlbatch.Conn{f.generic, f.route, f.netfilter} {
		if conn != nil {
			errs = append(errs, conn.Close())
		}
	}
	return errors.Join(errs...)
}

// Servers writes the virtual and real servers and returns how long it took.
func (f *Floor) Servers(servers []Server) (time.Duration, error) {
	var b nlbatch.Batch
	encodeServers(&b, f.family, servers)
	return send(f.generic, &b)
}

// Sets writes the set entries.
func (f *Floor) Sets(servers []Server) (time.Duration, error) {
	var b nlbatch.Batch
	encodeSets(&b, servers)
	return send(f.netfilter, &b)
}

// Routes binds the VIPs as local routes with the given source.
func (f *Floor) Routes(servers []Server, source netip.Addr) (time.Duration, error) {
	var b nlbatch.Batch
	encodeRoutes(&b, f.device, source, servers)
	return send(f.route, &b)
}

// Addresses binds the VIPs as addresses.
func (f *Floor) Addresses(servers []Server) (time.Duration, error) {
	var b nlbatch.Batch
	encodeAddresses(&b, f.device, servers)
	return send(f.route, &b)
}

// Replace adds a real server to each virtual server, and gives its last one weight 0: what a changed
// endpoint needs.
func (f *Floor) Replace(servers []Server, added []netip.AddrPort) (time.Duration, error) {
	var b nlbatch.Batch
	for i, s := range servers {
		encodeReal(&b, f.family, newDest, s.VIP, added[i], 1)
		encodeReal(&b, f.family, setDest, s.VIP, s.Reals[len(s.Reals)-1], 0)
	}
	return send(f.generic, &b)
}

// DeleteLast deletes the last real server of each virtual server.
func (f *Floor) DeleteLast(servers []Server) error {
	var b nlbatch.Batch
	for _, s := range servers {
		encodeReal(&b, f.family, deleteDest, s.VIP, s.Reals[len(s.Reals)-1], 0)
	}
	_, err := send(f.generic, &b)
	return err
}

// Read reads all virtual servers, and the real servers of each, which the kernel tells for one virtual server at a
// time. It looks at nothing that it reads.
func (f *Floor) Read(servers []Server) (time.Duration, error) {
	const getService, getDest = 4, 8
	requests := make([]nlbatch.Batch, 1+len(servers))
	requests[0].Begin(f.family, 0, getService, 1, 0, 0)
	for i, s := range servers {
		b := &requests[1+i]
		b.Begin(f.family, 0, getDest, 1, 0, 0)
		b.Close(nestService(b, s.VIP))
	}
	started := time.Now()
	for i := range requests {
		if err := f.generic.Dump(&requests[i], func([]byte) {}); err != nil {
			return 0, fmt.Errorf("read the virtual servers: %w", err)
		}
	}
	return time.Since(started), nil
}

func send(conn *nlbatch.Conn, b *nlbatch.Batch) (time.Duration, error) {
	started := time.Now()
	errs := conn.Do(b)
	took := time.Since(started)
	for i, err := range errs {
		if err != nil {
			return took, fmt.Errorf("request %d of %d: %w", i+1, b.Len(), err)
		}
	}
	return took, nil
}
