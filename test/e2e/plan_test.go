//go:build linux

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// planned runs `fairlead plan` on a node, and returns its exit status and its plan.
func planned(t *testing.T, node *lab.Node, config string) (status int, out string) {
	t.Helper()
	cmd := node.Command(t.Context(), mustEnv(t, "FAIRLEAD_TEST_BIN"), "plan", "--config", config)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if stderr.Len() > 0 {
		t.Logf("fairlead plan: %s", &stderr)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode(), stdout.String()
	}
	must(t, err)
	return 0, stdout.String()
}

// nothingPlanned says what is planned, if anything is.
func nothingPlanned(t *testing.T, node *lab.Node, config string) error {
	t.Helper()
	if status, out := planned(t, node, config); status != 0 {
		return fmt.Errorf("status %d, and the plan\n%s", status, out)
	}
	return nil
}

// TestThePlanIsWhatTheDaemonDoes: before it starts it is everything, and writes nothing; behind it, it is nothing,
// also while it runs; and what somebody else has changed meanwhile is in it, and that alone.
func TestThePlanIsWhatTheDaemonDoes(t *testing.T) {
	i := newIsland(t)
	i.write("a.yaml", manifest("a", "172.30.0.1", "172.17.0.2"))
	config := i.config()
	before, err := i.node.Dump(t.Context())
	must(t, err)
	status, out := planned(t, i.node, config)
	if status != 2 || !strings.Contains(out, "ipvsadm -a -t 172.30.0.1:8080 -r 172.17.0.2:8080 -m -w 1 # default/a\n") {
		t.Errorf("before the start: status %d\n%s", status, out)
	}
	after, err := i.node.Dump(t.Context())
	must(t, err)
	if after != before {
		t.Errorf("the plan has changed the kernel:\n%+v\nto\n%+v", before, after)
	}
	d := start(t, i.node, config)
	d.waitReals("172.30.0.1:8080", 1)
	d.eventually("nothing more to plan", func() error { return nothingPlanned(t, i.node, config) })
	d.stop()
	must(t, nothingPlanned(t, i.node, config))
	_, err = i.node.Run(t.Context(), "ipvsadm", "-e", "-t", "172.30.0.1:8080", "-r", "172.17.0.2:8080", "-m", "-w", "7")
	must(t, err)
	status, out = planned(t, i.node, config)
	want := "# ipvs: virtual servers and their real servers\n" +
		"ipvsadm -e -t 172.30.0.1:8080 -r 172.17.0.2:8080 -m -w 1 # default/a\n# 1 write: 1 ipvs edit-real\n"
	if status != 2 || out != want {
		t.Errorf("status %d\n%s\nwant\n%s", status, out, want)
	}
}
