package ipvs

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

const (
	cmdGetService = 4

	genlHeaderLen = 4 // struct genlmsghdr
)

// decoder reads the messages of a list of virtual servers. The names of schedulers, which are few, are the
// same strings for all.
type decoder struct{ schedulers map[string]string }

// server returns the virtual server in one message of a list.
func (d decoder) server(payload []byte) (k Key, v VirtualServer, ok bool) {
	if len(payload) < genlHeaderLen {
		return k, v, false
	}
	var family, port uint16
	var addr []byte
	var timeout uint32
	for typ, value := range nlbatch.Attributes(nlbatch.Attribute(payload[genlHeaderLen:], attrService)) {
		switch {
		case typ == svcFamily && len(value) == 2:
			family = binary.NativeEndian.Uint16(value)
		case typ == svcProtocol && len(value) == 2:
			k.Protocol = Protocol(binary.NativeEndian.Uint16(value))
		case typ == svcAddr:
			addr = value
		case typ == svcPort && len(value) == 2:
			port = binary.BigEndian.Uint16(value)
		case typ == svcMark && len(value) == 4:
			k.Mark = binary.NativeEndian.Uint32(value)
		case typ == svcScheduler:
			v.Scheduler = d.scheduler(value)
		case typ == svcFlags && len(value) >= 4: // and the mask
			v.Flags = Flags(binary.NativeEndian.Uint32(value))
		case typ == svcTimeout && len(value) == 4:
			timeout = binary.NativeEndian.Uint32(value)
		}
	}
	if v.Flags&Persistent != 0 {
		v.Persistence = time.Duration(timeout) * time.Second
	}
	v.Flags &= settable &^ Persistent
	if k.Mark != 0 {
		return MarkKey(k.Mark, family == familyIPv6), v, family == familyIPv4 || family == familyIPv6
	}
	at, ok := addrOf(family, addr)
	k.Addr = netip.AddrPortFrom(at, port)
	return k, v, ok
}

// addrOf reads an address out of the kernel's union of both families.
func addrOf(family uint16, value []byte) (netip.Addr, bool) {
	switch {
	case family == familyIPv4 && len(value) >= 4:
		return netip.AddrFrom4([4]byte(value)), true
	case family == familyIPv6 && len(value) >= 16:
		return netip.AddrFrom16([16]byte(value)), true
	}
	return netip.Addr{}, false
}

func (d decoder) scheduler(value []byte) string {
	for i, c := range value {
		if c == 0 {
			value = value[:i]
			break
		}
	}
	name, known := d.schedulers[string(value)]
	if !known {
		name = string(value)
		d.schedulers[name] = name
	}
	return name
}

// realStatus returns the real server in one message of a list, and how it stands with it.
func realStatus(payload []byte) (at netip.AddrPort, status RealStatus, ok bool) {
	if len(payload) < genlHeaderLen {
		return at, status, false
	}
	nest := nlbatch.Attribute(payload[genlHeaderLen:], attrDest)
	for typ, value := range nlbatch.Attributes(nest) {
		if len(value) != 4 {
			continue
		}
		n := binary.NativeEndian.Uint32(value)
		switch typ {
		case destForward:
			status.Foreign = n&forwardMask != forwardMasq
		case destWeight:
			status.Weight = uint16(n)
		case destActiveConnections:
			status.ActiveConnections = int(n)
		case destInactiveConnections:
			status.InactiveConnections = int(n)
		}
	}
	at, ok = realAt(nest)
	return at, status, ok
}

// realAt returns the address in the nest of a real server.
func realAt(nest []byte) (at netip.AddrPort, ok bool) {
	var addr []byte
	var port uint16
	family := uint16(familyIPv4)
	for typ, value := range nlbatch.Attributes(nest) {
		switch {
		case typ == destAddr:
			addr = value
		case typ == destPort && len(value) == 2:
			port = binary.BigEndian.Uint16(value)
		case typ == destFamily && len(value) == 2:
			family = binary.NativeEndian.Uint16(value)
		}
	}
	ip, ok := addrOf(family, addr)
	return netip.AddrPortFrom(ip, port), ok
}
