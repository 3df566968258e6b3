// Package fwmark numbers the firewall marks that lead packets to virtual servers. A rule writes the
// mark, and IPVS reads it.
package fwmark

import "math/bits"

// Range is a range of marks: those that have the bits of Base and, besides, any of the bits of Mask.
// IPVS compares the whole mark of a packet (__ip_vs_svc_fwm_find, net/netfilter/ipvs/ip_vs_ctl.c), so a
// mark is always written as a whole. Base and Mask have no bit in common. The zero Range has no marks.
type Range struct{ Base, Mask uint32 }

// datagramBit is the lowest bit of Mask. It is set in the marks of Services without connections: a
// virtual server by mark has no protocol in the kernel, and a restarted daemon must still know whether
// to wait for its drains.
func (r Range) datagramBit() uint32 { return r.Mask & -r.Mask }

// Datagram reports whether the mark is one for datagrams (UDP), which have no connections to wait for.
func (r Range) Datagram(mark uint32) bool { return r.Contains(mark) && mark&r.datagramBit() != 0 }

// Contains reports whether the mark is in the range.
func (r Range) Contains(mark uint32) bool { return mark&^r.Mask == r.Base && r != Range{} }

// Len is how many numbers there are.
func (r Range) Len() int { return 1 << bits.OnesCount32(r.Mask&^r.datagramBit()) }

// Nth returns the mark of a number from 0 to Len()-1: the bits of n in the places of Mask.
func (r Range) Nth(n int, datagram bool) uint32 {
	mark := r.Base
	for left := r.Mask &^ r.datagramBit(); n != 0 && left != 0; n >>= 1 {
		lowest := left & -left
		if n&1 != 0 {
			mark |= lowest
		}
		left &^= lowest
	}
	if datagram {
		mark |= r.datagramBit()
	}
	return mark
}

// Drop is the mark that leads to no virtual server: its packets are dropped.
func (r Range) Drop() uint32 { return r.Nth(0, false) }
