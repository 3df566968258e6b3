package ipvs

import (
	"net/netip"
	"testing"
	"time"
)

func TestRowShowsBothSides(t *testing.T) {
	fake := NewFake()
	table := NewTable(fake, time.Minute)
	k := Key{Addr: netip.MustParseAddrPort("10.96.0.10:80"), Protocol: TCP}
	stays, goes, comes := netip.MustParseAddrPort("10.1.0.1:80"), netip.MustParseAddrPort("10.1.0.2:80"), netip.MustParseAddrPort("10.1.0.3:80")
	one := func(addr netip.AddrPort) Real { return Real{addr, RealServer{Weight: 1}} }
	table.Set(k, VirtualServer{Scheduler: "rr"}, SortReals([]Real{one(stays), one(goes)}))
	if r := table.Row(k); r.Desired == nil || r.Actual != nil || len(r.Reals) != 2 || r.Reals[0].Actual != nil {
		t.Fatalf("before the first write: %+v", r)
	}
	all := func(Key) bool { return true }
	if err := table.Upsert(all); err != nil {
		t.Fatal(err)
	}
	table.Set(k, VirtualServer{Scheduler: "rr"}, SortReals([]Real{one(stays), one(comes)}))
	now := time.Unix(1000, 0)
	if err := table.Drain(now); err != nil {
		t.Fatal(err)
	}
	r := table.Row(k)
	if len(r.Reals) != 3 || r.Actual == nil || r.Actual.Scheduler != "rr" {
		t.Fatalf("row %+v", r)
	}
	if both := r.Reals[0]; both.Addr != stays || both.Desired == nil || both.Actual == nil || both.Draining {
		t.Errorf("what stays: %+v", both)
	}
	if drains := r.Reals[1]; drains.Addr != goes || drains.Desired != nil || drains.Actual == nil || drains.Actual.Weight != 0 ||
		!drains.Draining || !drains.Deadline.Equal(now.Add(time.Minute)) {
		t.Errorf("what drains: %+v", drains)
	}
	if new := r.Reals[2]; new.Addr != comes || new.Desired == nil || new.Actual != nil {
		t.Errorf("what comes: %+v", new)
	}
	if r := table.Row(Key{Addr: k.Addr, Protocol: UDP}); r.Desired != nil || r.Actual != nil || len(r.Reals) > 0 {
		t.Errorf("nothing: %+v", r)
	}
}
