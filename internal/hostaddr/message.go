package hostaddr

import (
	"encoding/binary"
	"iter"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

// Numbers of include/uapi/linux/{rtnetlink,if_link,if_addr,if}.h. They are repeated here so that
// messages can be read, and that tested, on any operating system.
const (
	newLink, deleteLink, getLink = 16, 17, 18
	newAddr, deleteAddr, getAddr = 20, 21, 22

	attrName    = 3  // IFLA_IFNAME
	attrAlias   = 20 // IFLA_IFALIAS
	attrAddress = 1  // IFA_ADDRESS: of a point-to-point device, the other end's
	attrLocal   = 2  // IFA_LOCAL
	attrFlags   = 8  // IFA_FLAGS

	deviceUp       = 0x1 // IFF_UP
	deviceLoopback = 0x8

	addrDADFailed  = 0x08 // IFA_F_DADFAILED
	addrDeprecated = 0x20
	addrPermanent  = 0x80 // valid for ever

	messageHeaderLen = 16 // struct nlmsghdr
	linkHeaderLen    = 16 // struct ifinfomsg
	addrHeaderLen    = 8  // struct ifaddrmsg
)

// device is what a link message says.
type device struct {
	index    uint32
	name     string
	alias    string // "" where it has none
	loopback bool
	up       bool
}

// among reports whether the device has one of these names or aliases.
func (d device) among(names []string) bool {
	return slices.Contains(names, d.name) || d.alias != "" && slices.Contains(names, d.alias)
}

func decodeDevice(payload []byte) (d device, ok bool) {
	if len(payload) < linkHeaderLen {
		return device{}, false
	}
	flags := binary.NativeEndian.Uint32(payload[8:])
	text := func(attr uint16) string {
		return strings.TrimRight(string(nlbatch.Attribute(payload[linkHeaderLen:], attr)), "\x00")
	}
	return device{
		index:    index(payload),
		name:     text(attrName),
		alias:    text(attrAlias),
		loopback: flags&deviceLoopback != 0,
		up:       flags&deviceUp != 0,
	}, true
}

// index is the device's number, which messages about links and about addresses have in one place.
func index(payload []byte) uint32 { return binary.NativeEndian.Uint32(payload[4:]) }

// decodeAddr reads an address of the host, and whether it is deprecated. It reports ok false for what
// does not count, whatever the device.
func decodeAddr(payload []byte) (addr netip.Addr, deprecated, ok bool) {
	if len(payload) < addrHeaderLen {
		return netip.Addr{}, false, false
	}
	flags := uint32(payload[2])
	var local, address []byte
	for attr, value := range nlbatch.Attributes(payload[addrHeaderLen:]) {
		switch {
		case attr == attrLocal:
			local = value
		case attr == attrAddress:
			address = value
		case attr == attrFlags && len(value) == 4: // these are all, the byte above are the first eight
			flags = binary.NativeEndian.Uint32(value)
		}
	}
	if local == nil {
		local = address
	}
	addr, ok = netip.AddrFromSlice(local)
	addr = addr.Unmap()
	deprecated = flags&addrDeprecated != 0
	expires := deprecated && flags&addrPermanent == 0
	return addr, deprecated, ok && addr.IsGlobalUnicast() && flags&addrDADFailed == 0 && !expires
}

// messages yields the type and the payload of each netlink message in a datagram.
func messages(datagram []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(datagram) >= messageHeaderLen {
			size := int(binary.NativeEndian.Uint32(datagram))
			if size < messageHeaderLen || size > len(datagram) {
				return
			}
			if !yield(binary.NativeEndian.Uint16(datagram[4:]), datagram[messageHeaderLen:size]) {
				return
			}
			datagram = datagram[min((size+3)&^3, len(datagram)):]
		}
	}
}

// filter tells events that may change what List returns from those on the device that does not
// count. It knows that device by its number, so that a burst of addresses costs one comparison
// each, and learns the number from the device's own events: those come first.
type filter struct {
	except string
	index  uint32 // of the device except; 0: it is not known
}

// concerns reports whether a datagram holds an event that counts.
func (f *filter) concerns(datagram []byte) (concerns bool) {
	for typ, payload := range messages(datagram) {
		if len(payload) < addrHeaderLen {
			continue
		}
		switch typ {
		case newAddr, deleteAddr:
			concerns = concerns || index(payload) != f.index
		case newLink, deleteLink:
			concerns = f.link(payload) || concerns
		}
	}
	return concerns
}

// link is concerns for one event of a device. A device that is renamed begins to count, or ends.
func (f *filter) link(payload []byte) bool {
	d, ok := decodeDevice(payload)
	if !ok {
		return false
	}
	was, is := d.index == f.index, d.name == f.except
	switch {
	case is:
		f.index = d.index
	case was:
		f.index = 0
	}
	return !was || !is
}
