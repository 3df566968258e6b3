//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// kubeadmProxyConfig is what kubeadm 1.37 writes into the ConfigMap kube-proxy, in kube-proxy's default mode,
// which is iptables.
const kubeadmProxyConfig = "../../cmd/fairlead/testdata/kube-proxy/kubeadm-iptables.conf"

// TestKubeadmCommandLine runs the daemon with the arguments of kubeadm's DaemonSet and its configuration.
// What works with kube-proxy in that mode works here: node ports on the loopback, too.
func TestKubeadmCommandLine(t *testing.T) {
	s := newScene(t)
	s.api.service("golang-ex", []string{vip4, vip6}, func(svc *corev1.Service) {
		svc.Spec.Type = corev1.ServiceTypeNodePort
		svc.Spec.Ports[0].NodePort = 30080
	})
	s.api.endpoints("golang-ex", s.a, s.b, s.c)
	text, err := os.ReadFile(kubeadmProxyConfig)
	must(t, err)
	edited := strings.NewReplacer(
		"/var/lib/kube-proxy/kubeconfig.conf", s.api.kubeconfig,
		"clusterCIDR: 10.244.0.0/16", "clusterCIDR: 172.17.0.0/16,fd00:17::/32",
		"portRange: \"\"", "portRange: 30000-32767\nfeatureGates: {Any: true}",
	).Replace(string(text))
	path := filepath.Join(t.TempDir(), "config.conf")
	must(t, os.WriteFile(path, []byte(edited), 0o600))
	d := launch(t, s.node, mustEnv(t, "FAIRLEAD_TEST_BIN"), "run", "--config="+path, "--hostname-override=node1")
	d.waitReals(web4, 3)
	d.waitReals(web6, 3)
	s.evenly(s.spread(s.caller.Namespace, "tcp", web4, 9), 3, "a", "b", "c")
	if _, err := lab.Ask(t.Context(), s.node.Namespace, "tcp", "127.0.0.1:30080"); err != nil {
		t.Errorf("the node port on the loopback: %v", err)
	}
	if log := d.log.String(); strings.Count(log, "without a meaning here") != 1 || !strings.Contains(log, "portRange, featureGates") {
		t.Errorf("what has no meaning is not one line of the log:\n%s", withoutClientGo(log))
	}
}
