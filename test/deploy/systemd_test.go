package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

const unit = "../../deploy/systemd/fairlead.service"

// TestSystemdTakesTheUnit has systemd itself read the unit: an unknown setting or value is a warning.
func TestSystemdTakesTheUnit(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("needs systemd-analyze: `make tools`")
	}
	self, err := os.Executable() // stands for the daemon, which need not be installed
	if err != nil {
		t.Fatal(err)
	}
	verify := func(text string) string {
		path := filepath.Join(t.TempDir(), "fairlead.service")
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "/usr/local/bin/fairlead", self)), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", path).CombinedOutput()
		if err != nil && len(out) == 0 {
			return err.Error()
		}
		return string(out)
	}
	text := read(t, unit)
	if out := verify(text); out != "" {
		t.Error(out)
	}
	if out := verify(text + "\n[Service]\nProtectSistem=yes\n"); out == "" {
		t.Error("a setting that does not exist was taken: this test sees nothing")
	}
}

// TestTheUnitIsHardened looks at what must be there, and what would keep Fairlead from its work.
func TestTheUnitIsHardened(t *testing.T) {
	text := read(t, unit)
	for _, line := range []string{
		"CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW CAP_SYS_MODULE", "NoNewPrivileges=yes", "ProtectSystem=strict",
		"ReadWritePaths=/run", "ProtectKernelTunables=no", "ProtectKernelModules=no", "PrivateNetwork=no",
		"ExecStart=/usr/local/bin/fairlead run --config /etc/fairlead/config.yaml",
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("the unit lacks %s", line)
		}
	}
}
