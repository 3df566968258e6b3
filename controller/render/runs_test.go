package render

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestRunsAreSorted compares with the library, for lists of few runs and of many.
func TestRunsAreSorted(t *testing.T) {
	one := rapid.Custom(func(t *rapid.T) located {
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, 0, rapid.Byte().Draw(t, "host")}), rapid.Uint16Range(1, 2).Draw(t, "port"))
		return located{at, endpoint{ready: rapid.Bool().Draw(t, "ready"), weight: rapid.Uint16Range(1, 3).Draw(t, "weight")}}
	})
	rapid.Check(t, func(t *rapid.T) {
		var list []located
		for range rapid.IntRange(0, 5).Draw(t, "slices") {
			part := rapid.SliceOfN(one, 0, 20).Draw(t, "slice")
			if rapid.Bool().Draw(t, "sorted") {
				slices.SortFunc(part, func(a, b located) int { return order(&a, &b) })
			}
			list = append(list, part...)
		}
		want := slices.Clone(list)
		slices.SortFunc(want, func(a, b located) int { return order(&a, &b) })
		if diff := cmp.Diff(want, sortRuns(list), cmp.AllowUnexported(located{}, endpoint{}), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}
