package conntrack

import (
	"encoding/binary"
	"net/netip"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

// Numbers of include/uapi/linux/netfilter/nfnetlink_conntrack.h. They are repeated here so that
// messages can be read and written, and that tested, on any operating system.
const (
	subsystem   = 1 << 8 // NFNL_SUBSYS_CTNETLINK
	messageGet  = subsystem | 1
	messageDel  = subsystem | 2
	messageStat = subsystem | 5

	attrOrig   = 1 // CTA_TUPLE_ORIG
	attrReply  = 2
	attrID     = 12
	attrZone   = 18
	attrFilter = 25

	tupleIP       = 1 // CTA_TUPLE_IP
	tupleProtocol = 2

	protocolNumber = 1 // CTA_PROTO_NUM
	protocolSource = 2
	protocolDest   = 3

	filterOrig     = 1 // CTA_FILTER_ORIG_FLAGS
	filterProtocol = 1 << 3

	familyIPv4 = 2 // AF_INET, AF_INET6 of Linux
	familyIPv6 = 10

	nested    = 0x8000 // NLA_F_NESTED
	headerLen = 4      // struct nfgenmsg
)

func familyOf(v4 bool) byte {
	if v4 {
		return familyIPv4
	}
	return familyIPv6
}

// encodeDump asks for the flows of one family. Kernels from 5.8 on are asked for UDP only, so that
// they do not even copy the others; older ones do not know the attribute and tell of all.
func encodeDump(b *nlbatch.Batch, v4 bool) {
	b.Begin(messageGet, 0, familyOf(v4), 0, 0, 0)
	tuple := b.Nest(attrOrig)
	protocol := b.Nest(tupleProtocol)
	b.U8(protocolNumber, uint8(UDP))
	b.Close(protocol)
	b.Close(tuple)
	filter := b.Nest(attrFilter)
	b.U32(filterOrig, filterProtocol)
	b.Close(filter)
}

// encodeDelete asks for the deletion of exactly the flow that a dump told of: not of a newer one
// between the same addresses, which as a rule has another id. It reports false, and encodes nothing, for a
// message without a tuple: such a request would delete every flow there is.
func encodeDelete(b *nlbatch.Batch, message []byte) bool {
	if len(message) < headerLen {
		return false
	}
	attributes := message[headerLen:]
	orig := nlbatch.Attribute(attributes, attrOrig)
	if len(orig) == 0 {
		return false
	}
	b.Begin(messageDel, 0, message[:headerLen]...)
	b.Data(attrOrig|nested, orig)
	for _, attr := range []uint16{attrID, attrZone} {
		if value := nlbatch.Attribute(attributes, attr); value != nil {
			b.Data(attr, value)
		}
	}
	return true
}

// decode reads a flow of a dump. It reports false for what is no flow with addresses and ports.
func decode(message []byte) (flow Flow, ok bool) {
	if len(message) < headerLen {
		return Flow{}, false
	}
	var orig, reply []byte
	for attr, value := range nlbatch.Attributes(message[headerLen:]) {
		switch attr {
		case attrOrig:
			orig = value
		case attrReply:
			reply = value
		}
		if orig != nil && reply != nil {
			break
		}
	}
	var okOrig, okReply bool
	flow.Protocol, flow.Orig, okOrig = decodeTuple(orig)
	_, flow.Reply, okReply = decodeTuple(reply)
	return flow, okOrig && okReply
}

// decodeTuple reads one direction. Source and destination are attributes 1 and 2 of IPv4 addresses,
// 3 and 4 of IPv6 ones.
func decodeTuple(data []byte) (protocol Protocol, tuple Tuple, ok bool) {
	var addrs [2]netip.Addr
	var ports [2]uint16
	havePorts := 0
	for attr, part := range nlbatch.Attributes(data) {
		switch attr {
		case tupleIP:
			for attr, value := range nlbatch.Attributes(part) {
				if addr, ok := netip.AddrFromSlice(value); ok && 1 <= attr && attr <= 4 {
					addrs[(attr-1)%2] = addr
				}
			}
		case tupleProtocol:
			for attr, value := range nlbatch.Attributes(part) {
				switch {
				case attr == protocolNumber && len(value) == 1:
					protocol = Protocol(value[0])
				case (attr == protocolSource || attr == protocolDest) && len(value) == 2:
					ports[attr-protocolSource] = binary.BigEndian.Uint16(value)
					havePorts++
				}
			}
		}
	}
	tuple = Tuple{netip.AddrPortFrom(addrs[0], ports[0]), netip.AddrPortFrom(addrs[1], ports[1])}
	return protocol, tuple, addrs[0].IsValid() && addrs[1].IsValid() && havePorts == 2
}
