package masq

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

// Numbers of the ipset protocol (include/uapi/linux/netfilter/ipset/ip_set.h).
const (
	nfgenmsg     = 4      // size of the header that netfilter puts before the attributes
	subsystem    = 6 << 8 // NFNL_SUBSYS_IPSET
	cmdCreate    = subsystem | 2
	cmdDestroy   = subsystem | 3
	cmdList      = subsystem | 7
	cmdAdd       = subsystem | 9
	cmdDel       = subsystem | 10
	cmdHeader    = subsystem | 12
	protocol     = 6
	attrProtocol = 1
	attrSetName  = 2
	attrTypeName = 3
	attrRevision = 4
	attrFamily   = 5
	attrData     = 7
	attrADT      = 8

	dataIP        = 1
	dataCIDR      = 3
	dataPort      = 4
	dataProto     = 7
	dataFlags     = 8
	dataLineNo    = 9
	dataMaxElem   = 19
	dataIP2       = 20
	dataCIDR2     = 21
	dataMark      = 27
	addrIPv4      = 1
	addrIPv6      = 2
	familyIPv4    = 2
	familyIPv6    = 10
	revisionPorts = 1 // hash:ip,port and hash:ip,port,net know SCTP from here on
	revisionMarks = 5 // hash:ip,port can hold a mark with each entry from here on
	flagMarks     = 1 << 6
)

func begin(b *nlbatch.Batch, cmd uint16, set Set, f Family) {
	b.Begin(cmd, 0, familyNumber(f), 0, 0, 0) // struct nfgenmsg
	b.U8(attrProtocol, protocol)
	b.String(attrSetName, set.Name(f))
}

func encodeCreate(b *nlbatch.Batch, set Set, f Family) {
	begin(b, cmdCreate, set, f)
	b.String(attrTypeName, set.Type())
	revision := uint8(revisionPorts)
	switch set {
	case VIPs, Hairpin:
		revision = 0
	case Local:
		revision = revisionMarks
	}
	b.U8(attrRevision, revision)
	b.U8(attrFamily, familyNumber(f))
	mark := b.Nest(attrData)
	b.NetU32(dataMaxElem, MaxEntries)
	if set == Local {
		b.NetU32(dataFlags, flagMarks)
	}
	b.Close(mark)
}

// encodeOp leaves NLM_F_EXCL out: adding what is there and deleting what is not are successes.
func encodeOp(b *nlbatch.Batch, op Op) {
	cmd := uint16(cmdAdd)
	if op.Delete {
		cmd = cmdDel
	}
	e := op.Entry
	begin(b, cmd, e.Set, FamilyOf(e.Addr))
	mark := b.Nest(attrData)
	encodeAddr(b, dataIP, e.Addr)
	switch e.Set {
	case VIPs:
	case Hairpin:
		b.U8(dataCIDR, uint8(e.Addr.BitLen()))
		encodeAddr(b, dataIP2, e.Addr)
		b.U8(dataCIDR2, uint8(e.Addr.BitLen()))
	default:
		b.U8(dataProto, e.Protocol)
		b.NetU16(dataPort, e.Port)
	}
	if e.Source.IsValid() {
		encodeAddr(b, dataIP2, e.Source.Addr())
		b.U8(dataCIDR2, uint8(e.Source.Bits()))
	}
	if op.Mark != 0 && !op.Delete {
		// The mark, and the bits of the packet's mark that it replaces: all. IPVS compares the whole.
		b.NetData(dataMark, binary.BigEndian.AppendUint64(make([]byte, 0, 8), uint64(op.Mark)<<32|0xffffffff))
	}
	b.NetU32(dataLineNo, 0)
	b.Close(mark)
}

func encodeAddr(b *nlbatch.Batch, attr uint16, addr netip.Addr) {
	mark := b.Nest(attr)
	kind := uint16(addrIPv4)
	if addr.Is6() {
		kind = addrIPv6
	}
	b.NetData(kind, addr.AsSlice())
	b.Close(mark)
}

// decodeHeader returns the type and the family number of a set from its description.
func decodeHeader(payload []byte) (kind string, family uint8) {
	if len(payload) < nfgenmsg {
		return "", 0
	}
	attrs := payload[nfgenmsg:]
	if v := nlbatch.Attribute(attrs, attrFamily); len(v) == 1 {
		family = v[0]
	}
	return strings.TrimRight(string(nlbatch.Attribute(attrs, attrTypeName)), "\x00"), family
}

// decodeEntries calls visit with each entry, and its mark, in one message of a set's listing.
func decodeEntries(set Set, payload []byte, visit func(Entry, uint32)) {
	if len(payload) < nfgenmsg {
		return
	}
	for typ, data := range nlbatch.Attributes(nlbatch.Attribute(payload[nfgenmsg:], attrADT)) {
		if typ != attrData {
			continue
		}
		if e, mark := decodeEntry(set, data); e.Addr.IsValid() {
			visit(e, mark)
		}
	}
}

func decodeEntry(set Set, data []byte) (e Entry, mark uint32) {
	e.Set = set
	var source netip.Addr
	bits := -1
	for typ, value := range nlbatch.Attributes(data) {
		switch {
		case typ == dataIP:
			e.Addr = decodeAddr(value)
		case typ == dataPort && len(value) == 2:
			e.Port = binary.BigEndian.Uint16(value)
		case typ == dataProto && len(value) == 1:
			e.Protocol = value[0]
		case typ == dataIP2:
			source = decodeAddr(value)
		case typ == dataCIDR2 && len(value) == 1:
			bits = int(value[0])
		case typ == dataMark && len(value) == 8 && set == Local:
			mark = binary.BigEndian.Uint32(value)
		}
	}
	if set == Allowed && source.IsValid() {
		if bits < 0 {
			bits = source.BitLen()
		}
		e.Source = netip.PrefixFrom(source, bits)
	}
	return e, mark
}

func decodeAddr(data []byte) netip.Addr {
	for _, bytes := range nlbatch.Attributes(data) {
		addr, _ := netip.AddrFromSlice(bytes)
		return addr
	}
	return netip.Addr{}
}

func familyNumber(f Family) uint8 {
	if f == IPv4 {
		return familyIPv4
	}
	return familyIPv6
}
