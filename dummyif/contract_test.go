package dummyif

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

// contract is what every Kernel does, in the words of ip(8). Each script is one batch on a fresh
// device; "# missing" is behind the lines that must fail with fs.ErrNotExist.
var contract = []struct{ name, script, dump string }{
	{
		"addresses of both families are bound and unbound",
		`addr replace inet 10.96.0.10/32 scope host
		 addr replace inet 10.96.0.11/32 scope host
		 addr replace inet6 fd00:10:96::a/128 scope global nodad deprecated
		 addr replace inet6 fd00:10:96::b/128 scope global nodad deprecated
		 addr del inet 10.96.0.10/32 scope host
		 addr del inet6 fd00:10:96::a/128 scope global nodad deprecated`,
		`inet 10.96.0.11/32 scope host
		 inet6 fd00:10:96::b/128 scope global nodad deprecated`,
	},
	{
		"routes of both families are bound and unbound",
		`route replace local 10.96.0.10 metric 1024
		 route replace local 10.96.0.11 metric 1024 src 10.0.0.1
		 route replace local 10.96.0.12 metric 1024 src 10.0.0.1
		 route replace local fd00:10:96::a metric 1024
		 route replace local fd00:10:96::b metric 1024 src fd00::1
		 route replace local fd00:10:96::c metric 1024 src fd00::1
		 route del local 10.96.0.12 metric 1024
		 route del local fd00:10:96::c metric 1024`,
		`local 10.96.0.10 metric 1024
		 local 10.96.0.11 metric 1024 src 10.0.0.1
		 local fd00:10:96::a metric 1024
		 local fd00:10:96::b metric 1024 src fd00::1`,
	},
	{
		"binding twice is binding once",
		`addr replace inet 10.96.0.10/32 scope host
		 addr replace inet 10.96.0.10/32 scope host
		 addr replace inet6 fd00:10:96::a/128 scope global nodad deprecated
		 addr replace inet6 fd00:10:96::a/128 scope global nodad deprecated
		 route replace local 10.96.0.11 metric 1024
		 route replace local 10.96.0.11 metric 1024
		 route replace local fd00:10:96::b metric 1024
		 route replace local fd00:10:96::b metric 1024
		 route del local 10.96.0.11 metric 1024
		 route del local fd00:10:96::b metric 1024
		 addr del inet 10.96.0.10/32 scope host
		 addr del inet6 fd00:10:96::a/128 scope global nodad deprecated`,
		``,
	},
	{
		"unbinding what is not bound, or not in this way, is refused",
		`addr del inet 10.96.0.10/32 scope host # missing
		 addr del inet6 fd00:10:96::a/128 scope global nodad deprecated # missing
		 route del local 10.96.0.10 metric 1024 # missing
		 route del local fd00:10:96::a metric 1024 # missing
		 addr replace inet 10.96.0.10/32 scope host
		 route replace local fd00:10:96::a metric 1024
		 route del local 10.96.0.10 metric 1024 # missing
		 addr del inet6 fd00:10:96::a/128 scope global nodad deprecated # missing`,
		`inet 10.96.0.10/32 scope host
		 local fd00:10:96::a metric 1024`,
	},
	{
		"the source of a route is changed in place",
		`route replace local 10.96.0.10 metric 1024
		 route replace local 10.96.0.10 metric 1024 src 10.0.0.1
		 route replace local 10.96.0.11 metric 1024 src 10.0.0.1
		 route replace local 10.96.0.11 metric 1024 src 10.0.0.2
		 route replace local fd00:10:96::a metric 1024
		 route replace local fd00:10:96::a metric 1024 src fd00::1`,
		`local 10.96.0.10 metric 1024 src 10.0.0.1
		 local 10.96.0.11 metric 1024 src 10.0.0.2
		 local fd00:10:96::a metric 1024 src fd00::1`,
	},
	{
		"an IPv6 address is deprecated in place, and the other way round",
		`addr replace inet6 fd00:10:96::a/128 scope global nodad
		 addr replace inet6 fd00:10:96::b/128 scope global nodad
		 addr replace inet6 fd00:10:96::b/128 scope global nodad deprecated
		 addr replace inet6 fd00:10:96::c/128 scope global nodad deprecated
		 addr replace inet6 fd00:10:96::c/128 scope global nodad
		 addr replace inet6 fd00:10:96::d/128 scope global nodad
		 addr del inet6 fd00:10:96::d/128 scope global nodad deprecated`,
		`inet6 fd00:10:96::a/128 scope global nodad
		 inet6 fd00:10:96::b/128 scope global nodad deprecated
		 inet6 fd00:10:96::c/128 scope global nodad`,
	},
	{
		"an address becomes a route",
		`addr replace inet 10.96.0.10/32 scope host
		 addr replace inet6 fd00:10:96::a/128 scope global nodad deprecated
		 route replace local 10.96.0.10 metric 1024 src 10.0.0.1
		 route replace local fd00:10:96::a metric 1024 src fd00::1
		 addr del inet 10.96.0.10/32 scope host
		 route replace local 10.96.0.10 metric 1024 src 10.0.0.1
		 addr del inet6 fd00:10:96::a/128 scope global nodad deprecated`,
		`local 10.96.0.10 metric 1024 src 10.0.0.1
		 local fd00:10:96::a metric 1024 src fd00::1`,
	},
	{
		"the last IPv4 address takes the IPv4 routes along, and only those",
		`addr replace inet 10.96.0.10/32 scope host
		 addr replace inet 10.96.0.11/32 scope host
		 addr replace inet6 fd00:10:96::a/128 scope global nodad deprecated
		 route replace local 10.96.0.12 metric 1024
		 route replace local fd00:10:96::b metric 1024
		 addr del inet6 fd00:10:96::a/128 scope global nodad deprecated
		 addr del inet 10.96.0.10/32 scope host
		 route replace local 10.96.0.13 metric 1024 src 10.0.0.1
		 addr del inet 10.96.0.11/32 scope host
		 route del local 10.96.0.12 metric 1024 # missing`,
		`local fd00:10:96::b metric 1024`,
	},
	{
		"a route becomes an address",
		`route replace local 10.96.0.10 metric 1024 src 10.0.0.1
		 route replace local fd00:10:96::a metric 1024 src fd00::1
		 addr replace inet 10.96.0.10/32 scope host
		 addr replace inet6 fd00:10:96::a/128 scope global nodad deprecated
		 route del local 10.96.0.10 metric 1024
		 route del local fd00:10:96::a metric 1024`,
		`inet 10.96.0.10/32 scope host
		 inet6 fd00:10:96::a/128 scope global nodad deprecated`,
	},
	{
		"a route without a metric is another one, and unbinding it is unbinding any",
		`route replace local 10.96.0.10 src 10.0.0.1
		 route replace local 10.96.0.10 metric 1024 src 10.0.0.1
		 route replace local 10.96.0.11
		 route replace local 10.96.0.11 metric 1024
		 route del local 10.96.0.11 metric 1024
		 route del local 10.96.0.11 metric 1024 # missing
		 route replace local 10.96.0.12 metric 1024
		 route replace local 10.96.0.12
		 route del local 10.96.0.12
		 route replace local 10.96.0.13 metric 1024
		 route del local 10.96.0.13
		 route del local 10.96.0.13 # missing`,
		`local 10.96.0.10 metric 1024 src 10.0.0.1
		 local 10.96.0.10 src 10.0.0.1
		 local 10.96.0.11
		 local 10.96.0.12 metric 1024`,
	},
	{"an empty batch is nothing", ``, ``},
}

// subject is a Kernel under contract, with its device.
type subject struct {
	Kernel
	local func(netip.Addr) bool // whether the kernel takes packets for the address, or nil
}

func openFake(testing.TB) subject { return subject{Kernel: NewFake()} }

func TestContractOfTheFake(t *testing.T) { testContract(t, openFake) }

func TestContractOfTheKernel(t *testing.T) {
	kerneltest.Want(t)
	testContract(t, openKernel)
}

func testContract(t *testing.T, open func(testing.TB) subject) {
	for _, c := range contract {
		t.Run("pages tell all that is bound", func(t *testing.T) { pagesTellAll(t, open(t)) })
		t.Run(c.name, func(t *testing.T) {
			k := open(t)
			ensure(t, k)
			runScript(t, k, c.script, c.dump)
		})
	}
	t.Run("of many operations exactly the wrong ones fail", func(t *testing.T) {
		k := open(t)
		ensure(t, k)
		everySeventhFails(t, k)
	})
	t.Run("the device is made once", func(t *testing.T) {
		k := open(t)
		for i, want := range []bool{true, false, false} {
			if changed, err := k.Ensure(); changed != want || err != nil {
				t.Errorf("time %d: changed %v, %v", i, changed, err)
			}
		}
	})
	t.Run("without the device nothing is bound", func(t *testing.T) {
		k := open(t)
		runScript(t, k, `
			addr replace inet 10.96.0.10/32 scope host # missing
			addr replace inet6 fd00:10:96::a/128 scope global nodad deprecated # missing
			route replace local 10.96.0.10 metric 1024 # missing
			route replace local fd00:10:96::a metric 1024 # missing
			addr del inet 10.96.0.10/32 scope host # missing
			route del local 10.96.0.10 metric 1024 # missing`, ``)
	})
	t.Run("the device is removed when it is empty", func(t *testing.T) {
		k := open(t)
		if err := k.Remove(); err != nil {
			t.Errorf("without a device: %v", err)
		}
		ensure(t, k)
		runScript(t, k, `addr replace inet 10.96.0.10/32 scope host
			route replace local fd00:10:96::a metric 1024`, `inet 10.96.0.10/32 scope host
			local fd00:10:96::a metric 1024`)
		for _, line := range []string{"addr del inet 10.96.0.10/32 scope host", "route del local fd00:10:96::a metric 1024"} {
			if err := k.Remove(); err != nil {
				t.Error(err)
			}
			if changed, err := k.Ensure(); changed || err != nil {
				t.Fatalf("it was removed with a VIP on it; %v", err)
			}
			if errs := k.Apply([]Op{parse(t, line)}); errs != nil {
				t.Fatal(errs)
			}
		}
		if err := k.Remove(); err != nil {
			t.Error(err)
		}
		if changed, err := k.Ensure(); !changed || err != nil {
			t.Errorf("it was not removed; %v", err)
		}
	})
}

func ensure(t testing.TB, k Kernel) {
	t.Helper()
	if _, err := k.Ensure(); err != nil {
		t.Fatal(err)
	}
}

func runScript(t *testing.T, k subject, text, dump string) {
	t.Helper()
	var ops []Op
	var wants []error
	for _, line := range lines(text) {
		command, want, _ := strings.Cut(line, " # ")
		ops, wants = append(ops, parse(t, command)), append(wants, map[string]error{"missing": fs.ErrNotExist}[want])
	}
	errs := k.Apply(ops)
	if errs == nil {
		errs = make([]error, len(ops))
	}
	for i, op := range ops {
		if !errors.Is(errs[i], wants[i]) {
			t.Errorf("line %d, %s: got %v, want %v", i, op, errs[i], wants[i])
		}
	}
	if diff := cmp.Diff(lines(dump), lines(Dump(k))); diff != "" {
		t.Errorf("bound (-want +got):\n%s", diff)
	}
	wantCopy(t, k.Kernel.(Reader))
	if k.local == nil {
		return
	}
	bound, err := k.Bindings()
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range ops {
		there := false
		for way := range ways {
			_, so := bound[Binding{op.Binding.Addr, way}]
			there = there || so
		}
		if got := k.local(op.Binding.Addr); got != there {
			t.Errorf("%s: the kernel takes its packets: %v", op.Binding.Addr, got)
		}
	}
}

// pagesTellAll reads addresses and routes of both families in pages, which a whole reading and a beginning anew do not disturb. What
// is written meanwhile may interrupt the reading, and that is told.
func pagesTellAll(t *testing.T, k Kernel) {
	ensure(t, k)
	var ops []Op
	for i := range 800 {
		v4, v6 := netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)}), netip.AddrFrom16([16]byte{0xfd, 14: byte(i >> 8), 15: byte(i)})
		ops = append(ops, Op{Verb: Bind, Binding: Binding{v4, Way(i % 2)}}, Op{Verb: Bind, Binding: Binding{v6, ByRoute}})
	}
	if errs := k.Apply(ops); errs != nil {
		t.Fatal(errors.Join(errs...))
	}
	if _, more, err := k.MoreBindings(true); !more || err != nil {
		t.Fatalf("all in one page, or %v", err)
	}
	for _, write := range []bool{false, true} {
		got := make(map[Binding]netip.Addr)
		var interrupted error
		for first, more := true, true; more; first = false {
			var page map[Binding]netip.Addr
			page, more, interrupted = k.MoreBindings(first)
			if interrupted != nil && !errors.Is(interrupted, nlbatch.ErrInterrupted) {
				t.Fatal(interrupted)
			}
			maps.Copy(got, page)
			if all, err := k.Bindings(); len(all) < len(ops) || err != nil {
				t.Fatalf("meanwhile %d, %v", len(all), err)
			}
			if write {
				k.Apply([]Op{{Verb: Bind, Binding: Binding{netip.AddrFrom4([4]byte{10, 97, 0, byte(len(got))}), ByAddress}}})
			}
		}
		if interrupted != nil && !write {
			t.Error(interrupted)
		}
		for _, op := range ops {
			if _, told := got[op.Binding]; !told && interrupted == nil {
				t.Fatalf("%s is in no page", op)
			}
		}
	}
}

func everySeventhFails(t *testing.T, k Kernel) {
	var ops []Op
	for i := range 700 {
		op := Op{Verb: Bind, Binding: Binding{netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)}), Way(i % 2)}}
		if i%7 == 6 {
			op.Verb, op.Binding.Addr = Unbind, netip.MustParseAddr("10.97.0.1")
		}
		ops = append(ops, op)
	}
	errs := k.Apply(ops)
	if len(errs) != len(ops) {
		t.Fatalf("%d results for %d operations", len(errs), len(ops))
	}
	for i, err := range errs {
		if want := i%7 == 6; (err != nil) != want || want && !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("operation %d, %s: %v", i, ops[i], err)
		}
	}
	if got := strings.Count(Dump(k), "\n"); got != 600 {
		t.Errorf("%d bound, want 600", got)
	}
}

// wantCopy checks that a copy has what it is a copy of.
func wantCopy(t testing.TB, k Reader) {
	t.Helper()
	copied, err := Copy(k)
	if err != nil {
		t.Fatal(err)
	}
	state, err := k.State()
	if copied.state != state || err != nil {
		t.Errorf("a copy of a device in state %d is in state %d; %v", state, copied.state, err)
	}
	if diff := cmp.Diff(lines(Dump(k)), lines(copied.Dump())); state != Missing && diff != "" {
		t.Errorf("a copy (-of +has):\n%s", diff)
	}
}

// parse reads one line of ip(8) arguments.
func parse(t testing.TB, line string) Op {
	t.Helper()
	words := strings.Fields(line)
	op := Op{
		Verb:    map[string]Verb{"replace": Bind, "del": Unbind}[words[1]],
		Binding: Binding{Addr: netip.MustParseAddr(strings.Split(words[3], "/")[0])},
	}
	switch {
	case strings.Contains(line, " metric 1024"):
		op.Binding.Way = ByRoute
	case words[0] == "route":
		op.Binding.Way = ByOldRoute
	}
	if i := slices.Index(words, "src"); i > 0 {
		op.Source = netip.MustParseAddr(words[i+1])
	}
	if words[2] == "inet6" && !strings.HasSuffix(line, " deprecated") {
		op.Source = op.Binding.Addr
	}
	return op
}

func TestOperationsReadAsIPArguments(t *testing.T) {
	for _, c := range contract {
		for _, line := range lines(c.script) {
			command, _, _ := strings.Cut(line, " # ")
			if got := parse(t, command).String(); got != command {
				t.Errorf("\n got %s\nwant %s", got, command)
			}
		}
	}
}

var lines = kerneltest.Lines

func ExampleOp_String() {
	fmt.Println(Op{Verb: Bind, Binding: Binding{netip.MustParseAddr("10.96.0.10"), ByRoute}, Source: netip.MustParseAddr("10.0.0.1")})
	// Output: route replace local 10.96.0.10 metric 1024 src 10.0.0.1
}
