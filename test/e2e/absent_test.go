//go:build linux

package e2e

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestPreflightWithoutIPVS runs the daemon on a kernel without IPVS. moby/ipvs alone would pretend
// that every write succeeds there. It comes first in this package: a network namespace in which a
// connection was closed keeps the module for a minute more.
func TestPreflightWithoutIPVS(t *testing.T) {
	i := newIsland(t)
	blacklist(t, "ip_vs")
	i.lab.Close() // its table keeps the module in use
	unload(t, "ip_vs")
	out, err := exec.Command(mustEnv(t, "FAIRLEAD_TEST_BIN"), "run", "--source-directory", i.dir).CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || strings.Count(string(out), "\n") != 1 || !strings.Contains(string(out), "the kernel has no IPVS") {
		t.Errorf("%v\n%s", err, out)
	}
}

// unload removes a module and those that use it. A network namespace gives its use up a while after it
// has gone.
func unload(t *testing.T, module string) {
	t.Helper()
	var out []byte
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		loaded, err := os.ReadFile("/proc/modules")
		must(t, err)
		var names []string
		for line := range strings.Lines(string(loaded)) {
			if name, _, _ := strings.Cut(line, " "); strings.HasPrefix(name, module+"_") {
				names = append(names, name)
			}
		}
		if len(names) == 0 && !strings.Contains(string(loaded), module+" ") {
			return
		}
		out, _ = exec.Command("rmmod", append(names, module)...).CombinedOutput()
	}
	t.Fatalf("module %s stays: %s", module, out)
}
