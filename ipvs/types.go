package ipvs

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Protocol is a transport protocol by its IANA number.
type Protocol uint8

// The protocols that IPVS balances.
const (
	TCP  Protocol = 6
	UDP  Protocol = 17
	SCTP Protocol = 132
)

// String returns the lower-case name.
func (p Protocol) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case SCTP:
		return "sctp"
	}
	return fmt.Sprintf("protocol %d", uint8(p))
}

// Key names a virtual server: by an address, a port and a protocol, or by a firewall mark and a
// family. The family is the address's.
type Key struct {
	Addr     netip.AddrPort // by mark: the unspecified address of the family, port 0
	Protocol Protocol       // by mark: 0, it serves whatever carries the mark
	Mark     uint32         // 0: by address
}

// MarkKey names the virtual server of a firewall mark in a family.
func MarkKey(mark uint32, ipv6 bool) Key {
	addr := netip.IPv4Unspecified()
	if ipv6 {
		addr = netip.IPv6Unspecified()
	}
	return Key{Addr: netip.AddrPortFrom(addr, 0), Mark: mark}
}

// String returns, for example, "tcp 172.30.15.111:8080" or "mark 0xfa000002 IPv6".
func (k Key) String() string {
	switch {
	case k.Mark == 0:
		return k.Protocol.String() + " " + k.Addr.String()
	case k.Addr.Addr().Is6():
		return fmt.Sprintf("mark %#x IPv6", k.Mark)
	}
	return fmt.Sprintf("mark %#x IPv4", k.Mark)
}

// Compare orders keys by mark, address, port and protocol.
func (k Key) Compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Mark, o.Mark), k.Addr.Compare(o.Addr), int(k.Protocol)-int(o.Protocol))
}

// Flags are the kernel's virtual server flags (IP_VS_SVC_F_*, include/uapi/linux/ip_vs.h).
type Flags uint32

// The flags by ipvsadm's meaning. Bits 0x8 and 0x10 mean fallback and port to both sh and mh.
const (
	Persistent    Flags = 0x1
	OnePacket     Flags = 0x4
	SchedFallback Flags = 0x8
	SchedPort     Flags = 0x10

	schedThird Flags = 0x20 // no scheduler uses it; ipvsadm can set it

	settable = Persistent | OnePacket | SchedFallback | SchedPort | schedThird
)

// VirtualServer is what a virtual server does with a new connection.
type VirtualServer struct {
	Scheduler   string        // the kernel's name: rr, wrr, lc, sh, mh, ...
	Flags       Flags         // Persistent is implied by Persistence, never set by hand
	Persistence time.Duration // 0: each connection is scheduled; whole seconds
}

// RealServer is how a virtual server uses one of its real servers. Real servers are always reached
// by masquerading (ipvsadm -m); Foreign marks one that was found with another method, so that it
// differs from every desired value and is put right.
type RealServer struct {
	Weight  uint16 // 0: no new connections
	Foreign bool
}

// Schedulers lists the kernel's schedulers (net/netfilter/ipvs), for error messages and validation.
func Schedulers() []string {
	return strings.Fields("rr wrr lc wlc lblc lblcr dh sh mh sed nq fo ovf twos")
}

// ParseFlags turns the names of scheduler flags (sh-fallback, sh-port, mh-fallback, mh-port) into
// the kernel's bits. A flag of another scheduler is an error.
func ParseFlags(scheduler string, names []string) (Flags, error) {
	var flags Flags
	for _, name := range names {
		family, what, _ := strings.Cut(name, "-")
		bit := map[string]Flags{"fallback": SchedFallback, "port": SchedPort}[what]
		if bit == 0 || !slices.Contains([]string{"sh", "mh"}, family) {
			return 0, fmt.Errorf("scheduler flag %q is unknown (mh-fallback mh-port sh-fallback sh-port)", name)
		}
		if family != scheduler {
			return 0, fmt.Errorf("scheduler flag %q does not go with scheduler %q", name, scheduler)
		}
		flags |= bit
	}
	return flags, nil
}

// drainSafe adds what a scheduler needs so that a real server at weight 0 refuses nobody. The
// source hash keeps a share of its buckets for such a server and refuses the clients in them
// unless it may fall back (ip_vs_sh_get, net/netfilter/ipvs/ip_vs_sh.c). The destination hash has no
// fallback: to its one address a virtual server has one real server, and refuses everybody new while
// that one drains (ip_vs_dh_schedule, ip_vs_dh.c). The choice is between those and the open connections.
func (v VirtualServer) drainSafe() VirtualServer {
	if v.Scheduler == "sh" {
		v.Flags |= SchedFallback
	}
	return v
}
