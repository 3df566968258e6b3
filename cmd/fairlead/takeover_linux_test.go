package main

import (
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
	"github.com/fairlead-lb/fairlead/takeover"
)

// TestWhatKubeProxyBoundIsUnboundWhereTheDeviceIsAnotherOne, but not what its sets do not name.
func TestWhatKubeProxyBoundIsUnboundWhereTheDeviceIsAnotherOne(t *testing.T) {
	kerneltest.Need(t)
	for _, args := range [][]string{
		{"ip", "link", "add", kubeProxyDevice, "type", "dummy"},
		{"ip", "addr", "add", "10.96.0.1/32", "dev", kubeProxyDevice},
		{"ip", "addr", "add", "192.0.2.7/32", "dev", kubeProxyDevice},
		{"ip", "addr", "add", "fd00:96::1/128", "dev", kubeProxyDevice, "nodad"},
		{"ipset", "create", "KUBE-IPVS-IPS", "hash:ip"},
		{"ipset", "add", "KUBE-IPVS-IPS", "10.96.0.1"},
		{"ipset", "create", "KUBE-6-IPVS-IPS", "hash:ip", "family", "inet6"},
		{"ipset", "add", "KUBE-6-IPVS-IPS", "fd00:96::1"},
	} {
		kerneltest.Run(t, args[0], args[1:]...)
	}
	defer kerneltest.Run(t, "ip", "link", "del", kubeProxyDevice)
	kernel, err := takeover.Open()
	if err != nil {
		t.Fatal(err)
	}
	kerneltest.CloseAtEnd(t, kernel)
	for _, step := range []struct{ device, want string }{
		{kubeProxyDevice, "10.96.0.1/32 192.0.2.7/32 fd00:96::1/128"},
		{"another0", "192.0.2.7/32"},
	} {
		var cfg Config
		cfg.DummyInterface.Name = step.device
		if err := unbindLeft(cfg, takeover.New(kernel)); err != nil {
			t.Errorf("with %s: %v", step.device, err)
		}
		var bound []string
		for line := range strings.Lines(kerneltest.Run(t, "ip", "-o", "addr", "show", "dev", kubeProxyDevice, "scope", "global")) {
			bound = append(bound, strings.Fields(line)[3])
		}
		if got := strings.Join(bound, " "); got != step.want {
			t.Errorf("with %s %s is bound, want %s", step.device, got, step.want)
		}
	}
}
