//go:build linux

package e2e

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// doctor runs `fairlead doctor` on the node, and returns what it prints with its exit status.
func (s *scene) doctor(config string) (out string, status int) {
	s.t.Helper()
	text, err := s.node.Command(s.t.Context(), mustEnv(s.t, "FAIRLEAD_TEST_BIN"), "doctor", "--config", config).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(text), exit.ExitCode()
	}
	must(s.t, err)
	return string(text), 0
}

// TestTheDoctorOfANode asks the doctor beside a daemon that serves, and when things go wrong one after the other.
func TestTheDoctorOfANode(t *testing.T) {
	s := newScene(t)
	config := s.config()
	d := start(t, s.node, config)
	s.golang(s.a)
	d.waitReals(web4, 1)
	before, err := s.node.Dump(t.Context())
	must(t, err)
	ask := func(what string, status int, words ...string) {
		t.Helper()
		out, got := s.doctor(config)
		if got != status {
			t.Errorf("%s: exit status %d, not %d:\n%s", what, got, status, out)
		}
		for _, w := range words {
			if !strings.Contains(out, w) {
				t.Errorf("%s: no %q in\n%s", what, w, out)
			}
		}
	}
	ask("all is well", 0, "0 problems, 0 warnings, 0 unknown", "Fairlead may list Services, EndpointSlices and Nodes", "it runs, and its last sync went well",
		"within 5s of the API server's", "virtual servers are Fairlead's")
	after, err := s.node.Dump(t.Context())
	must(t, err)
	if after != before {
		t.Errorf("the doctor has changed something: before\n%+v\nafter\n%+v", before, after)
	}
	_, err = s.node.Run(t.Context(), "sysctl", "-w", "net.ipv4.vs.conntrack=0")
	must(t, err)
	ask("a sysctl was changed", 2, "problem  sysctls ", "somebody has changed what the daemon had set: net.ipv4.vs.conntrack = 0, not 1", "do: sysctl -w net.ipv4.vs.conntrack=1")
	d.stop()
	ask("the daemon is gone", 2, "problem  daemon ", "virtual servers are in force as it left them")
}
