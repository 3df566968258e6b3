package dummyif

import (
	"encoding/binary"
	"net/netip"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

// Numbers from include/uapi/linux/rtnetlink.h and if_addr.h.
const (
	rtmNewAddr, rtmDelAddr   = 20, 21
	rtmNewRoute, rtmDelRoute = 24, 25

	familyIPv4, familyIPv6 = 2, 10

	ifaAddress, ifaLocal, ifaCacheInfo, ifaFlags = 1, 2, 6, 8
	ifaFlagNoDAD, ifaFlagDeprecated              = 0x02, 0x20

	rtaDst, rtaOif, rtaPriority, rtaPrefSrc, rtaTable = 1, 4, 6, 7, 15

	tableLocal               = 255
	routeTypeLocal           = 2
	scopeUniverse, scopeHost = 0, 254

	// RouteProtocol marks the routes that Fairlead made (ip route: "proto 70"). It is in the range
	// that the kernel leaves to user space and in no list of well-known ones.
	RouteProtocol = 70

	// RouteMetric tells those routes from the kernel's own of the same address, where another device holds it: these
	// have 0, stay first, and neither replacing nor deleting ours means them (fib_find_alias, net/ipv4/fib_trie.c). It
	// is what IPv6 takes by itself.
	RouteMetric = 1024
)

func encode(b *nlbatch.Batch, ifindex int, op Op) {
	if op.Binding.Way == ByAddress {
		encodeAddr(b, ifindex, op)
	} else {
		encodeRoute(b, ifindex, op)
	}
}

func encodeAddr(b *nlbatch.Batch, ifindex int, op Op) {
	addr := op.Binding.Addr
	scope := byte(scopeHost) // keeps MASQUERADE from choosing a VIP as source (inet_select_addr)
	if addr.Is6() {
		scope = scopeUniverse // IPv6 derives the scope from the address
	}
	header := []byte{familyOf(addr), byte(addr.BitLen()), 0, scope}
	header = binary.NativeEndian.AppendUint32(header, uint32(ifindex))
	if op.Verb == Bind {
		b.Begin(rtmNewAddr, nlbatch.FlagCreate|nlbatch.FlagReplace, header...)
	} else {
		b.Begin(rtmDelAddr, 0, header...)
	}
	b.Data(ifaLocal, addr.AsSlice())
	b.Data(ifaAddress, addr.AsSlice())
	if op.Verb == Bind && addr.Is6() {
		b.U32(ifaFlags, ifaFlagNoDAD)
	}
	if op.Verb == Bind && addr.Is6() && !op.Source.IsValid() {
		// struct ifa_cacheinfo: preferred for 0 s, valid for ever. A deprecated address answers,
		// and is the last to be chosen as a source.
		info := binary.NativeEndian.AppendUint32(make([]byte, 0, 16), 0)
		info = binary.NativeEndian.AppendUint32(info, 0xffffffff)
		b.Data(ifaCacheInfo, append(info, make([]byte, 8)...))
	}
}

func encodeRoute(b *nlbatch.Batch, ifindex int, op Op) {
	addr := op.Binding.Addr
	scope := byte(scopeHost)
	if addr.Is6() {
		scope = scopeUniverse
	}
	header := []byte{familyOf(addr), byte(addr.BitLen()), 0, 0, tableLocal, RouteProtocol, scope, routeTypeLocal, 0, 0, 0, 0}
	if op.Verb == Bind {
		b.Begin(rtmNewRoute, nlbatch.FlagCreate|nlbatch.FlagReplace, header...)
	} else {
		b.Begin(rtmDelRoute, 0, header...)
	}
	b.Data(rtaDst, addr.AsSlice())
	b.U32(rtaOif, uint32(ifindex))
	b.U32(rtaTable, tableLocal)
	if op.Binding.Way == ByRoute {
		b.U32(rtaPriority, RouteMetric)
	}
	if op.Verb == Bind && op.Source.IsValid() {
		b.Data(rtaPrefSrc, op.Source.AsSlice())
	}
}

func familyOf(addr netip.Addr) byte {
	if addr.Is4() {
		return familyIPv4
	}
	return familyIPv6
}
