package dummyif

import (
	"net/netip"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

const (
	netlinkHeader = 16
	device        = 7
)

func encoded(op Op) []byte {
	var b nlbatch.Batch
	encode(&b, device, op)
	return b.Bytes(0)[netlinkHeader:]
}

// TestWhatIsEncodedIsDecoded: the kernel lists bindings in the form in which it takes them.
func TestWhatIsEncodedIsDecoded(t *testing.T) {
	for _, text := range []string{"10.96.0.10", "fd00:96::10"} {
		addr := netip.MustParseAddr(text)
		bound := Op{Verb: Bind, Binding: Binding{Addr: addr}}
		routed := Op{Verb: Bind, Binding: Binding{Addr: addr, Way: ByRoute}, Source: addr.Next()}
		listed := encoded(bound)
		listed[2] = ifaFlagDeprecated // the kernel makes that of a lifetime of 0
		if b, source, ok := decodeAddr(listed, device); !ok || b != bound.Binding || source.IsValid() {
			t.Errorf("%s: decoded as %v from %s, %v", text, b, source, ok)
		}
		preferred := Op{Verb: Bind, Binding: bound.Binding, Source: addr}
		if b, source, ok := decodeAddr(encoded(preferred), device); !ok || b != bound.Binding || source.IsValid() != addr.Is6() {
			t.Errorf("%s, which is not deprecated: decoded as %v from %s, %v", text, b, source, ok)
		}
		if b, source, ok := decodeRoute(encoded(routed), device); !ok || b != routed.Binding || source != routed.Source {
			t.Errorf("%s: decoded as %v from %s, %v", text, b, source, ok)
		}
		if _, _, ok := decodeAddr(encoded(bound), device+1); ok {
			t.Errorf("%s: another device's address", text)
		}
		if _, _, ok := decodeRoute(encoded(routed), device+1); ok {
			t.Errorf("%s: another device's route", text)
		}
		short := encoded(bound)
		short[1]--
		if _, _, ok := decodeAddr(short, device); ok {
			t.Errorf("%s: the address of a network is no VIP", text)
		}
		for offset, other := range map[int]byte{4: 254, 5: 2} { // another table, another one's route
			foreign := encoded(routed)
			foreign[offset] = other
			if _, _, ok := decodeRoute(foreign, device); ok {
				t.Errorf("%s: with %d at %d it is none of ours", text, other, offset)
			}
		}
	}
	old := Op{Verb: Bind, Binding: Binding{netip.MustParseAddr("10.96.0.10"), ByOldRoute}}
	if b, _, ok := decodeRoute(encoded(old), device); !ok || b != old.Binding {
		t.Errorf("a route without a metric: decoded as %v, %v", b, ok)
	}
	var other nlbatch.Batch
	encode(&other, device, old)
	other.U32(rtaPriority, RouteMetric-1)
	if b, _, ok := decodeRoute(other.Bytes(0)[netlinkHeader:], device); ok {
		t.Errorf("a route with another metric: decoded as %v", b)
	}
	if _, _, ok := decodeAddr(encoded(Op{Verb: Bind, Binding: Binding{Addr: netip.MustParseAddr("fe80::1")}}), device); ok {
		t.Error("a link-local address is no VIP")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encoded(Op{Verb: Bind, Binding: Binding{Addr: netip.MustParseAddr("10.96.0.10")}}))
	f.Add(encoded(Op{Verb: Bind, Binding: Binding{Addr: netip.MustParseAddr("fd00::1"), Way: ByRoute}}))
	f.Fuzz(func(t *testing.T, payload []byte) {
		for ifindex := range device + 1 {
			b, _, ok := decodeAddr(payload, ifindex)
			if ok && !b.Addr.IsValid() {
				t.Errorf("%x has no address", payload)
			}
			if b, _, ok := decodeRoute(payload, ifindex); ok && !b.Addr.IsValid() {
				t.Errorf("%x has no address", payload)
			}
		}
	})
}
