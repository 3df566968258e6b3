//go:build linux

package e2e

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestTakeoverBeside starts Fairlead where kube-proxy still runs: it says so in log, event and status, leaves
// kube-proxy's state alone, and removes it when kube-proxy is gone.
func TestTakeoverBeside(t *testing.T) {
	k := &takeover{stage: newStage(t), mode: "nftables"}
	proxy := k.kubeProxy()
	table := func() string {
		out, err := k.node.Run(t.Context(), "nft", "list", "tables")
		must(t, err)
		return out
	}
	proxy.eventually("started", func() error {
		if !strings.Contains(table(), "ip6 kube-proxy") {
			return errors.New("no table yet")
		}
		return nil
	})
	socket := filepath.Join(t.TempDir(), "fairlead.sock")
	d := start(t, k.node, k.config("socketPath: "+socket))
	status := func() string {
		out, err := k.node.Run(t.Context(), mustEnv(t, "FAIRLEAD_TEST_BIN"), "status", "--socket", socket)
		must(t, err)
		return out
	}
	d.eventually("aware of kube-proxy", func() error {
		if !strings.Contains(d.log.String(), "runs on this node, too") {
			return errors.New("not in the log")
		}
		list, err := k.api.client.CoreV1().Events("").List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.kind=Node,involvedObject.name=node1"})
		if err != nil {
			return err
		}
		for _, event := range list.Items {
			if event.Reason == "KubeProxyRunning" {
				return nil
			}
		}
		return errors.New("no event on the Node")
	})
	if said := status(); !strings.Contains(said, "runs on this node, too") {
		t.Errorf("fairlead status does not name it:\n%s", said)
	}
	if !strings.Contains(table(), "ip6 kube-proxy") {
		t.Error("its state was removed while it runs")
	}
	proxy.kill()
	d.eventually("rid of kube-proxy's state", k.nothingOfKubeProxys)
	d.eventually("silent of it", func() error {
		if said := status(); strings.Contains(said, "kube-proxy") {
			return errors.New(said)
		}
		return nil
	})
}
