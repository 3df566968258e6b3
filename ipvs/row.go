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

// At returns the virtual servers that the kernel has at an address, to the best of the table's knowledge. The
// caller does not change them.
func (t *Table) At(addr netip.Addr) []Key { return t.at[addr] }

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
