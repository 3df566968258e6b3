package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
)

// TestTheKernelIsReadWithoutADaemon, by the commands themselves.
func TestTheKernelIsReadWithoutADaemon(t *testing.T) {
	kerneltest.Need(t)
	kerneltest.Run(t, "ipvsadm", "-A", "-t", "192.0.2.1:443", "-s", "rr")
	bound(t, "kube-ipvs0")
	socket := filepath.Join(t.TempDir(), "s")
	for line, want := range map[string]struct {
		text   string
		status int
	}{
		"status":                {"1, of which 0 are Fairlead's, with 0 real servers", 1},
		"get services":          {"somebody else's  tcp 192.0.2.1:443", 0},
		"get addresses":         {"10.96.0.10  address", 0},
		"get sets":              {"FAIRLEAD-VIP 10.96.0.10", 0},
		"explain 192.0.2.1:443": {"-A -t 192.0.2.1:443 -s rr", 0},
	} {
		status, stdout, stderr := command(append(strings.Fields(line), "--socket", socket)...)
		if status != want.status || !strings.Contains(stdout, want.text) || !strings.Contains(stderr, "no daemon answers") {
			t.Errorf("%s: status %d\n%s%s", line, status, stdout, stderr)
		}
	}
}
