package main

import "testing"

// TestKubeadmCommandLine takes the arguments of kubeadm's DaemonSet.
func TestKubeadmCommandLine(t *testing.T) {
	cmd := newRunCommand()
	path := writeFile(t, kubeProxyFile(t, "kubeadm-ipvs.conf"))
	if err := cmd.ParseFlags([]string{"--config=" + path, "--hostname-override=worker-1"}); err != nil {
		t.Fatal(err)
	}
	from, err := originOfConfig(cmd)
	if err != nil {
		t.Fatal(err)
	}
	cfg, _, err := from.load()
	if err != nil || cfg.HostnameOverride != "worker-1" || cfg.IPVS.Scheduler != "wrr" || cfg.ClientConnection.Kubeconfig != "/var/lib/kube-proxy/kubeconfig.conf" {
		t.Errorf("%v, %+v", err, cfg)
	}
}
