package ipvs

import (
	"encoding/binary"
	"net/netip"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

// Counters are what the kernel has counted for a virtual or a real server since it was made. It tells what its rate
// estimators have last seen: of two seconds ago, and nothing new at all where net.ipv4.vs.run_estimation is 0.
type Counters struct {
	Connections uint64 // ever begun
	InPackets   uint64 // from clients
	OutPackets  uint64 // to clients
	InBytes     uint64
	OutBytes    uint64
}

// Add returns the sums.
func (c Counters) Add(o Counters) Counters {
	return Counters{
		c.Connections + o.Connections, c.InPackets + o.InPackets, c.OutPackets + o.OutPackets,
		c.InBytes + o.InBytes, c.OutBytes + o.OutBytes,
	}
}

// Before reports that some counter is lower than in o: what was counted began anew after o was read.
func (c Counters) Before(o Counters) bool {
	return c.Connections < o.Connections || c.InPackets < o.InPackets || c.OutPackets < o.OutPackets ||
		c.InBytes < o.InBytes || c.OutBytes < o.OutBytes
}

// Numbers of attributes with counters (include/uapi/linux/ip_vs.h), the same for virtual and real servers. Those of
// 64 bits are there since Linux 4.1.
const (
	svcStats64 = 12
	dstStats64 = 12

	cmdGetDest = 8

	statConnections = 1
	statInPackets   = 2
	statOutPackets  = 3
	statInBytes     = 4
	statOutBytes    = 5
)

// decodeCounters reads a nest of counters.
func decodeCounters(nest []byte) (c Counters) {
	for typ, value := range nlbatch.Attributes(nest) {
		if len(value) != 8 {
			continue
		}
		n := binary.NativeEndian.Uint64(value)
		switch typ {
		case statConnections:
			c.Connections = n
		case statInPackets:
			c.InPackets = n
		case statOutPackets:
			c.OutPackets = n
		case statInBytes:
			c.InBytes = n
		case statOutBytes:
			c.OutBytes = n
		}
	}
	return c
}

// serverCounters returns the counters of the virtual server in one message of a list.
func serverCounters(payload []byte) Counters {
	if len(payload) < genlHeaderLen {
		return Counters{}
	}
	return decodeCounters(nlbatch.Attribute(nlbatch.Attribute(payload[genlHeaderLen:], attrService), svcStats64))
}

// realCounters returns the real server in one message of a list, and its counters.
func realCounters(payload []byte) (at netip.AddrPort, c Counters, ok bool) {
	if len(payload) < genlHeaderLen {
		return at, c, false
	}
	nest := nlbatch.Attribute(payload[genlHeaderLen:], attrDest)
	at, ok = realAt(nest)
	return at, decodeCounters(nlbatch.Attribute(nest, dstStats64)), ok
}
