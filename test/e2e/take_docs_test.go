//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// The commands of docs/migration.md that the takeovers run as they stand there, but for the configuration's path.
const (
	docShadow  = "fairlead run --config /etc/fairlead/config.yaml --shadow"
	docRun     = "fairlead run --config /etc/fairlead/config.yaml"
	docServes  = `until [ "$(curl -s 127.0.0.1:10249/metrics | grep -c '^kubeproxy_sync_proxy_rules_last_timestamp_seconds.* [1-9]')" -ge 2 ]; do sleep 1; done`
	docCleanup = "fairlead cleanup --config /etc/fairlead/config.yaml --drain 1h"
)

// The commands of docs/migration.md that TestMigrationsObjects sends to the API server without kubectl.
const (
	docPatch = `kubectl -n kube-system patch daemonset kube-proxy --type strategic -p '{"spec":{"template":{"spec":{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchExpressions":[{"key":"fairlead.io/proxy","operator":"DoesNotExist"}]}]}}}}}}}'`
	docLabel = "kubectl label node NODE fairlead.io/proxy="
)

// TestMigrationHasNoOtherCommands holds docs/migration.md to the commands that the tests run. Those of systemctl are
// what the takeovers do to the processes themselves: SIGTERM, and a start.
func TestMigrationHasNoOtherCommands(t *testing.T) {
	text, err := os.ReadFile("../../docs/migration.md")
	must(t, err)
	var commands []string
	inside := false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "```"):
			inside = line == "```sh"
		case inside:
			commands = append(commands, line)
		}
	}
	want := []string{
		docShadow, "systemctl stop kube-proxy", docPatch, docLabel, docRun,
		"systemctl stop fairlead", "systemctl start kube-proxy", docServes, docCleanup,
	}
	if diff := cmp.Diff(want, commands); diff != "" {
		t.Errorf("docs/migration.md has not the commands that are tested (-want +got):\n%s", diff)
	}
}

// TestMigrationTellsWhatWasMeasured holds the table in docs/migration.md to the latest results of `make takeover`.
func TestMigrationTellsWhatWasMeasured(t *testing.T) {
	text, err := os.ReadFile("../../docs/results/takeover.json")
	must(t, err)
	var results []measured
	must(t, json.Unmarshal(text, &results))
	var table strings.Builder
	table.WriteString("| mode | change | new connections | failed | the slowest | open connections | lost | datagrams | unanswered |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range results {
		fmt.Fprintf(&table, "| %s | %s | %d | %d | %d ms | %d | %d | %d | %d |\n",
			r.Mode, r.Change, r.Opened, r.Failed, r.SlowestMilliseconds, r.LongLived, r.Lost, r.Datagrams, r.Unanswered)
	}
	page, err := os.ReadFile("../../docs/migration.md")
	must(t, err)
	if !strings.Contains(string(page), "\n"+table.String()+"\n") {
		t.Errorf("docs/migration.md has not this table:\n%s", &table)
	}
}

// documented returns a command of docs/migration.md in words, with the binary under test and its configuration.
func (k *takeover) documented(command, config string) []string {
	k.t.Helper()
	command = strings.Replace(command, "/etc/fairlead/config.yaml", config, 1)
	return strings.Fields(strings.Replace(command, "fairlead", mustEnv(k.t, "FAIRLEAD_TEST_BIN"), 1))
}

// serves waits until kube-proxy serves, by the command that docs/migration.md has for that.
func (k *takeover) serves() {
	k.t.Helper()
	if out, err := k.node.Run(k.t.Context(), "timeout", fmt.Sprint(proxyLimit.Seconds()), "bash", "-c", docServes); err != nil {
		k.t.Fatalf("%s: %v\n%s", docServes, err, out)
	}
}

// TestMigrationsObjects makes the changes to objects that docs/migration.md has kubectl make: kube-proxy's DaemonSet
// keeps away from nodes with the label, and what it had of affinities stays.
func TestMigrationsObjects(t *testing.T) {
	s := newScene(t)
	labels := map[string]string{"k8s-app": "kube-proxy"}
	expression := corev1.NodeSelectorRequirement{Key: "fairlead.io/proxy", Operator: corev1.NodeSelectorOpDoesNotExist}
	daemonSets := s.api.client.AppsV1().DaemonSets("kube-system")
	_, err := daemonSets.Create(t.Context(), &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "kube-proxy"},
		Spec: appsv1.DaemonSetSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					NodeSelector: map[string]string{corev1.LabelOSStable: "linux"},
					Containers:   []corev1.Container{{Name: "kube-proxy", Image: "registry.k8s.io/kube-proxy:v1.37.2"}},
				},
			},
		},
	}, metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() { must(t, daemonSets.Delete(context.Background(), "kube-proxy", metav1.DeleteOptions{})) })
	_, patch, _ := strings.Cut(docPatch, " -p ")
	patched, err := daemonSets.Patch(t.Context(), "kube-proxy", types.StrategicMergePatchType, []byte(strings.Trim(patch, "'")), metav1.PatchOptions{})
	must(t, err)
	pod := patched.Spec.Template.Spec
	terms := pod.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	if len(terms) != 1 || !cmp.Equal(terms[0].MatchExpressions, []corev1.NodeSelectorRequirement{expression}) {
		t.Errorf("kube-proxy is kept away by %+v", terms)
	}
	if len(pod.NodeSelector) != 1 || len(pod.Containers) != 1 {
		t.Errorf("something else has changed: %+v", pod)
	}
	words := strings.Fields(docLabel)
	key, value, _ := strings.Cut(words[len(words)-1], "=")
	label := []byte(`{"metadata": {"labels": {"` + key + `": "` + value + `"}}}`)
	node, err := s.api.client.CoreV1().Nodes().Patch(t.Context(), "node1", types.StrategicMergePatchType, label, metav1.PatchOptions{})
	must(t, err)
	if _, labeled := node.Labels[expression.Key]; !labeled || !slices.Contains(words, "node") {
		t.Errorf("node1 has the labels %v", node.Labels)
	}
}
