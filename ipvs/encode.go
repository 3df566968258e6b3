package ipvs

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

// Generic netlink commands and attributes of IPVS (include/uapi/linux/ip_vs.h).
const (
	cmdNewService = 1
	cmdSetService = 2
	cmdDelService = 3
	cmdNewDest    = 5
	cmdSetDest    = 6
	cmdDelDest    = 7

	genlVersion = 1

	attrService = 1
	attrDest    = 2

	svcFamily    = 1
	svcMark      = 5
	svcProtocol  = 2
	svcAddr      = 3
	svcPort      = 4
	svcScheduler = 6
	svcFlags     = 7
	svcTimeout   = 8
	svcNetmask   = 9

	destAddr           = 1
	destPort           = 2
	destForward        = 3
	destWeight         = 4
	destUpperThreshold = 5
	destLowerThreshold = 6
	destFamily         = 11

	destActiveConnections   = 7
	destInactiveConnections = 8

	forwardMasq = 0
	forwardMask = 0x7 // IP_VS_CONN_F_FWD_MASK

	familyIPv4 = 2  // AF_INET
	familyIPv6 = 10 // AF_INET6 on Linux
)

// encode appends the request for op. family is the generic netlink family's number.
func encode(b *nlbatch.Batch, family uint16, op Op) {
	cmd := [...]byte{
		AddServer: cmdNewService, EditServer: cmdSetService, DeleteServer: cmdDelService,
		AddReal: cmdNewDest, EditReal: cmdSetDest, DeleteReal: cmdDelDest,
	}[op.Verb]
	b.Begin(family, 0, cmd, genlVersion, 0, 0)
	encodeServer(b, op)
	if op.Verb >= AddReal {
		encodeReal(b, op)
	}
}

func encodeServer(b *nlbatch.Batch, op Op) {
	addr := op.Key.Addr.Addr()
	mark := b.Nest(attrService)
	b.U16(svcFamily, familyOf(addr))
	if op.Key.Mark != 0 {
		b.U32(svcMark, op.Key.Mark)
	} else {
		b.U16(svcProtocol, uint16(op.Key.Protocol))
		b.Data(svcAddr, addressBytes(addr))
		b.BE16(svcPort, op.Key.Addr.Port())
	}
	if op.Verb == AddServer || op.Verb == EditServer {
		encodeConfig(b, addr, op.Server)
	}
	b.Close(mark)
}

func encodeConfig(b *nlbatch.Batch, addr netip.Addr, v VirtualServer) {
	flags := v.Flags
	if v.Persistence > 0 {
		flags |= Persistent
	}
	b.String(svcScheduler, v.Scheduler)
	// struct ip_vs_flags: the bits, and the mask of bits that they replace.
	pair := binary.NativeEndian.AppendUint32(make([]byte, 0, 8), uint32(flags))
	b.Data(svcFlags, binary.NativeEndian.AppendUint32(pair, uint32(settable)))
	b.U32(svcTimeout, uint32(v.Persistence/time.Second))
	netmask := uint32(0xffffffff) // persistence is per client address, not per network
	if addr.Is6() {
		netmask = 128 // a prefix length, for this family only
	}
	b.U32(svcNetmask, netmask)
}

func encodeReal(b *nlbatch.Batch, op Op) {
	addr := op.Real.Addr()
	mark := b.Nest(attrDest)
	b.Data(destAddr, addressBytes(addr))
	b.BE16(destPort, op.Real.Port())
	b.U16(destFamily, familyOf(addr))
	if op.Verb != DeleteReal {
		b.U32(destForward, forwardMasq)
		b.U32(destWeight, uint32(op.Value.Weight))
		b.U32(destUpperThreshold, 0)
		b.U32(destLowerThreshold, 0)
	}
	b.Close(mark)
}

func familyOf(addr netip.Addr) uint16 {
	if addr.Is4() {
		return familyIPv4
	}
	return familyIPv6
}

// addressBytes returns union nf_inet_addr: sixteen bytes, an IPv4 address in the first four.
func addressBytes(addr netip.Addr) []byte {
	out := make([]byte, 16)
	copy(out, addr.AsSlice())
	return out
}
