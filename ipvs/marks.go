package ipvs

import "math/bits"

// Marks is the range of firewall marks that belong to Fairlead: those that have the bits of Base
// and, besides, any of the bits of Mask. IPVS compares the whole mark of a packet (ip_vs_svc_fwm_find
// in net/netfilter/ipvs/ip_vs_ctl.c), so it is always written as a whole.
//
// The marks are numbered. Bit 0 of a mark must be outside of Base: see Datagram.
type Marks struct{ Base, Mask uint32 }

// datagramBit is set in the marks of Services without connections. A virtual server by mark has no
// protocol in the kernel, and a restarted daemon must still know whether to wait for its drains.
const datagramBit = 0x1

// Datagram reports whether the mark is one for datagrams (UDP), which have no connections to wait for.
func Datagram(mark uint32) bool { return mark&datagramBit != 0 }

// Contains reports whether the mark is in the range.
func (m Marks) Contains(mark uint32) bool { return mark&^m.Mask == m.Base }

// Len is how many numbers there are.
func (m Marks) Len() int { return 1 << bits.OnesCount32(m.Mask&^datagramBit) }

// Nth returns the mark of a number from 0 to Len()-1: the bits of n in the places of Mask.
func (m Marks) Nth(n int, datagram bool) uint32 {
	mark := m.Base
	for left := m.Mask &^ datagramBit; n != 0 && left != 0; n >>= 1 {
		lowest := left & -left
		if n&1 != 0 {
			mark |= lowest
		}
		left &^= lowest
	}
	if datagram {
		mark |= datagramBit
	}
	return mark
}
