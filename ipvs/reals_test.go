package ipvs

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// realsOf sorts what a test has as a map.
func realsOf(m map[netip.AddrPort]RealServer) Reals {
	var list []Real
	for addr, real := range m {
		list = append(list, Real{addr, real})
	}
	return SortReals(list)
}

func (r Reals) asMap() map[netip.AddrPort]RealServer {
	m := make(map[netip.AddrPort]RealServer)
	for _, real := range r {
		m[real.Addr] = real.RealServer
	}
	return m
}

// TestRealsAreAsMapsWouldBe compares the walks over sorted slices with what is plain to see of maps.
func TestRealsAreAsMapsWouldBe(t *testing.T) {
	draw := rapid.MapOf(
		rapid.Custom(func(t *rapid.T) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 0, rapid.ByteRange(1, 4).Draw(t, "host")}), rapid.Uint16Range(1, 2).Draw(t, "port"))
		}),
		rapid.Custom(func(t *rapid.T) RealServer { return RealServer{Weight: rapid.Uint16Range(0, 2).Draw(t, "weight")} }))
	rapid.Check(t, func(t *rapid.T) {
		desired, actual := draw.Draw(t, "desired"), draw.Draw(t, "actual")
		is := maps.Clone(actual)
		var changes []realChange
		for want, have := range difference(realsOf(desired), realsOf(actual)) {
			switch {
			case want == nil:
				changes = append(changes, realChange{*have, true})
				delete(is, have.Addr)
			case have != nil && want.Addr != have.Addr || have != nil && *want == *have:
				t.Fatalf("%v and %v are no difference", want, have)
			default:
				changes = append(changes, realChange{*want, false})
				is[want.Addr] = want.RealServer
			}
		}
		if diff := cmp.Diff(desired, is); diff != "" {
			t.Fatalf("with the differences made (-desired +actual):\n%s", diff)
		}
		before := realsOf(actual)
		after := before.with(changes)
		if diff := cmp.Diff(desired, after.asMap()); diff != "" || !slices.IsSortedFunc(after, func(a, b Real) int { return a.Addr.Compare(b.Addr) }) {
			t.Fatalf("after the changes %v (-want +got):\n%s", after, diff)
		}
		if diff := cmp.Diff(actual, before.asMap()); diff != "" {
			t.Fatalf("what is shared was changed:\n%s", diff)
		}
		for addr, real := range actual {
			if got, found := before.Find(addr); !found || got != real {
				t.Fatalf("%s is not found", addr)
			}
		}
		gone := maps.Clone(actual)
		maps.DeleteFunc(gone, func(addr netip.AddrPort, _ RealServer) bool { _, stays := desired[addr]; return stays })
		if got := slices.Collect(before.without(realsOf(desired))); len(got) != len(gone) {
			t.Fatalf("%v are gone, not %v", got, gone)
		}
	})
}
