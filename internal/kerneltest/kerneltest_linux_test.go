package kerneltest

import (
	"os"
	"strings"
	"testing"
)

func TestEachTestHasANamespaceOfItsOwn(t *testing.T) {
	seen := map[string]bool{}
	outside := namespace(t)
	for range 3 {
		t.Run("inside", func(t *testing.T) {
			Namespace(t)
			seen[namespace(t)] = true
			if links := strings.Count(Run(t, "ip", "-o", "link"), "\n"); links != 1 {
				t.Errorf("%d devices in a fresh namespace, want lo only", links)
			}
			if lo := Run(t, "ip", "-o", "addr", "show", "lo"); !strings.Contains(lo, "127.0.0.1/8") {
				t.Errorf("lo is not up: %s", lo)
			}
		})
	}
	if t.Failed() || len(seen) == 0 {
		return
	}
	if seen[outside] {
		t.Error("a test ran in the namespace of the process")
	}
	if now := namespace(t); now != outside {
		t.Errorf("the namespace leaked out of the test: %s, was %s", now, outside)
	}
}

func TestRealServersHaveRoutes(t *testing.T) {
	Need(t)
	for _, to := range []string{"10.1.2.3", "fd00::1:2:3"} {
		if out := Run(t, "ip", "route", "get", to); !strings.Contains(out, Routed) {
			t.Errorf("route to %s: %s", to, out)
		}
	}
}

func namespace(t *testing.T) string {
	t.Helper()
	name, err := os.Readlink("/proc/thread-self/ns/net")
	must(t, "read the namespace", err)
	return name
}
