package masq

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/iptsave"
	"github.com/fairlead-lb/fairlead/internal/kerneltest"
)

// contract is what every Kernel does with its sets, in the words of `ipset restore`. Each script is
// one batch on fresh sets, none of which may fail.
var contract = []struct{ name, script, dump string }{
	{
		"every set takes both families and every protocol",
		`add FAIRLEAD-SERVED 10.96.0.10,tcp:80
		 add FAIRLEAD-SERVED 10.96.0.10,udp:80
		 add FAIRLEAD-SERVED 10.96.0.10,sctp:80
		 add FAIRLEAD-SERVED 10.96.0.10,tcp:65535
		 add FAIRLEAD-6-SERVED fd00:10:96::a,tcp:80
		 add FAIRLEAD-6-SERVED fd00:10:96::a,udp:80
		 add FAIRLEAD-6-SERVED fd00:10:96::a,sctp:80
		 add FAIRLEAD-VIP 10.96.0.10
		 add FAIRLEAD-6-VIP fd00:10:96::a
		 add FAIRLEAD-HAIRPIN 10.1.0.1,10.1.0.1
		 add FAIRLEAD-6-HAIRPIN fd00:1::1,fd00:1::1`,
		`add FAIRLEAD-VIP 10.96.0.10
		 add FAIRLEAD-6-VIP fd00:10:96::a
		 add FAIRLEAD-SERVED 10.96.0.10,tcp:80
		 add FAIRLEAD-SERVED 10.96.0.10,udp:80
		 add FAIRLEAD-SERVED 10.96.0.10,sctp:80
		 add FAIRLEAD-SERVED 10.96.0.10,tcp:65535
		 add FAIRLEAD-6-SERVED fd00:10:96::a,tcp:80
		 add FAIRLEAD-6-SERVED fd00:10:96::a,udp:80
		 add FAIRLEAD-6-SERVED fd00:10:96::a,sctp:80
		 add FAIRLEAD-HAIRPIN 10.1.0.1,10.1.0.1
		 add FAIRLEAD-6-HAIRPIN fd00:1::1,fd00:1::1`,
	},
	{
		"adding twice is adding once",
		`add FAIRLEAD-SERVED 10.96.0.10,tcp:80
		 add FAIRLEAD-SERVED 10.96.0.10,tcp:80
		 add FAIRLEAD-VIP 10.96.0.10
		 add FAIRLEAD-VIP 10.96.0.10
		 add FAIRLEAD-HAIRPIN 10.1.0.1,10.1.0.1
		 add FAIRLEAD-HAIRPIN 10.1.0.1,10.1.0.1
		 del FAIRLEAD-SERVED 10.96.0.10,tcp:80
		 del FAIRLEAD-VIP 10.96.0.10
		 del FAIRLEAD-HAIRPIN 10.1.0.1,10.1.0.1`,
		``,
	},
	{
		"deleting what is missing is no failure, and deletes nothing else",
		`add FAIRLEAD-SERVED 10.96.0.10,tcp:80
		 add FAIRLEAD-6-VIP fd00:10:96::a
		 add FAIRLEAD-6-HAIRPIN fd00:1::1,fd00:1::1
		 del FAIRLEAD-SERVED 10.96.0.10,udp:80
		 del FAIRLEAD-SERVED 10.96.0.10,tcp:81
		 del FAIRLEAD-6-SERVED fd00:10:96::a,tcp:80
		 del FAIRLEAD-VIP 10.96.0.10
		 del FAIRLEAD-6-VIP fd00:10:96::b
		 del FAIRLEAD-HAIRPIN 10.1.0.1,10.1.0.1
		 del FAIRLEAD-6-HAIRPIN fd00:1::2,fd00:1::2`,
		`add FAIRLEAD-6-VIP fd00:10:96::a
		 add FAIRLEAD-SERVED 10.96.0.10,tcp:80
		 add FAIRLEAD-6-HAIRPIN fd00:1::1,fd00:1::1`,
	},
	{
		"a frontend leads to one mark, and adding it again changes the mark",
		`add FAIRLEAD-LOCAL 10.96.0.10,tcp:80 skbmark 0x50000002
		 add FAIRLEAD-LOCAL 10.96.0.10,udp:80 skbmark 0x5ff0307f
		 add FAIRLEAD-6-LOCAL fd00:10:96::a,sctp:80 skbmark 0x50000004
		 add FAIRLEAD-LOCAL 10.96.0.11,tcp:80 skbmark 0x50000006
		 add FAIRLEAD-LOCAL 10.96.0.10,tcp:80 skbmark 0x50000000
		 add FAIRLEAD-6-LOCAL fd00:10:96::a,sctp:80 skbmark 0x1
		 del FAIRLEAD-LOCAL 10.96.0.11,tcp:80`,
		`add FAIRLEAD-LOCAL 10.96.0.10,tcp:80 skbmark 0x50000000
		 add FAIRLEAD-LOCAL 10.96.0.10,udp:80 skbmark 0x5ff0307f
		 add FAIRLEAD-6-LOCAL fd00:10:96::a,sctp:80 skbmark 0x1`,
	},
	{
		"a restricted frontend has sources of every size but all",
		`add FAIRLEAD-RESTRICTED 192.0.2.10,tcp:80
		 add FAIRLEAD-6-RESTRICTED fd00:10:96::a,udp:80
		 add FAIRLEAD-ALLOWED 192.0.2.10,tcp:80,198.51.100.7
		 add FAIRLEAD-ALLOWED 192.0.2.10,tcp:80,10.0.0.0/8
		 add FAIRLEAD-ALLOWED 192.0.2.10,tcp:80,128.0.0.0/1
		 add FAIRLEAD-ALLOWED 192.0.2.10,sctp:80,10.0.0.0/8
		 add FAIRLEAD-6-ALLOWED fd00:10:96::a,udp:80,fd00:1::/64
		 add FAIRLEAD-6-ALLOWED fd00:10:96::a,udp:80,fd00:2::7
		 del FAIRLEAD-ALLOWED 192.0.2.10,tcp:80,10.0.0.0/9
		 del FAIRLEAD-ALLOWED 192.0.2.10,sctp:80,10.0.0.0/8`,
		`add FAIRLEAD-RESTRICTED 192.0.2.10,tcp:80
		 add FAIRLEAD-6-RESTRICTED fd00:10:96::a,udp:80
		 add FAIRLEAD-ALLOWED 192.0.2.10,tcp:80,10.0.0.0/8
		 add FAIRLEAD-ALLOWED 192.0.2.10,tcp:80,128.0.0.0/1
		 add FAIRLEAD-ALLOWED 192.0.2.10,tcp:80,198.51.100.7
		 add FAIRLEAD-6-ALLOWED fd00:10:96::a,udp:80,fd00:1::/64
		 add FAIRLEAD-6-ALLOWED fd00:10:96::a,udp:80,fd00:2::7`,
	},
	{
		"the other sets of frontends",
		`add FAIRLEAD-MASQ 192.0.2.10,tcp:80
		 add FAIRLEAD-6-MASQ fd00:10:96::a,udp:80
		 add FAIRLEAD-HEALTH 192.0.2.10,sctp:80
		 add FAIRLEAD-6-HEALTH fd00:10:96::a,udp:80`,
		`add FAIRLEAD-MASQ 192.0.2.10,tcp:80
		 add FAIRLEAD-6-MASQ fd00:10:96::a,udp:80
		 add FAIRLEAD-HEALTH 192.0.2.10,sctp:80
		 add FAIRLEAD-6-HEALTH fd00:10:96::a,udp:80`,
	},
	{"an empty batch is nothing", ``, ``},
}

// subject is a Kernel under contract.
type subject struct {
	Kernel
	saved func() string // what `ipset save` shows, or nil
}

func openFake(testing.TB) subject { return subject{Kernel: NewFake()} }

func TestContractOfTheFake(t *testing.T) { testContract(t, openFake) }

func TestContractOfTheKernel(t *testing.T) {
	kerneltest.Want(t)
	testContract(t, openKernel)
}

func testContract(t *testing.T, open func(testing.TB) subject) {
	for _, c := range contract {
		t.Run(c.name, func(t *testing.T) {
			k := open(t)
			ensureSets(t, k)
			runScript(t, k, c.script, c.dump)
		})
	}
	t.Run("the sets are made once", func(t *testing.T) {
		k := open(t)
		for i, want := range []bool{true, false, false} {
			if changed, err := k.EnsureSets(); changed != want || err != nil {
				t.Errorf("time %d: changed %v, %v", i, changed, err)
			}
		}
	})
	t.Run("sets that are missing have no entries and take none", func(t *testing.T) {
		k := open(t)
		if entries, err := k.Entries(); len(entries) > 0 || err != nil {
			t.Errorf("%v, %v", entries, err)
		}
		ops := script(t, contract[0].script)
		errs := k.Apply(ops)
		if len(errs) != len(ops) {
			t.Fatalf("%d results for %d operations", len(errs), len(ops))
		}
		for i, err := range errs {
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %v", ops[i], err)
			}
		}
	})
	t.Run("large sets are read whole", func(t *testing.T) {
		k := open(t)
		ensureSets(t, k)
		var ops []Op
		for i := range 5000 {
			ops = append(ops, Op{Entry: frontend(Served, netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)}), uint16(i), 6)})
		}
		if errs := k.Apply(ops); errs != nil {
			t.Fatal(errs)
		}
		entries, err := k.Entries()
		if len(entries) != len(ops) || err != nil {
			t.Errorf("%d entries of %d, %v", len(entries), len(ops), err)
		}
		for _, op := range ops {
			if _, ok := entries[op.Entry]; !ok {
				t.Fatalf("missing: %s", op)
			}
		}
	})
	t.Run("pages tell all entries", func(t *testing.T) { pagesTellAll(t, open(t)) })
	t.Run("removing takes the sets along, and works where nothing is", func(t *testing.T) {
		k := open(t)
		chains := map[Family][]Chain{IPv4: Skeleton(IPv4, Options{}, true)}
		for range 2 {
			if err := k.Remove(chains); err != nil {
				t.Fatal(err)
			}
			if changed, err := k.EnsureSets(); !changed || err != nil {
				t.Fatalf("changed %v, %v", changed, err)
			}
			k.Apply(script(t, contract[0].script))
		}
	})
}

// pagesTellAll reads several sets of both families in pages, which writes, a whole reading and a beginning anew do not disturb.
func pagesTellAll(t *testing.T, k Kernel) {
	ensureSets(t, k)
	var ops []Op
	for i := range 3000 {
		v4, v6 := netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)}), netip.AddrFrom16([16]byte{0xfd, 14: byte(i >> 8), 15: byte(i)})
		ops = append(ops, Op{Entry: frontend(Served, v4, uint16(i), 6)}, Op{Entry: Entry{Set: VIPs, Addr: v4}}, Op{Entry: frontend(Served, v6, uint16(i), 17)})
	}
	if errs := k.Apply(ops); errs != nil {
		t.Fatal(errors.Join(errs...))
	}
	if _, more, err := k.MoreEntries(true); !more || err != nil {
		t.Fatalf("all in one page, or %v", err)
	}
	got := make(map[Entry]uint32)
	for first, more := true, true; more; first = false {
		var page map[Entry]uint32
		var err error
		if page, more, err = k.MoreEntries(first); err != nil {
			t.Fatal(err)
		}
		if len(page) > len(ops)/4 {
			t.Errorf("%d of %d in one page", len(page), len(ops))
		}
		maps.Copy(got, page)
		other := Op{Entry: Entry{Set: VIPs, Addr: netip.AddrFrom4([4]byte{10, 97, 0, byte(len(got))})}}
		k.Apply([]Op{other, {Delete: true, Entry: other.Entry}})
		if first {
			if all, err := k.Entries(); len(all) != len(ops) || err != nil {
				t.Fatalf("meanwhile %d entries, %v", len(all), err)
			}
		}
	}
	for _, op := range ops {
		if _, told := got[op.Entry]; !told {
			t.Fatalf("%s is in no page", op)
		}
	}
}

func ensureSets(t testing.TB, k Kernel) {
	t.Helper()
	if _, err := k.EnsureSets(); err != nil {
		t.Fatal(err)
	}
}

func runScript(t *testing.T, k subject, text, dump string) {
	t.Helper()
	if errs := k.Apply(script(t, text)); errs != nil {
		t.Errorf("failed: %v", errs)
	}
	if diff := cmp.Diff(lines(dump), lines(Dump(k))); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	wantCopy(t, k.Kernel.(Reader))
	if k.saved != nil {
		if diff := cmp.Diff(slices.Sorted(slices.Values(lines(dump))), slices.Sorted(slices.Values(lines(k.saved())))); diff != "" {
			t.Errorf("ipset save (-want +got):\n%s", diff)
		}
	}
}

// wantCopy checks that a copy has what it is a copy of.
func wantCopy(t testing.TB, k Reader) {
	t.Helper()
	copied, err := Copy(k)
	if err != nil {
		t.Fatal(err)
	}
	missing, err := k.MissingSets()
	if lost, _ := copied.MissingSets(); err != nil || !slices.Equal(missing, lost) {
		t.Errorf("a copy lacks %v, not %v; %v", lost, missing, err)
	}
	if diff := cmp.Diff(lines(Dump(k)), lines(copied.Dump())); diff != "" {
		t.Errorf("entries of a copy (-of +has):\n%s", diff)
	}
	saved, err := k.Save()
	if err != nil {
		t.Fatal(err)
	}
	copies, _ := copied.Save()
	for f, text := range saved {
		if diff := cmp.Diff(iptsave.Parse(text), iptsave.Parse(copies[f])); diff != "" {
			t.Errorf("%s rules of a copy (-of +has):\n%s", f, diff)
		}
	}
}

// script reads one operation, as ipset restores it, from each line.
func script(t testing.TB, text string) (ops []Op) {
	t.Helper()
	for _, line := range lines(text) {
		words := strings.Fields(line)
		op := Op{Delete: words[0] == "del"}
		addr, rest, _ := strings.Cut(words[2], ",")
		op.Entry.Addr = netip.MustParseAddr(addr)
		for _, set := range Sets() {
			if set.Name(FamilyOf(op.Entry.Addr)) == words[1] {
				op.Entry.Set = set
			}
		}
		if op.Entry.Set != VIPs && op.Entry.Set != Hairpin {
			frontend, source, restricts := strings.Cut(rest, ",")
			protocol, port, _ := strings.Cut(frontend, ":")
			op.Entry.Protocol = map[string]uint8{"tcp": 6, "udp": 17, "sctp": 132}[protocol]
			n, err := strconv.ParseUint(port, 10, 16)
			if err != nil {
				t.Fatal(err)
			}
			op.Entry.Port = uint16(n)
			if restricts {
				op.Entry.Source = prefix(source)
			}
		}
		if len(words) > 4 && words[3] == "skbmark" {
			mark, err := strconv.ParseUint(words[4], 0, 32)
			if err != nil {
				t.Fatal(err)
			}
			op.Mark = uint32(mark)
		}
		if op.String() != line {
			t.Fatalf("%q reads as %q", line, op)
		}
		ops = append(ops, op)
	}
	return ops
}

// prefix reads a CIDR as ipset prints it: a single address without its length.
func prefix(text string) netip.Prefix {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen())
	}
	return netip.MustParsePrefix(text)
}

var lines = kerneltest.Lines

func ExampleEntry_String() {
	fmt.Println(frontend(Served, netip.MustParseAddr("172.30.15.111"), 8080, 6))
	fmt.Println(Op{Delete: true, Entry: Entry{Set: VIPs, Addr: netip.MustParseAddr("fd00::1")}})
	// Output:
	// add FAIRLEAD-SERVED 172.30.15.111,tcp:8080
	// del FAIRLEAD-6-VIP fd00::1
}
