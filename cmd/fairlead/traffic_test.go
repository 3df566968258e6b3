package main

import (
	"testing"

	"github.com/fairlead-lb/fairlead/view"
)

// TestTrafficOfOneService: the sum over its virtual servers. Those who ask at once share one request to the kernel.
func TestTrafficOfOneService(t *testing.T) {
	m := newMetered(3)
	for k, owner := range m.owners {
		owner.Service.Name = "web-1"
		m.owners[k] = owner
	}
	counted := m.traffic()
	for range 5 {
		got, err := counted.Traffic(t.Context(), view.Filter{Namespace: "ns", Name: "web-1"})
		if err != nil || got.Connections != 0+1+2 || got.OutBytes != 3<<40 || !got.Services {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if other, err := counted.Traffic(t.Context(), view.Filter{Namespace: "ns", Name: "web-2"}); err != nil || other.Connections != 0 {
		t.Errorf("a Service without virtual servers: %+v, %v", other, err)
	}
	if m.kernel.Requests != 1 {
		t.Errorf("%d requests", m.kernel.Requests)
	}
}

func TestAStatusPageForEverybodyIsWarnedOf(t *testing.T) {
	for address, want := range map[string]int{"": 0, "127.0.0.1:10266": 0, "'[::1]:10266'": 0, "127.1.2.3:1": 0, "0.0.0.0:10266": 1, "'[::]:10266'": 1, "192.0.2.1:10266": 1} {
		if _, warnings := load(t, "statusBindAddress: "+address+"\n", nil); len(warnings) != want {
			t.Errorf("%q: %q", address, warnings)
		}
	}
}
