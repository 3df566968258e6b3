package dummyif

import (
	"errors"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
)

const name = "kube-ipvs0"

func openKernel(t testing.TB) subject {
	t.Helper()
	kerneltest.Need(t)
	kerneltest.Run(t, "ip", "addr", "add", "10.0.0.2/32", "dev", kerneltest.Routed)
	k, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	kerneltest.CloseAtEnd(t, k)
	return subject{k, func(addr netip.Addr) bool { return isLocal(t, addr) }}
}

// isLocal asks the routing table whether packets to the address end here.
func isLocal(t testing.TB, addr netip.Addr) bool {
	t.Helper()
	return strings.HasPrefix(kerneltest.Run(t, "ip", "route", "get", addr.String()), "local ")
}

func TestAnAddressIsWhatTheOperatorKnows(t *testing.T) {
	k := openKernel(t)
	ensure(t, k)
	runScript(t, k, `addr replace inet 10.96.0.10/32 scope host
		addr replace inet6 fd00:10:96::a/128 scope global nodad deprecated`,
		`inet 10.96.0.10/32 scope host
		inet6 fd00:10:96::a/128 scope global nodad deprecated`)
	want := `inet 10.96.0.10/32 scope host kube-ipvs0\ valid_lft forever preferred_lft forever
		inet6 fd00:10:96::a/128 scope global nodad deprecated \ valid_lft forever preferred_lft 0sec`
	if diff := cmp.Diff(lines(want), addrs(t)); diff != "" {
		t.Errorf("ip -o addr (-want +got):\n%s", diff)
	}
	if link := kerneltest.Run(t, "ip", "-d", "link", "show", name); !strings.Contains(link, "alias fairlead") ||
		!strings.Contains(link, "addrgenmode none") || !strings.Contains(link, ",UP,") {
		t.Errorf("device: %s", link)
	}
}

// addrs is what `ip -o addr` says about the device, behind its name and in single spaces.
func addrs(t testing.TB) []string {
	t.Helper()
	all := lines(kerneltest.Run(t, "ip", "-o", "addr", "show", "dev", name))
	for i, line := range all {
		_, rest, _ := strings.Cut(line, name)
		all[i] = strings.Join(strings.Fields(rest), " ")
	}
	return all
}

func TestARouteIsWhatTheOperatorKnows(t *testing.T) {
	k := openKernel(t)
	ensure(t, k)
	runScript(t, k, `route replace local 10.96.0.10 metric 1024 src 10.0.0.1
		route replace local 10.96.0.11 metric 1024
		route replace local fd00:10:96::a metric 1024 src fd00::1`,
		`local 10.96.0.10 metric 1024 src 10.0.0.1
		local 10.96.0.11 metric 1024
		local fd00:10:96::a metric 1024 src fd00::1`)
	want := `local 10.96.0.10 dev kube-ipvs0 scope host src 10.0.0.1 metric 1024
		local 10.96.0.11 dev kube-ipvs0 scope host metric 1024
		local fd00:10:96::a dev kube-ipvs0 src fd00::1 metric 1024 pref medium`
	routes := kerneltest.Run(t, "ip", "route", "show", "table", "local", "proto", "70") +
		kerneltest.Run(t, "ip", "-6", "route", "show", "table", "local", "proto", "70")
	if diff := cmp.Diff(lines(want), lines(routes)); diff != "" {
		t.Errorf("ip route (-want +got):\n%s", diff)
	}
	for vip, source := range map[string]string{"10.96.0.10": "src 10.0.0.1", "fd00:10:96::a": "src fd00::1"} {
		if out := kerneltest.Run(t, "ip", "route", "get", vip); !strings.Contains(out, source) {
			t.Errorf("the node reaches %s from elsewhere: %s", vip, out)
		}
	}
}

// TestASourceThatTheNodeDoesNotHaveIsNamed: the kernel only says "invalid argument".
func TestASourceThatTheNodeDoesNotHaveIsNamed(t *testing.T) {
	k := openKernel(t)
	ensure(t, k)
	for _, binding := range [][2]string{{"10.96.0.10", "192.0.2.77"}, {"fd00:10:96::a", "fd00:77::77"}} {
		vip, source := netip.MustParseAddr(binding[0]), netip.MustParseAddr(binding[1])
		errs := k.Apply([]Op{{Verb: Bind, Binding: Binding{vip, ByRoute}, Source: source}})
		if len(errs) != 1 || !errors.Is(errs[0], syscall.EINVAL) || !strings.Contains(errs[0].Error(), binding[1]) {
			t.Errorf("%s from %s: %v", vip, source, errs)
		}
	}
}

// TestAnAddressThatKubeProxyBoundIsDeprecatedInPlace: it is never gone.
func TestAnAddressThatKubeProxyBoundIsDeprecatedInPlace(t *testing.T) {
	k := openKernel(t)
	ensure(t, k)
	vip := netip.MustParseAddr("fd00:10:96::a")
	kerneltest.Run(t, "ip", "-6", "addr", "add", vip.String()+"/128", "dev", name, "nodad")
	kerneltest.Run(t, "ip", "link", "add", "pod0", "type", "dummy") // without an address of its own, as a pod's end of a veth
	kerneltest.Run(t, "ip", "link", "set", "pod0", "up")
	kerneltest.Run(t, "ip", "-6", "route", "add", "fd00:10:97::1/128", "dev", "pod0")
	source := func() string { return kerneltest.Run(t, "ip", "route", "get", "fd00:10:97::1") }
	if out := source(); !strings.Contains(out, "src "+vip.String()) {
		t.Fatalf("it is no source as it is: %s", out)
	}
	d := NewDevice(k, false, nil)
	d.Set(vip)
	converge(t, d)
	if drift := converge(t, d); drift != 0 || d.Pending() != 0 || !isLocal(t, vip) {
		t.Errorf("drift %d, %d pending, local: %v", drift, d.Pending(), isLocal(t, vip))
	}
	if got := addrs(t); len(got) != 1 || !strings.Contains(got[0], "deprecated") || !strings.Contains(got[0], "preferred_lft 0sec") {
		t.Errorf("ip -o addr: %s", got)
	}
	if out := source(); strings.Contains(out, "src "+vip.String()) {
		t.Errorf("it is a source still: %s", out)
	}
}

// TestAVIPIsNoSourceAddress: masquerading must not choose it, for any destination.
func TestAVIPIsNoSourceAddress(t *testing.T) {
	k := openKernel(t)
	ensure(t, k)
	runScript(t, k, `addr replace inet 10.96.0.10/32 scope host
		addr replace inet6 fd00:10:96::a/128 scope global nodad deprecated`,
		`inet 10.96.0.10/32 scope host
		inet6 fd00:10:96::a/128 scope global nodad deprecated`)
	for near, vip := range map[string]string{"10.96.0.11": "10.96.0.10", "fd00:10:96::b": "fd00:10:96::a"} {
		if out := kerneltest.Run(t, "ip", "route", "get", near); strings.Contains(out, "src "+vip) {
			t.Errorf("route to %s: %s", near, out)
		}
	}
}

func TestTheVIPIsLocalAfterEverySendBetweenAddressAndRoute(t *testing.T) {
	k := openKernel(t)
	ensure(t, k)
	sends := strings.Split(`addr replace inet 10.96.0.10/32 scope host
		addr replace inet6 fd00:10:96::a/128 scope global nodad deprecated

		route replace local 10.96.0.10 metric 1024 src 10.0.0.1
		route replace local fd00:10:96::a metric 1024 src fd00::1

		addr del inet 10.96.0.10/32 scope host
		route replace local 10.96.0.10 metric 1024 src 10.0.0.1
		addr del inet6 fd00:10:96::a/128 scope global nodad deprecated

		addr replace inet 10.96.0.10/32 scope host
		addr replace inet6 fd00:10:96::a/128 scope global nodad deprecated

		route del local 10.96.0.10 metric 1024
		route del local fd00:10:96::a metric 1024`, "\n\n")
	for _, send := range sends {
		var ops []Op
		for _, line := range lines(send) {
			ops = append(ops, parse(t, line))
		}
		if errs := k.Apply(ops); errs != nil {
			t.Fatalf("%s: %v", send, errs)
		}
		for _, vip := range []string{"10.96.0.10", "fd00:10:96::a"} {
			if !isLocal(t, netip.MustParseAddr(vip)) {
				t.Errorf("%s is not local after\n%s", vip, send)
			}
		}
	}
	if got, want := strings.Count(Dump(k), "\n"), 2; got != want {
		t.Errorf("%d bound, want %d:\n%s", got, want, Dump(k))
	}
}

// TestChangingTheWayOfBindingKeepsEveryVIP: many VIPs, from one Device to the next and back.
func TestChangingTheWayOfBindingKeepsEveryVIP(t *testing.T) {
	k := openKernel(t)
	for _, route := range []bool{false, true, false} {
		d := NewDevice(k, route, func(vip netip.Addr) netip.Addr {
			return map[bool]netip.Addr{true: netip.MustParseAddr("10.0.0.1"), false: netip.MustParseAddr("fd00::1")}[vip.Is4()]
		})
		for i := range 50 {
			d.Set(netip.AddrFrom4([4]byte{10, 96, 0, byte(i)}))
			d.Set(netip.MustParseAddr("fd00:10:96::").Next())
		}
		converge(t, d)
		if drift := converge(t, d); drift != 0 || d.Pending() != 0 {
			t.Errorf("route %v: drift %d, %d pending", route, drift, d.Pending())
		}
		if got := strings.Count(Dump(k), "\n"); got != 51 {
			t.Errorf("route %v: %d bound, want 51", route, got)
		}
	}
}

func TestOnlyADummyIsUsed(t *testing.T) {
	k := openKernel(t)
	kerneltest.Run(t, "ip", "link", "add", name, "type", "bridge")
	changed, err := k.Ensure()
	if changed || err == nil || !strings.Contains(err.Error(), "type bridge") || !strings.Contains(err.Error(), name) {
		t.Errorf("changed %v, %v", changed, err)
	}
	if err := k.Remove(); err != nil {
		t.Error(err)
	}
	kerneltest.Run(t, "ip", "link", "show", name)
}

// TestADeviceThatOthersUseIsNotRemoved: what they have there would go with it.
func TestADeviceThatOthersUseIsNotRemoved(t *testing.T) {
	k := openKernel(t)
	for _, used := range []struct{ use, leave []string }{
		{[]string{"addr", "add", "192.0.2.1/24"}, []string{"addr", "del", "192.0.2.1/24"}},
		{[]string{"addr", "add", "2001:db8::1/64", "nodad"}, []string{"addr", "del", "2001:db8::1/64"}},
		{[]string{"route", "add", "198.51.100.0/24"}, []string{"route", "del", "198.51.100.0/24"}},
	} {
		if _, err := k.Ensure(); err != nil {
			t.Fatal(err)
		}
		ip := func(args []string) { kerneltest.Run(t, "ip", append(args, "dev", name)...) }
		ip(used.use)
		if err := k.Remove(); err != nil {
			t.Error(err)
		}
		ip(used.leave) // fails where the device is gone
		if err := k.Remove(); err != nil {
			t.Error(err)
		}
		if left := kerneltest.Run(t, "ip", "-o", "link", "show", "type", "dummy"); strings.Contains(left, name) {
			t.Errorf("%v: it stayed, though nothing was left there", used.use)
		}
	}
}

// TestTheCommandsDoWhatTheKernelDoes runs those that a plan shows of each operation and of each state of the device.
func TestTheCommandsDoWhatTheKernelDoes(t *testing.T) {
	k := openKernel(t).Kernel.(*Linux)
	run := func(line string) {
		t.Helper()
		words := strings.Fields(line)
		kerneltest.Run(t, words[0], words[1:]...)
	}
	for _, want := range []State{Missing, Down} {
		state, err := k.State()
		if state != want || err != nil {
			t.Fatalf("state %d, want %d; %v", state, want, err)
		}
		for _, line := range state.Commands(name) {
			run(line)
		}
		if changed, err := k.Ensure(); changed || err != nil {
			t.Errorf("after the commands for state %d something was missing; %v", state, err)
		}
		if want == Missing {
			run("ip link set dev " + name + " down")
		}
	}
	for _, op := range []Op{
		{Verb: Bind, Binding: Binding{netip.MustParseAddr("10.96.0.10"), ByAddress}},
		{Verb: Bind, Binding: Binding{netip.MustParseAddr("fd00:10:96::a"), ByAddress}},
		{Verb: Bind, Binding: Binding{netip.MustParseAddr("10.96.0.11"), ByRoute}, Source: netip.MustParseAddr("10.0.0.2")},
		{Verb: Bind, Binding: Binding{netip.MustParseAddr("fd00:10:96::b"), ByRoute}, Source: netip.MustParseAddr("fd00::1")},
		{Verb: Bind, Binding: Binding{netip.MustParseAddr("10.96.0.12"), ByRoute}},
		{Verb: Bind, Binding: Binding{netip.MustParseAddr("10.96.0.13"), ByOldRoute}},
		{Verb: Bind, Binding: Binding{netip.MustParseAddr("fd00:10:96::e"), ByAddress}, Source: netip.MustParseAddr("fd00:10:96::e")},
	} {
		shown := func() string {
			return strings.Join(addrs(t), "\n") + kerneltest.Run(t, "ip", "route", "show", "table", "local", "dev", name) +
				kerneltest.Run(t, "ip", "-6", "route", "show", "table", "local", "dev", name)
		}
		nothing := shown()
		run(op.Command(name))
		byCommand := shown()
		undo := Op{Verb: Unbind, Binding: op.Binding}
		run(undo.Command(name))
		if now := shown(); now != nothing {
			t.Errorf("%s left (-before +after):\n%s", undo.Command(name), cmp.Diff(nothing, now))
		}
		if errs := k.Apply([]Op{op}); errs != nil {
			t.Fatal(errs)
		}
		if byKernel := shown(); byKernel != byCommand || byKernel == nothing {
			t.Errorf("%s (-command +kernel):\n%s", op.Command(name), cmp.Diff(byCommand, byKernel))
		}
		if errs := k.Apply([]Op{undo}); errs != nil {
			t.Fatal(errs)
		}
	}
}

func TestADeviceOfSomebodyElseIsUsedAndStays(t *testing.T) {
	k := openKernel(t)
	kerneltest.Run(t, "ip", "link", "add", name, "type", "dummy")
	if changed, err := k.Ensure(); !changed || err != nil { // it was down
		t.Errorf("changed %v, %v", changed, err)
	}
	runScript(t, k, "addr replace inet 10.96.0.10/32 scope host", "inet 10.96.0.10/32 scope host")
	runScript(t, k, "addr del inet 10.96.0.10/32 scope host", "")
	if err := k.Remove(); err != nil {
		t.Error(err)
	}
	kerneltest.Run(t, "ip", "link", "show", name)
}

func TestAddressesAndRoutesOfOthersSurvive(t *testing.T) {
	k := openKernel(t)
	ensure(t, k)
	for _, args := range []string{
		"addr add 192.168.7.1/24 dev kube-ipvs0",
		"-6 addr add fe80::7/64 dev kube-ipvs0 nodad",
		"route add local 192.168.8.1/32 dev kube-ipvs0 table local",
		"route add local 192.168.8.2/32 dev lo table local proto 70",
	} {
		kerneltest.Run(t, "ip", strings.Fields(args)...)
	}
	before := kerneltest.Run(t, "ip", "-o", "addr") + kerneltest.Run(t, "ip", "route", "show", "table", "local")
	d := NewDevice(k, false, nil)
	for _, vip := range []string{"10.96.0.10", "fd00:10:96::a"} {
		d.Set(netip.MustParseAddr(vip))
	}
	converge(t, d)
	for _, vip := range []string{"10.96.0.10", "fd00:10:96::a"} {
		d.Unset(netip.MustParseAddr(vip))
	}
	converge(t, d)
	after := kerneltest.Run(t, "ip", "-o", "addr") + kerneltest.Run(t, "ip", "route", "show", "table", "local")
	if diff := cmp.Diff(lines(before), lines(after)); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

// TestTheRouteOfAnAddressOnAnotherDeviceSurvives: a load balancer's IP that kube-vip puts on eth0, say.
func TestTheRouteOfAnAddressOnAnotherDeviceSurvives(t *testing.T) {
	k := openKernel(t)
	ensure(t, k)
	vips := []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00:10:96::a")}
	kerneltest.Run(t, "ip", "addr", "add", vips[1].String()+"/128", "dev", kerneltest.Routed, "nodad")
	local := func() string {
		return kerneltest.Run(t, "ip", "route", "show", "table", "local", "proto", "kernel") +
			kerneltest.Run(t, "ip", "-6", "route", "show", "table", "local", "proto", "kernel")
	}
	before := local()
	d := NewDevice(k, true, func(netip.Addr) netip.Addr { return netip.Addr{} })
	for _, vip := range vips {
		d.Set(vip)
	}
	converge(t, d)
	if diff := cmp.Diff(lines(before), lines(local())); diff != "" || strings.Count(Dump(k), "\n") != 2 {
		t.Errorf("bound:\n%s(-before +after):\n%s", Dump(k), diff)
	}
	for _, vip := range vips {
		d.Unset(vip)
	}
	converge(t, d)
	if diff := cmp.Diff(lines(before), lines(local())); diff != "" || Dump(k) != "" {
		t.Errorf("unbound, but for\n%s(-before +after):\n%s", Dump(k), diff)
	}
}

// TestTheVIPIsLocalAfterEverySendThatReplacesAnOldRoute: from a daemon that wrote routes without a metric to this one.
func TestTheVIPIsLocalAfterEverySendThatReplacesAnOldRoute(t *testing.T) {
	k := openKernel(t)
	ensure(t, k)
	vip, source := netip.MustParseAddr("10.96.0.10"), netip.MustParseAddr("10.0.0.1")
	if errs := k.Apply([]Op{{Bind, Binding{vip, ByOldRoute}, source}}); errs != nil {
		t.Fatal(errs)
	}
	d := NewDevice(k, true, func(netip.Addr) netip.Addr { return source })
	d.Set(vip)
	held := func(netip.Addr) bool { return true }
	for i, step := range []func() error{
		func() error { _, err := d.Resync(held); return err },
		func() error { return d.Upsert(held) },
		func() error { return d.Prune(held, none) },
	} {
		if err := step(); err != nil || !isLocal(t, vip) {
			t.Errorf("step %d: %v, local: %v", i, err, isLocal(t, vip))
		}
	}
	if got := Dump(k); got != "local 10.96.0.10 metric 1024 src 10.0.0.1\n" {
		t.Errorf("bound:\n%s", got)
	}
}

func TestExistsLooksAndMakesNothing(t *testing.T) {
	k := openKernel(t)
	exists := k.Kernel.(*Linux).Exists
	if there, err := exists(); there || err != nil {
		t.Errorf("%v, %v", there, err)
	}
	ensure(t, k)
	if there, err := exists(); !there || err != nil {
		t.Errorf("%v, %v", there, err)
	}
}
