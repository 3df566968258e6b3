package dummyif

import (
	"encoding/binary"
	"net/netip"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

const (
	rtmGetAddr  = 22
	rtmGetRoute = 26

	ifaddrmsgLen = 8  // struct ifaddrmsg: family, prefix length, flags, scope, index
	rtmsgLen     = 12 // struct rtmsg: family, prefix length, ..., table, protocol, scope, type, flags
)

// decodeAddr returns what is bound by an address in one message of a list of addresses, if that is a host
// address of the device, and the source that it gives: an IPv6 one itself unless it is deprecated.
func decodeAddr(payload []byte, ifindex int) (b Binding, source netip.Addr, ok bool) {
	if len(payload) < ifaddrmsgLen || int(binary.NativeEndian.Uint32(payload[4:])) != ifindex {
		return b, source, false
	}
	for typ, value := range nlbatch.Attributes(payload[ifaddrmsgLen:]) {
		// Both are there for IPv4, and the same without a peer. IPv6 has the first alone, unless there is a peer.
		if typ == ifaLocal || typ == ifaAddress && !b.Addr.IsValid() {
			b.Addr, _ = netip.AddrFromSlice(value)
		}
	}
	if b.Addr.Is6() && payload[2]&ifaFlagDeprecated == 0 {
		source = b.Addr
	}
	return b, source, b.Addr.IsValid() && int(payload[1]) == b.Addr.BitLen() && !b.Addr.IsLinkLocalUnicast()
}

// decodeRoute returns what is bound by a route in one message of a list of routes, and the preferred source,
// if it is one of Fairlead's on the device.
func decodeRoute(payload []byte, ifindex int) (b Binding, source netip.Addr, ok bool) {
	if len(payload) < rtmsgLen || payload[4] != tableLocal || payload[5] != RouteProtocol {
		return b, source, false
	}
	var device int
	var metric uint32
	for typ, value := range nlbatch.Attributes(payload[rtmsgLen:]) {
		switch {
		case typ == rtaDst:
			b.Addr, _ = netip.AddrFromSlice(value)
		case typ == rtaPrefSrc:
			source, _ = netip.AddrFromSlice(value)
		case typ == rtaOif && len(value) == 4:
			device = int(binary.NativeEndian.Uint32(value))
		case typ == rtaPriority && len(value) == 4:
			metric = binary.NativeEndian.Uint32(value)
		}
	}
	b.Way = map[uint32]Way{RouteMetric: ByRoute, 0: ByOldRoute}[metric]
	return b, source, b.Way != ByAddress && b.Addr.IsValid() && int(payload[1]) == b.Addr.BitLen() && device == ifindex
}
