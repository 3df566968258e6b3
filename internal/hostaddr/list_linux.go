package hostaddr

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

// List returns the host's addresses in the current network namespace, without those of devices that
// have one of these names or aliases, in the order of the devices' numbers; those of one device are in
// the kernel's order, IPv4 first. Deprecated ones come last: they are to be reached, not to be used. When addresses change so fast that no reading is whole, the error is
// nlbatch.ErrInterrupted: nothing is known then, in particular not that an address is gone.
func List(except ...string) ([]netip.Addr, error) {
	conn, err := nlbatch.Dial(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	addrs, err := list(conn, except)
	return addrs, errors.Join(err, conn.Close())
}

func list(conn *nlbatch.Conn, except []string) ([]netip.Addr, error) {
	type hostAddr struct {
		device     uint32
		addr       netip.Addr
		deprecated bool
	}
	var found []hostAddr
	err := nlbatch.Whole(func() error {
		found = found[:0]
		// Devices come first: an address of one that is newer is an event that is still to come.
		usable := make(map[uint32]bool)
		err := dump(conn, getLink, linkHeaderLen, func(payload []byte) {
			if d, ok := decodeDevice(payload); ok && d.up && !d.loopback && !d.among(except) {
				usable[d.index] = true
			}
		})
		if err != nil {
			return fmt.Errorf("list the host's devices: %w", err)
		}
		err = dump(conn, getAddr, addrHeaderLen, func(payload []byte) {
			if len(payload) < addrHeaderLen || !usable[index(payload)] {
				return
			}
			if addr, deprecated, ok := decodeAddr(payload); ok {
				found = append(found, hostAddr{index(payload), addr, deprecated})
			}
		})
		if err != nil {
			return fmt.Errorf("list the host's addresses: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(found, func(a, b hostAddr) int {
		switch {
		case a.deprecated == b.deprecated:
			return cmp.Compare(a.device, b.device)
		case a.deprecated:
			return 1
		}
		return -1
	})
	addrs := make([]netip.Addr, 0, len(found))
	for _, f := range found {
		addrs = append(addrs, f.addr)
	}
	return addrs, nil
}

// dump reads all links, or all addresses.
func dump(conn *nlbatch.Conn, typ uint16, headerLen int, visit func(payload []byte)) error {
	var b nlbatch.Batch
	b.Begin(typ, 0, make([]byte, headerLen)...)
	return conn.Dump(&b, visit)
}
