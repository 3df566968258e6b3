package dummyif

import (
	"net/netip"
	"testing"
)

func TestChangingFromAddressesToRoutesLosesNoRoute(t *testing.T) {
	kernel := NewFake()
	vips := []netip.Addr{netip.MustParseAddr("10.96.0.1"), netip.MustParseAddr("10.96.0.2"), netip.MustParseAddr("fd00::1")}
	all := func(netip.Addr) bool { return true }
	none := func(netip.Addr) bool { return false }
	for _, route := range []bool{false, true, false} {
		device := NewDevice(kernel, route, func(netip.Addr) netip.Addr { return netip.Addr{} })
		if _, err := device.Resync(all); err != nil {
			t.Fatal(err)
		}
		for _, vip := range vips {
			device.Set(vip)
		}
		if err := device.Upsert(all); err != nil {
			t.Fatal(err)
		}
		if err := device.Prune(none, none); err != nil {
			t.Fatal(err)
		}
		if _, err := device.Resync(all); err != nil {
			t.Fatal(err)
		}
		if device.Pending() != 0 {
			t.Errorf("route=%v: %d pending; the kernel has\n%s", route, device.Pending(), Dump(kernel))
		}
	}
}
