package ipvs

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// TestSetsOfWorkGetSmallAgain: every sync ranges over them, which costs as much as they once held.
func TestSetsOfWorkGetSmallAgain(t *testing.T) {
	var many strings.Builder
	for n := range 100 {
		fmt.Fprintf(&many, "-A -t 10.96.1.%[1]d:80 -s rr\n-a -t 10.96.1.%[1]d:80 -r 10.1.1.%[1]d:80 -m -w 1\n", n)
	}
	r := newRig(t, drainTimeout)
	which := func(set any) uintptr { return reflect.ValueOf(set).Pointer() }
	r.want(many.String())
	full := which(r.dirty)
	r.mustSync()
	if len(r.dirty) != 0 || which(r.dirty) == full {
		t.Error("the set of dirty servers is the one that was full")
	}
	small := which(r.dirty)
	r.mustSync()
	if which(r.dirty) != small {
		t.Error("an empty set is made anew for nothing")
	}
	r.want("")
	r.mustSync()
	full = which(r.drains)
	if len(r.drains) != 100 {
		t.Fatalf("%d drains", len(r.drains))
	}
	r.want(many.String())
	r.mustSync()
	if len(r.drains) != 0 || which(r.drains) == full {
		t.Error("the set of drains is the one that was full")
	}
}
