package ipvs

import (
	"iter"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Row is a virtual server as it is desired and, to the best of the table's knowledge, in the kernel.
type Row struct {
	Desired, Actual *VirtualServer // nil: it is not
	Reals           []RealRow      // by address
}

// RealRow is a real server as it is desired and in the kernel.
type RealRow struct {
	Addr            netip.AddrPort
	Desired, Actual *RealServer
	Draining        bool
	Deadline        time.Time // of the drain; zero: its connections are waited for
}

// All yields every virtual server that is desired or in the kernel.
func (t *Table) All() iter.Seq[Key] { return maps.Keys(t.servers) }

// Row returns a virtual server with its real servers.
func (t *Table) Row(k Key) (r Row) {
	s := t.servers[k]
	if s == nil {
		return r
	}
	if desired := s.desired; s.wanted {
		r.Desired = &desired
	}
	if actual := s.actual; s.there {
		r.Actual = &actual
	}
	differ := make(map[netip.AddrPort]bool)
	for want, have := range s.difference() {
		row := RealRow{}
		if want != nil {
			row.Addr, row.Desired = want.Addr, &RealServer{Weight: want.Weight}
		}
		if have != nil {
			row.Addr, row.Actual = have.Addr, &RealServer{Weight: have.Weight}
		}
		d, draining := t.drains[realKey{k, row.Addr}]
		row.Draining, row.Deadline = draining && !d.over(), d.deadline
		differ[row.Addr] = true
		r.Reals = append(r.Reals, row)
	}
	for _, real := range s.wantReals {
		if !differ[real.Addr] {
			value := real.RealServer
			r.Reals = append(r.Reals, RealRow{Addr: real.Addr, Desired: &value, Actual: &value})
		}
	}
	slices.SortFunc(r.Reals, func(a, b RealRow) int { return a.Addr.Compare(b.Addr) })
	return r
}

// Count returns how many real servers a virtual server should have, and how many of them, to the best of the
// table's knowledge, the kernel has just so.
func (t *Table) Count(k Key) (desired, inForce int) {
	s := t.servers[k]
	if s == nil {
		return 0, 0
	}
	desired, inForce = len(s.wantReals), len(s.wantReals)
	if !s.settled() {
		for want := range s.difference() {
			if want != nil {
				inForce--
			}
		}
	}
	return desired, inForce
}
