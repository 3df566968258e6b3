//go:build linux

package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestPreflight takes away, one at a time, what the daemon needs, and expects one clear sentence and
// exit status 1.
func TestPreflight(t *testing.T) {
	i := newIsland(t)
	bin, config := mustEnv(t, "FAIRLEAD_TEST_BIN"), i.config()
	for _, c := range []struct {
		name    string
		command []string
		want    string
		vmOnly  bool
	}{
		{"privileges", []string{"setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all", bin, "run", "--source-directory", "/"}, "not allowed to administer the network", false},
		{"iptables", []string{"env", "PATH=/nowhere", bin, "run", "--config", config}, "iptables is needed", false},
		{"scheduler", []string{"env", "FAIRLEAD_IPVS_SCHEDULER=ovf", bin, "run", "--config", config}, "the kernel has no such scheduler: ovf", true},
	} {
		t.Run("without "+c.name, func(t *testing.T) {
			if c.vmOnly {
				blacklist(t, "ip_vs_ovf")
			}
			before, err := i.node.Dump(t.Context())
			must(t, err)
			cmd := i.node.Command(t.Context(), c.command[0], c.command[1:]...)
			out, err := cmd.CombinedOutput()
			if err == nil || cmd.ProcessState.ExitCode() != 1 {
				t.Errorf("exit: %v, want status 1\n%s", err, out)
			}
			if !strings.Contains(string(out), c.want) || strings.Count(string(out), "\n") != 1 {
				t.Errorf("it said %q, want one line with %q", out, c.want)
			}
			after, err := i.node.Dump(t.Context())
			must(t, err)
			if after != before {
				t.Errorf("it changed something:\n%+v\n%+v", before, after)
			}
		})
	}
}

// blacklist keeps the kernel from loading a module, in the VM.
func blacklist(t *testing.T, module string) {
	t.Helper()
	if os.Getenv("FAIRLEAD_VM") == "" {
		t.Skipf("%s can only be taken away in the test VM, whose file system is thrown away", module)
	}
	path := "/etc/modprobe.d/fairlead-test.conf"
	must(t, os.WriteFile(path, []byte("install "+module+" /bin/false\n"), 0o644))
	t.Cleanup(func() { _ = os.Remove(path) })
}

// TestHostSettings checks what the daemon sets on the node, and what only on request.
func TestHostSettings(t *testing.T) {
	i := newIsland(t)
	d := start(t, i.node, writeConfig(t, "source: {kind: directory, directory: "+i.dir+"}",
		"ipvs: {strictARP: true, estimation: 'off', tcpTimeout: 1000s, tcpFinTimeout: 100s, udpTimeout: 200s}",
		"oomScoreAdj: 123", "enableProfiling: true"))
	for name, want := range map[string]string{
		"ipv4/vs/conntrack": "1", "ipv4/vs/expire_nodest_conn": "1", "ipv4/vs/expire_quiescent_template": "1",
		"ipv4/ip_forward": "1", "ipv4/conf/all/arp_ignore": "1", "ipv4/conf/all/arp_announce": "2", "ipv4/vs/run_estimation": "0",
	} {
		if got, err := i.node.Sysctl(name); err != nil || got != want {
			t.Errorf("sysctl %s is %s (%v), want %s", name, got, err, want)
		}
	}
	timeouts, err := i.node.Run(t.Context(), "ipvsadm", "-L", "--timeout")
	must(t, err)
	if !strings.Contains(timeouts, "1000 100 200") {
		t.Errorf("timeouts: %s", timeouts)
	}
	score, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", d.cmd.Process.Pid))
	if err != nil || strings.TrimSpace(string(score)) != "123" {
		t.Errorf("oom_score_adj: %s, %v", score, err)
	}
	for port, paths := range map[string][]string{"10256": {"/healthz", "/livez"}, "10249": {"/metrics", "/proxyMode", "/debug/pprof/cmdline"}} {
		for _, path := range paths {
			if body, err := d.get(port, path); err != nil || body == "" {
				t.Errorf("%s: %q, %v", path, body, err)
			}
		}
	}
}
