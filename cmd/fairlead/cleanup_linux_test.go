package main

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/internal/kerneltest"
	"github.com/fairlead-lb/fairlead/masq"
)

// bound makes a device with a VIP as the daemon would, and the memory of it.
func bound(t *testing.T, device string) {
	t.Helper()
	vip := netip.MustParseAddr("10.96.0.10")
	sets, err := masq.Open()
	if err != nil {
		t.Fatal(err)
	}
	kerneltest.CloseAtEnd(t, sets)
	if _, err := sets.EnsureSets(); err != nil {
		t.Fatal(err)
	}
	if errs := sets.Apply([]masq.Op{{Entry: masq.Entry{Set: masq.VIPs, Addr: vip}}}); errs != nil {
		t.Fatal(errs)
	}
	kernel, err := dummyif.Open(device)
	if err != nil {
		t.Fatal(err)
	}
	kerneltest.CloseAtEnd(t, kernel)
	if _, err := kernel.Ensure(); err != nil {
		t.Fatal(err)
	}
	if errs := kernel.Apply([]dummyif.Op{{Verb: dummyif.Bind, Binding: dummyif.Binding{Addr: vip}}}); errs != nil {
		t.Fatal(errs)
	}
}

func cleanupWith(t *testing.T, device string) (out string, err error) {
	t.Helper()
	cfg, _, err := loadConfig("", nil, []string{"FAIRLEAD_DUMMYINTERFACE_NAME=" + device})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	err = cleanup(t.Context(), cfg, 0, &text)
	return text.String(), err
}

func TestCleanupFindsTheDeviceThatFairleadMadeUnderAnotherName(t *testing.T) {
	kerneltest.Need(t)
	bound(t, "another0")
	out, err := cleanupWith(t, "kube-ipvs0")
	if err != nil || !strings.Contains(out, "1 VIPs unbound from another0") {
		t.Errorf("%v, %s", err, out)
	}
	if left := kerneltest.Run(t, "ip", "-o", "link", "show", "type", "dummy"); strings.Contains(left, "another0") || strings.Contains(left, "kube-ipvs0") {
		t.Errorf("left: %s", left)
	}
}

func TestCleanupKeepsItsMemoryWhereTheDeviceIsNotTheConfiguredOne(t *testing.T) {
	kerneltest.Need(t)
	kerneltest.Run(t, "ip", "link", "add", "theirs0", "type", "dummy")
	bound(t, "theirs0") // made by somebody else, and used
	if _, err := cleanupWith(t, "kube-ipvs0"); err == nil || !strings.Contains(err.Error(), "bound to theirs0") || !strings.Contains(err.Error(), "dummyInterface.name") {
		t.Errorf("error %v", err)
	}
	if sets := kerneltest.Run(t, "ipset", "save", "FAIRLEAD-VIP"); !strings.Contains(sets, "10.96.0.10") {
		t.Errorf("the sets are\n%s", sets)
	}
	if out, err := cleanupWith(t, "theirs0"); err != nil {
		t.Errorf("%v, %s", err, out)
	}
	if left := kerneltest.Run(t, "ip", "addr", "show", "dev", "theirs0"); strings.Contains(left, "10.96.0.10") {
		t.Errorf("left: %s", left)
	}
	kerneltest.Run(t, "ip", "link", "del", "theirs0")
	if out, err := cleanupWith(t, "kube-ipvs0"); err != nil {
		t.Errorf("where nothing is: %v, %s", err, out)
	}
}
