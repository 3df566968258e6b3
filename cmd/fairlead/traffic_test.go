package main

import (
	"testing"

	"github.com/fairlead-lb/fairlead/view"
)

// TestOnlyTheWholeNodeIsMetered asks for one Service, whose traffic nobody must take for the node's.
func TestOnlyTheWholeNodeIsMetered(t *testing.T) {
	if got, err := (nodeMeter{}).Traffic(t.Context(), view.Filter{Namespace: "ns", Name: "web"}); err == nil {
		t.Errorf("got %+v", got)
	}
}

func TestAStatusPageForEverybodyIsWarnedOf(t *testing.T) {
	for address, want := range map[string]int{"": 0, "127.0.0.1:10266": 0, "'[::1]:10266'": 0, "127.1.2.3:1": 0, "0.0.0.0:10266": 1, "'[::]:10266'": 1, "192.0.2.1:10266": 1} {
		if _, warnings := load(t, "statusBindAddress: "+address+"\n", nil); len(warnings) != want {
			t.Errorf("%q: %q", address, warnings)
		}
	}
}
