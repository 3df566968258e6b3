package controller

import (
	"fmt"
	"reflect"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

// TestTheDirtySetGetsSmallAgain: every round ranges over it, which costs as much as it once held.
func TestTheDirtySetGetsSmallAgain(t *testing.T) {
	d := newDirty()
	for n := range 100 {
		d.add(types.NamespacedName{Namespace: "ns", Name: fmt.Sprint(n)})
	}
	which := func() uintptr { return reflect.ValueOf(d.names).Pointer() }
	full := which()
	if d.take(60); which() != full {
		t.Error("the set was lost")
	}
	if names, _ := d.take(60); len(names) != 40 || which() == full {
		t.Errorf("%d names; the set is the one that was full", len(names))
	}
	small := which()
	if d.take(60); which() != small {
		t.Error("an empty set is made anew for nothing")
	}
}
