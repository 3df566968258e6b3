//go:build linux

package e2e

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// docPages are the pages whose commands TestDocsCommands runs, in this order: the last one ends with a cleanup.
var docPages = []string{"troubleshooting.md", "operations.md"}

// The commands of docPages that tell systemd what the test does to the daemon itself: SIGTERM, and a start.
const (
	docStop    = "systemctl stop fairlead"
	docRestart = "systemctl restart fairlead"
)

// docNotRun are the commands of docPages that no test runs, and why. No other command of
// kubectl, systemctl or journalctl may be in them.
var docNotRun = map[string]string{
	"journalctl -u fairlead --since -10min":                                           "there is no journal in the machine of the tests",
	"kubectl -n kube-system get pods -l app.kubernetes.io/name=fairlead -o wide":      kubectlOnly,
	"kubectl -n kube-system exec POD -- fairlead status":                              kubectlOnly,
	"kubectl -n kube-system logs POD --since=10m":                                     kubectlOnly,
	"kubectl -n kube-system logs POD --previous --tail=20":                            kubectlOnly,
	"kubectl -n kube-system logs POD -c init":                                         kubectlOnly,
	"kubectl -n kube-system rollout restart daemonset/fairlead":                       kubectlOnly,
	"kubectl get events -A --field-selector type=Warning":                             kubectlOnly,
	"kubectl -n myproject get endpointslices -l kubernetes.io/service-name=golang-ex": kubectlOnly,
}

const kubectlOnly = "it takes kubectl, and Pods that no kubelet of the tests runs"

// shellLines returns the lines of a page's blocks of sh.
func shellLines(t testing.TB, page string) (lines []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs", page))
	must(t, err)
	inside := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```sh"
		case inside && line != "":
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		t.Fatalf("docs/%s has no commands", page)
	}
	return lines
}

// TestDocsCommandsThatAreNotRun are in the pages, and no other command of kubectl, systemctl or journalctl is.
func TestDocsCommandsThatAreNotRun(t *testing.T) {
	var found []string
	for _, page := range docPages {
		for _, line := range shellLines(t, page) {
			program, _, _ := strings.Cut(line, " ")
			switch {
			case line == docStop || line == docRestart:
			case slices.Contains([]string{"kubectl", "systemctl", "journalctl"}, program):
				found = append(found, line)
			}
		}
	}
	slices.Sort(found)
	if want := slices.Sorted(maps.Keys(docNotRun)); !slices.Equal(slices.Compact(found), want) {
		t.Errorf("the pages have\n%s\nand not run are\n%s", strings.Join(found, "\n"), strings.Join(want, "\n"))
	}
}

// TestAlertsHaveAnEntry finds what the alerts lead to in docs/troubleshooting.md: a heading of that name.
func TestAlertsHaveAnEntry(t *testing.T) {
	rules, err := os.ReadFile("../../deploy/prometheus/rules.yaml")
	must(t, err)
	page, err := os.ReadFile("../../docs/troubleshooting.md")
	must(t, err)
	var anchors []string
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(page), -1) {
		anchors = append(anchors, anchorOf(heading[1]))
	}
	alerts := regexp.MustCompile(`troubleshooting\.md#(\S+)`).FindAllStringSubmatch(string(rules), -1)
	if len(alerts) == 0 {
		t.Fatal("no alert leads to docs/troubleshooting.md")
	}
	for _, alert := range alerts {
		if !slices.Contains(anchors, alert[1]) {
			t.Errorf("docs/troubleshooting.md has no entry %s", alert[1])
		}
	}
	for _, link := range regexp.MustCompile(`\]\(#([^)]+)\)`).FindAllStringSubmatch(string(page), -1) {
		if !slices.Contains(anchors, link[1]) {
			t.Errorf("docs/troubleshooting.md leads to #%s, which it has not", link[1])
		}
	}
}

// anchorOf is what GitHub makes of a heading.
func anchorOf(heading string) string {
	heading = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(heading), "")
	return strings.ReplaceAll(heading, " ", "-")
}

// documentation runs commands of the pages on a node.
type documentation struct {
	*scene

	config, bin string // the daemon's configuration; a directory in which fairlead is
	daemon      *daemon
}

// TestDocsCommands runs each command of the pages as it stands there, but for the configuration's path, on a node that
// serves the Service of the examples. Each has to end with status 0, within a few seconds.
func TestDocsCommands(t *testing.T) {
	s := newScene(t)
	d := &documentation{scene: s, config: s.config(), bin: t.TempDir()}
	must(t, os.Symlink(mustEnv(t, "FAIRLEAD_TEST_BIN"), filepath.Join(d.bin, "fairlead")))
	d.daemon = start(t, s.node, d.config)
	s.golang(s.a, s.remote)
	d.daemon.waitReals(web4, 2)
	for _, page := range docPages {
		for _, line := range shellLines(t, page) {
			d.does(page, line)
		}
	}
	if tables, err := s.node.Dump(t.Context()); err != nil || strings.Contains(tables.IPVS, vip4) {
		t.Errorf("after the cleanup at the end: %v, %s", err, tables.IPVS)
	}
}

// does what a line says.
func (d *documentation) does(page, line string) {
	d.t.Helper()
	switch {
	case docNotRun[line] != "":
	case line == docStop:
		d.daemon.stop()
	case line == docRestart:
		d.daemon.stop()
		d.daemon = start(d.t, d.node, d.config)
	default:
		out, err := d.shell(line)
		if err != nil {
			d.t.Errorf("docs/%s: %s: %v\n%s", page, line, err, out)
		}
		d.t.Logf("$ %s\n%s", line, out)
	}
}

// shell runs a line on the node, and returns what it prints.
func (d *documentation) shell(line string) (out string, err error) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), time.Minute)
	defer cancel()
	cmd := d.node.Command(ctx, "bash", "-o", "pipefail", "-c", strings.ReplaceAll(line, "/etc/fairlead/config.yaml", d.config))
	cmd.Env = append(os.Environ(), "PATH="+d.bin+":"+os.Getenv("PATH"))
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	err = cmd.Run()
	if ctx.Err() != nil {
		err = errors.Join(ctx.Err(), err)
	}
	return text.String(), err
}
