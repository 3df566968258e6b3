package main

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
)

// TestOneSettingThatFailsKeepsNoOtherBack: where /proc/sys is read-only each sysctl is named, with its key.
func TestOneSettingThatFailsKeepsNoOtherBack(t *testing.T) {
	kerneltest.Namespace(t)
	readOnlyProcSys(t)
	cfg := defaults(t)
	cfg.IPVS.StrictARP = true
	failed := problemsIn(prepareHost(cfg, slog.New(slog.DiscardHandler)))
	for _, want := range []string{"because packets go on to pods", "arp_ignore", "arp_announce"} {
		want, always := strings.CutPrefix(want, "because ")
		found := false
		for _, err := range failed {
			if strings.Contains(err.Error(), want) {
				found = strings.Contains(err.Error(), "read-only file system") && (keyOf(err) == "ipvs.strictARP") != always
			}
		}
		if !found {
			t.Errorf("%s is not named in %v", want, failed)
		}
	}
}
