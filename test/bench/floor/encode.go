// Package floor writes what a service proxy has to write, and does nothing else: the requests are encoded before the
// clock starts, and go to the kernel in batches. No proxy can be faster than that, so it is what Fairlead is measured
// against.
//
// The encoding is its own, not the daemon's: a mistake that the daemon makes, such as a needless attribute or
// a request too many, must not be made here too. That both leave the same in the kernel is checked by the smoke
// test.
package floor

import (
	"encoding/binary"
	"net/netip"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

// Server is a virtual server and its real servers. IPv4 and TCP only, as the dataset.
type Server struct {
	VIP   netip.AddrPort
	Reals []netip.AddrPort
}

// Device is the dummy device that VIPs are bound to.
const Device = "kube-ipvs0"

// The sets, as Fairlead has them: the frontends that are served, and the VIPs that are bound.
const (
	servedSet = "FAIRLEAD-SERVED"
	vipSet    = "FAIRLEAD-VIP"
)

const (
	afInet = 2
	tcp    = 6

	// include/uapi/linux/ip_vs.h
	newService, newDest, setDest, deleteDest = 1, 5, 6, 7
	attrService, attrDest                    = 1, 2

	// include/uapi/linux/netfilter/ipset/ip_set.h, behind NFNL_SUBSYS_IPSET
	setAdd = 6<<8 | 9

	// include/uapi/linux/rtnetlink.h
	newAddr, newRoute = 20, 24
	routeProtocol     = 70   // Fairlead's mark
	routeMetric       = 1024 // and its place behind the kernel's own routes
)

// encodeServers appends the virtual servers with their real servers: one request for each.
func encodeServers(b *nlbatch.Batch, family uint16, servers []Server) {
	for _, s := range servers {
		b.Begin(family, 0, newService, 1, 0, 0)
		nest := nestService(b, s.VIP)
		b.String(6, "rr")
		b.Data(7, binary.NativeEndian.AppendUint64(nil, 0xffffffff<<32)) // flags: none; mask: all
		b.U32(8, 0)                                                      // no persistence
		b.U32(9, 0xffffffff)                                             // its netmask
		b.Close(nest)
		for _, real := range s.Reals {
			encodeReal(b, family, newDest, s.VIP, real, 1)
		}
	}
}

// encodeReal appends a request about one real server.
func encodeReal(b *nlbatch.Batch, family uint16, command byte, vip, real netip.AddrPort, weight uint32) {
	b.Begin(family, 0, command, 1, 0, 0)
	b.Close(nestService(b, vip))
	nest := b.Nest(attrDest)
	b.Data(1, address(real.Addr()))
	b.BE16(2, real.Port())
	b.U32(3, 0) // masquerading
	b.U32(4, weight)
	b.U32(5, 0)
	b.U32(6, 0) // thresholds
	b.U16(11, afInet)
	b.Close(nest)
}

func nestService(b *nlbatch.Batch, vip netip.AddrPort) (mark int) {
	mark = b.Nest(attrService)
	b.U16(1, afInet)
	b.U16(2, tcp)
	b.Data(3, address(vip.Addr()))
	b.BE16(4, vip.Port())
	return mark
}

// address is union nf_inet_addr.
func address(addr netip.Addr) []byte { return append(addr.AsSlice(), make([]byte, 12)...) }

// encodeSets appends an entry for each frontend, and one for each VIP.
func encodeSets(b *nlbatch.Batch, servers []Server) {
	entry := func(set string, vip netip.AddrPort, port bool) {
		b.Begin(setAdd, 0, afInet, 0, 0, 0)
		b.U8(1, 6) // version of the protocol
		b.String(2, set)
		data := b.Nest(7)
		ip := b.Nest(1)
		b.NetData(1, vip.Addr().AsSlice())
		b.Close(ip)
		if port {
			b.U8(7, tcp)
			b.NetU16(4, vip.Port())
		}
		b.NetU32(9, 0)
		b.Close(data)
	}
	for _, s := range servers {
		entry(servedSet, s.VIP, true)
		entry(vipSet, s.VIP, false)
	}
}

// encodeAddresses appends one address for each VIP.
func encodeAddresses(b *nlbatch.Batch, device int, servers []Server) {
	const scopeHost = 254
	for _, s := range servers {
		header := binary.NativeEndian.AppendUint32([]byte{afInet, 32, 0, scopeHost}, uint32(device))
		b.Begin(newAddr, nlbatch.FlagCreate|nlbatch.FlagExcl, header...)
		b.Data(2, s.VIP.Addr().AsSlice())
		b.Data(1, s.VIP.Addr().AsSlice())
	}
}

// encodeRoutes appends one local route for each VIP.
func encodeRoutes(b *nlbatch.Batch, device int, source netip.Addr, servers []Server) {
	const tableLocal, typeLocal, scopeHost = 255, 2, 254
	for _, s := range servers {
		b.Begin(newRoute, nlbatch.FlagCreate|nlbatch.FlagReplace,
			afInet, 32, 0, 0, tableLocal, routeProtocol, scopeHost, typeLocal, 0, 0, 0, 0)
		b.Data(1, s.VIP.Addr().AsSlice())
		b.U32(4, uint32(device))
		b.U32(6, routeMetric)
		b.Data(7, source.AsSlice())
	}
}
