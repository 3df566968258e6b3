package dummyif

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var (
	vip4   = netip.MustParseAddr("10.96.0.10")
	vip6   = netip.MustParseAddr("fd00:10:96::a")
	nodeIP = netip.MustParseAddr("10.0.0.1")
)

func all(netip.Addr) bool  { return true }
func none(netip.Addr) bool { return false }

// converge resyncs and writes all that is pending, and fails the test if anything does.
func converge(t testing.TB, d *Device) (drift int) {
	t.Helper()
	drift, err := d.Resync(all)
	if err := errors.Join(err, d.Upsert(all), d.Prune(none, none)); err != nil {
		t.Fatal(err)
	}
	return drift
}

func source4(vip netip.Addr) netip.Addr {
	if vip.Is4() {
		return nodeIP
	}
	return netip.Addr{}
}

func binds(t testing.TB, k Kernel, want string) {
	t.Helper()
	if diff := cmp.Diff(lines(want), lines(Dump(k))); diff != "" {
		t.Errorf("bound (-want +got):\n%s", diff)
	}
}

func TestVIPsAreBoundInTheWayOfTheDevice(t *testing.T) {
	for route, want := range map[bool]string{
		false: "inet 10.96.0.10/32 scope host\ninet6 fd00:10:96::a/128 scope global nodad deprecated",
		true:  "local 10.96.0.10 metric 1024 src 10.0.0.1\nlocal fd00:10:96::a metric 1024",
	} {
		fake := NewFake()
		d := NewDevice(fake, route, source4)
		d.Set(vip4)
		d.Set(vip6)
		converge(t, d)
		binds(t, fake, want)
		if !d.Has(vip4) || !d.Has(vip6) || d.Has(nodeIP) || d.Pending() != 0 {
			t.Errorf("route %v: %d pending", route, d.Pending())
		}
	}
}

func TestMessagesAreCountedOneByOne(t *testing.T) {
	fake := NewFake()
	d := NewDevice(fake, false, nil)
	check := func(what string, want int) {
		t.Helper()
		if fake.Messages != want || d.Messages() != uint64(want) {
			t.Errorf("%s: %d messages, the device says %d, want %d", what, fake.Messages, d.Messages(), want)
		}
	}
	d.Set(vip4)
	d.Set(vip6)
	check("set is memory only", 0)
	converge(t, d)
	check("ensure, read, two binds", 4)
	if err := errors.Join(d.Upsert(all), d.Prune(none, none)); err != nil {
		t.Fatal(err)
	}
	check("nothing to do", 4)
	d.Unset(vip4)
	if err := d.Prune(none, none); err != nil {
		t.Fatal(err)
	}
	check("one unbind", 5)
	if d.Writes() != 3 {
		t.Errorf("%d writes, want 3", d.Writes())
	}
}

func TestARestartWritesNothing(t *testing.T) {
	fake := NewFake()
	for range 2 {
		d := NewDevice(fake, true, source4)
		d.Set(vip4)
		converge(t, d)
	}
	if fake.Writes != 2 { // the device and one bind, both by the first
		t.Errorf("%d writes, want 2", fake.Writes)
	}
}

func TestVIPsWaitUntilReadyAndAreHeldUntilDrained(t *testing.T) {
	fake := NewFake()
	d := NewDevice(fake, false, nil)
	d.Set(vip4)
	d.Set(vip6)
	if _, err := d.Resync(none); err != nil {
		t.Fatal(err)
	}
	is6 := func(a netip.Addr) bool { return a.Is6() }
	if err := d.Upsert(is6); err != nil || d.Pending() != 1 {
		t.Fatalf("%v, %d pending", err, d.Pending())
	}
	binds(t, fake, "inet6 fd00:10:96::a/128 scope global nodad deprecated")
	converge(t, d)
	d.Unset(vip4)
	d.Unset(vip6)
	if err := d.Prune(is6, none); err != nil || d.Pending() != 1 {
		t.Fatalf("%v, %d pending", err, d.Pending())
	}
	binds(t, fake, "inet6 fd00:10:96::a/128 scope global nodad deprecated")
	if err := d.Prune(none, none); err != nil {
		t.Fatal(err)
	}
	binds(t, fake, "")
}

// TestVIPsThatWaitAreNotAskedAbout: there may be very many of them, and each Prune would range over all.
func TestVIPsThatWaitAreNotAskedAbout(t *testing.T) {
	fake := NewFake()
	d := NewDevice(fake, false, nil)
	d.Set(vip4)
	d.Set(vip6)
	converge(t, d)
	d.Unset(vip4)
	d.Unset(vip6)
	asked := 0
	held := func(netip.Addr) bool { asked++; return true }
	for _, want := range []int{2, 0} {
		asked = 0
		if err := d.Prune(held, all); err != nil || asked != want || d.Pending() != 2 {
			t.Errorf("%v, asked about %d VIPs, want %d; %d pending", err, asked, want, d.Pending())
		}
	}
	d.Release(vip4)
	if err := d.Prune(none, none); err != nil || d.Pending() != 1 {
		t.Errorf("%v, %d pending, want 1", err, d.Pending())
	}
	binds(t, fake, "inet6 fd00:10:96::a/128 scope global nodad deprecated")
}

func TestBindingsOfOthersAreInvisible(t *testing.T) {
	fake := NewFake()
	foreign := Binding{Addr: netip.MustParseAddr("192.168.7.1")}
	ensure(t, fake)
	fake.Apply([]Op{{Bind, foreign, netip.Addr{}}, {Bind, Binding{Addr: vip4}, netip.Addr{}}})
	d := NewDevice(fake, false, nil)
	if drift, err := d.Resync(func(a netip.Addr) bool { return a == vip4 }); drift != 0 || err != nil {
		t.Fatalf("drift %d, %v", drift, err)
	}
	if d.Has(foreign.Addr) || !d.Has(vip4) {
		t.Error("owned and foreign are mixed up")
	}
	if err := d.Prune(none, none); err != nil {
		t.Fatal(err)
	}
	binds(t, fake, "inet 192.168.7.1/32 scope host")
}

func TestDriftIsCountedAndRepaired(t *testing.T) {
	for _, c := range []struct {
		name  string
		ops   []Op
		drift int
	}{
		{"none", nil, 0},
		{"a route is gone", []Op{{Unbind, Binding{vip4, ByRoute}, netip.Addr{}}}, 1},
		{"a source was changed", []Op{{Bind, Binding{vip4, ByRoute}, netip.Addr{}}}, 1},
		{"both", []Op{{Unbind, Binding{vip4, ByRoute}, netip.Addr{}}, {Bind, Binding{vip6, ByRoute}, nodeIP}}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			fake := NewFake()
			d := NewDevice(fake, true, source4)
			d.Set(vip4)
			d.Set(vip6)
			converge(t, d)
			fake.Apply(c.ops)
			if drift := converge(t, d); drift != c.drift {
				t.Errorf("drift %d, want %d", drift, c.drift)
			}
			binds(t, fake, "local 10.96.0.10 metric 1024 src 10.0.0.1\nlocal fd00:10:96::a metric 1024")
		})
	}
}

// TestAnAdoptedAddressIsDeprecated: kube-proxy binds IPv6 VIPs so that the kernel takes them as sources.
func TestAnAdoptedAddressIsDeprecated(t *testing.T) {
	fake := NewFake()
	ensure(t, fake)
	orphan := netip.MustParseAddr("fd00:10:96::b")
	fake.Apply([]Op{{Bind, Binding{Addr: vip6}, vip6}, {Bind, Binding{Addr: orphan}, orphan}})
	d := NewDevice(fake, false, nil)
	d.Set(vip6)
	if drift, err := d.Resync(all); drift != 0 || err != nil || d.Pending() != 2 {
		t.Errorf("drift %d, %v, %d pending, want 2", drift, err, d.Pending())
	}
	writes := fake.Writes
	if err := d.Upsert(all); err != nil || fake.Writes != writes+1 {
		t.Errorf("%v, %d writes, want 1", err, fake.Writes-writes)
	}
	binds(t, fake, "inet6 fd00:10:96::a/128 scope global nodad deprecated\ninet6 fd00:10:96::b/128 scope global nodad")
	converge(t, d)
	binds(t, fake, "inet6 fd00:10:96::a/128 scope global nodad deprecated")
}

func TestTheOtherWayOfBindingIsReplacedWithoutAGap(t *testing.T) {
	for _, route := range []bool{false, true} {
		fake := NewFake()
		old := NewDevice(fake, !route, source4)
		old.Set(vip4)
		converge(t, old)
		d := NewDevice(fake, route, source4)
		d.Set(vip4)
		if _, err := d.Resync(all); err != nil {
			t.Fatal(err)
		}
		held := func(netip.Addr) bool { return true } // the Service is desired: its VIP is held
		if err := d.Prune(held, none); err != nil {
			t.Fatal(err)
		}
		if !d.Has(vip4) || Dump(fake) == "" {
			t.Fatal("unbound before it was bound the new way")
		}
		if err := errors.Join(d.Upsert(all), d.Prune(held, none)); err != nil {
			t.Fatal(err)
		}
		binds(t, fake, map[bool]string{false: "inet 10.96.0.10/32 scope host", true: "local 10.96.0.10 metric 1024 src 10.0.0.1"}[route])
	}
}

// TestARouteWithoutAMetricIsReplacedWithoutAGap: an earlier daemon left it. It stays until the other one is there, and goes
// with the Service where nobody wants that any more.
func TestARouteWithoutAMetricIsReplacedWithoutAGap(t *testing.T) {
	orphan := netip.MustParseAddr("10.96.0.11")
	for _, gone := range []bool{false, true} { // what was seen may have been deleted before it is unbound
		fake := NewFake()
		ensure(t, fake)
		fake.Apply([]Op{{Bind, Binding{vip4, ByOldRoute}, nodeIP}, {Bind, Binding{orphan, ByOldRoute}, nodeIP}})
		d := NewDevice(fake, true, source4)
		if _, err := d.Resync(all); err != nil {
			t.Fatal(err)
		}
		d.Set(vip4)
		held := func(vip netip.Addr) bool { return vip == vip4 }
		if err := d.Prune(all, none); err != nil || !d.Has(vip4) || d.Pending() != 3 {
			t.Fatalf("%v, %d pending\n%s", err, d.Pending(), fake.Dump())
		}
		if err := d.Upsert(all); err != nil {
			t.Fatal(err)
		}
		binds(t, fake, "local 10.96.0.10 metric 1024 src 10.0.0.1\nlocal 10.96.0.10 src 10.0.0.1\nlocal 10.96.0.11 src 10.0.0.1")
		if gone {
			fake.Apply([]Op{{Verb: Unbind, Binding: Binding{vip4, ByOldRoute}}})
		}
		if err := d.Prune(held, none); err != nil || d.Pending() != 0 || d.Has(orphan) {
			t.Errorf("%v, %d pending", err, d.Pending())
		}
		binds(t, fake, "local 10.96.0.10 metric 1024 src 10.0.0.1")
		if drift, err := d.Resync(all); drift != 0 || err != nil || d.Pending() != 0 {
			t.Errorf("drift %d, %v, %d pending", drift, err, d.Pending())
		}
	}
}

// TestAHeldVIPBoundBothWaysStaysBound: a daemon that died between the two steps of such a change,
// and a Service that went since, of which connections are draining.
func TestAHeldVIPBoundBothWaysStaysBound(t *testing.T) {
	fake := NewFake()
	ensure(t, fake)
	fake.Apply([]Op{{Bind, Binding{vip4, ByAddress}, netip.Addr{}}, {Bind, Binding{vip4, ByRoute}, nodeIP}})
	d := NewDevice(fake, true, source4)
	if _, err := d.Resync(all); err != nil {
		t.Fatal(err)
	}
	if err := d.Prune(all, none); err != nil {
		t.Fatal(err)
	}
	if !d.Has(vip4) || Dump(fake) == "" {
		t.Error("a held VIP was unbound")
	}
}

func TestAFailureStopsNothingElseAndIsMadeUpFor(t *testing.T) {
	for failing := range 6 {
		fake := NewFake()
		d := NewDevice(fake, false, nil)
		for i := range 3 {
			d.Set(netip.AddrFrom4([4]byte{10, 96, 0, byte(i)}))
		}
		converge(t, d)
		for i := range 3 {
			d.Unset(netip.AddrFrom4([4]byte{10, 96, 0, byte(i)}))
			d.Set(netip.AddrFrom4([4]byte{10, 96, 1, byte(i)}))
		}
		n := 0
		fake.Fail = func(Op) error {
			if n++; n == failing+1 {
				return syscall.ENOMEM
			}
			return nil
		}
		if err := errors.Join(d.Upsert(all), d.Prune(none, none)); !errors.Is(err, syscall.ENOMEM) {
			t.Fatalf("operation %d: %v", failing, err)
		}
		if n != 6 || d.Pending() != 1 {
			t.Errorf("operation %d: %d were tried, %d pending", failing, n, d.Pending())
		}
		fake.Fail = nil
		d.Retry()
		if err := errors.Join(d.Upsert(all), d.Prune(none, none)); err != nil {
			t.Fatal(err)
		}
		binds(t, fake, "inet 10.96.1.0/32 scope host\ninet 10.96.1.1/32 scope host\ninet 10.96.1.2/32 scope host")
	}
}

func TestDisagreementSurfacesOrIsWhatWasWanted(t *testing.T) {
	fake := NewFake()
	d := NewDevice(fake, false, nil)
	d.Set(vip4)
	converge(t, d)
	fake.Apply([]Op{{Unbind, Binding{Addr: vip4}, netip.Addr{}}})
	d.Unset(vip4)
	if err := d.Prune(none, none); err != nil || d.Pending() != 0 {
		t.Errorf("unbinding what is gone: %v", err)
	}
	if err := fake.Remove(); err != nil {
		t.Fatal(err)
	}
	d.Set(vip4)
	if err := d.Upsert(all); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("binding to a device that is gone: %v", err)
	}
	converge(t, d)
	binds(t, fake, "inet 10.96.0.10/32 scope host")
}

func TestTheDeviceConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		fake := NewFake()
		d := NewDevice(fake, rapid.Bool().Draw(t, "route"), source4)
		desired, ever := map[netip.Addr]bool{}, map[netip.Addr]bool{}
		foreign := map[netip.Addr]bool{}
		vip := rapid.Custom(func(t *rapid.T) netip.Addr {
			if last := rapid.IntRange(0, 3).Draw(t, "last"); rapid.Bool().Draw(t, "v6") {
				return netip.MustParseAddr(fmt.Sprintf("fd00::%d", last))
			} else {
				return netip.AddrFrom4([4]byte{10, 96, 0, byte(last)})
			}
		})
		owned := func(a netip.Addr) bool { return ever[a] }
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				a := vip.Draw(t, "vip")
				d.Set(a)
				desired[a], ever[a] = true, true
			},
			"unset": func(t *rapid.T) {
				a := vip.Draw(t, "vip")
				d.Unset(a)
				delete(desired, a)
			},
			"foreign": func(t *rapid.T) {
				a := netip.AddrFrom4([4]byte{192, 168, 0, byte(rapid.IntRange(0, 3).Draw(t, "last"))})
				if fake.Apply([]Op{{Bind, Binding{Addr: a}, netip.Addr{}}}) == nil {
					foreign[a] = true
				}
			},
			"outside": func(t *rapid.T) {
				a := vip.Draw(t, "vip")
				if ever[a] {
					op := Op{rapid.SampledFrom([]Verb{Bind, Unbind}).Draw(t, "verb"), Binding{a, Way(rapid.IntRange(0, int(ways)-1).Draw(t, "way"))}, netip.Addr{}}
					if op.Binding.Way == ByAddress && a.Is6() && rapid.Bool().Draw(t, "preferred") {
						op.Source = a
					}
					fake.Apply([]Op{op})
				}
			},
			"sync": func(t *rapid.T) { _ = errors.Join(d.Upsert(all), d.Prune(none, none)) },
			"resync": func(t *rapid.T) {
				if _, err := d.Resync(owned); err != nil {
					t.Fatal(err)
				}
			},
		})
		if _, err := d.Resync(owned); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(d.Upsert(all), d.Prune(none, none)); err != nil {
			t.Fatal(err)
		}
		want := NewFake()
		_, _ = want.Ensure()
		for a := range desired {
			source := netip.Addr{}
			if d.way == ByRoute {
				source = source4(a)
			}
			want.Apply([]Op{{Bind, Binding{a, d.way}, source}})
		}
		for a := range foreign {
			want.Apply([]Op{{Bind, Binding{Addr: a}, netip.Addr{}}})
		}
		if got := fake.Dump(); got != want.Dump() {
			t.Fatalf("converged to\n%s\nwant\n%s", got, want.Dump())
		}
	})
}

// TestASweepFindsWhatIsBound: it learns what a whole reading would, and reads all at once before it takes for gone what may have
// been left out.
func TestASweepFindsWhatIsBound(t *testing.T) {
	const all = 1000
	vip := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)}) }
	for _, hidden := range []func(Binding) bool{nil, func(b Binding) bool { return b.Addr.As4()[3]%7 == 0 }} {
		fake := NewFake()
		d := NewDevice(fake, true, func(netip.Addr) netip.Addr { return netip.MustParseAddr("192.0.2.1") })
		if _, err := d.Resync(func(netip.Addr) bool { return false }); err != nil {
			t.Fatal(err)
		}
		for i := range all {
			d.Set(vip(i))
		}
		upsert := func() {
			if err := d.Upsert(func(netip.Addr) bool { return true }); err != nil {
				t.Fatal(err)
			}
		}
		upsert()
		lost, foreign, ours := Binding{vip(1), ByRoute}, Binding{vip(all), ByAddress}, Binding{vip(all + 1), ByAddress}
		fake.Apply([]Op{{Verb: Unbind, Binding: lost}, {Verb: Bind, Binding: foreign}, {Verb: Bind, Binding: ours}})
		fake.Hidden = hidden
		if err := d.BeginSweep(func(addr netip.Addr) bool { return addr == ours.Addr }); err != nil {
			t.Fatal(err)
		}
		drift, pages := 0, 0
		for more := true; more; pages++ {
			var n int
			var err error
			if n, more, err = d.NextPage(); err != nil {
				t.Fatal(err)
			}
			drift += n
			if pages == 0 {
				d.Set(vip(all + 2))
				upsert()
			}
		}
		if drift != 1 || pages < all/256 {
			t.Errorf("drift %d in %d pages", drift, pages)
		}
		believed := maps.Collect(d.bindings.AllActual())
		there, _ := fake.Bindings()
		delete(there, foreign)
		if !maps.Equal(believed, there) {
			t.Errorf("%d are believed to be bound, %d are", len(believed), len(there))
		}
	}
}
