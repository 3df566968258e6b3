package masq

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/fairlead-lb/fairlead/internal/iptsave"
)

var (
	vip    = Entry{Set: VIPs, Addr: netip.MustParseAddr("10.96.0.10")}
	served = Entry{Set: Served, Addr: netip.MustParseAddr("10.96.0.10"), Port: 80, Protocol: 6}
	pod    = Entry{Set: Hairpin, Addr: netip.MustParseAddr("fd00:1::1")}
)

const vipServedPod = `add FAIRLEAD-VIP 10.96.0.10
	add FAIRLEAD-SERVED 10.96.0.10,tcp:80
	add FAIRLEAD-6-HAIRPIN fd00:1::1,fd00:1::1`

func nothing(Entry) bool { return false }

func anyMark(Entry, uint32) bool { return true }

// newRuleset returns a ruleset, and its kernel, that holds the entries.
func newRuleset(t testing.TB, entries ...Entry) (*Ruleset, *Fake) {
	t.Helper()
	fake := NewFake()
	r := NewRuleset(fake, cidrs)
	for _, e := range entries {
		r.Set(e)
	}
	converge(t, r)
	return r, fake
}

// failer is a testing.TB or a *rapid.T.
type failer interface {
	Helper()
	Fatal(...any)
}

func converge(t failer, r *Ruleset) (drift int) {
	t.Helper()
	drift, err := r.Resync()
	if err := errors.Join(err, r.Upsert(anyMark), r.Prune(nothing, nothing)); err != nil {
		t.Fatal(err)
	}
	return drift
}

func holds(t testing.TB, k Kernel, want string) {
	t.Helper()
	if diff := cmp.Diff(lines(want), lines(Dump(k))); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func TestEntriesComeAndGo(t *testing.T) {
	r, fake := newRuleset(t, vip, served, pod)
	holds(t, fake, vipServedPod)
	if !r.Has(vip) || r.Has(Entry{Set: VIPs, Addr: pod.Addr}) || r.Pending() != 0 {
		t.Errorf("%d pending", r.Pending())
	}
	r.Unset(served)
	if !r.Has(served) || r.Pending() != 1 {
		t.Error("unset is memory only")
	}
	if err := r.Prune(nothing, nothing); err != nil {
		t.Fatal(err)
	}
	holds(t, fake, strings.Replace(vipServedPod, "add FAIRLEAD-SERVED 10.96.0.10,tcp:80", "", 1))
}

func TestMessagesAreCountedOneByOne(t *testing.T) {
	r, fake := newRuleset(t)
	check := func(what string, messages, writes int) {
		t.Helper()
		if got := fake.Messages; got != messages || r.Messages() != uint64(messages) || r.Writes() != uint64(writes) {
			t.Errorf("%s: %d messages, the ruleset says %d with %d writes, want %d and %d",
				what, got, r.Messages(), r.Writes(), messages, writes)
		}
	}
	check("ensure the sets, read them", 2, 0)
	r.Set(vip)
	r.Set(served)
	check("set is memory only", 2, 0)
	if err := r.Upsert(anyMark); err != nil {
		t.Fatal(err)
	}
	check("two adds", 4, 2)
	if err := errors.Join(r.Upsert(anyMark), r.Prune(nothing, nothing)); err != nil {
		t.Fatal(err)
	}
	check("nothing to do", 4, 2)
	r.Unset(vip)
	if err := r.Prune(nothing, nothing); err != nil {
		t.Fatal(err)
	}
	check("one delete", 5, 3)
}

func TestARestartWritesNothing(t *testing.T) {
	_, fake := newRuleset(t, vip, served, pod)
	before := fake.Writes
	r := NewRuleset(fake, cidrs)
	for _, e := range []Entry{vip, served, pod} {
		r.Set(e)
	}
	if drift := converge(t, r); drift != 0 || fake.Writes != before {
		t.Errorf("drift %d, %d writes", drift, fake.Writes-before)
	}
}

// TestEntriesThatWaitAreNotAskedAbout: there may be very many of them, and each Prune would range over all.
func TestEntriesThatWaitAreNotAskedAbout(t *testing.T) {
	r, fake := newRuleset(t, vip, served, pod)
	for _, e := range []Entry{vip, served, pod} {
		r.Unset(e)
	}
	asked := 0
	held := func(Entry) bool { asked++; return true }
	atVIP := func(e Entry) bool { return e.Addr == vip.Addr }
	for _, want := range []int{3, 1, 1} { // pod is held, and does not wait
		asked = 0
		if err := r.Prune(held, atVIP); err != nil || asked != want || r.Pending() != 3 {
			t.Errorf("%v, asked about %d entries, want %d; %d pending", err, asked, want, r.Pending())
		}
	}
	r.Release(pod.Addr)
	if err := r.Prune(nothing, nothing); err != nil || r.Pending() != 2 {
		t.Errorf("%v, %d pending, want 2", err, r.Pending())
	}
	r.Release(vip.Addr)
	if err := r.Prune(nothing, nothing); err != nil || r.Pending() != 0 {
		t.Errorf("%v, %d pending after the release", err, r.Pending())
	}
	holds(t, fake, "")
}

func TestHeldEntriesStay(t *testing.T) {
	r, fake := newRuleset(t, vip, served)
	r.Unset(vip)
	r.Unset(served)
	if err := r.Prune(func(e Entry) bool { return e == vip }, nothing); err != nil || r.Pending() != 1 {
		t.Errorf("%v, %d pending", err, r.Pending())
	}
	holds(t, fake, "add FAIRLEAD-VIP 10.96.0.10")
}

func TestDriftIsCountedAndRepaired(t *testing.T) {
	for _, c := range []struct {
		name    string
		outside func(*Fake)
		drift   int
	}{
		{"none", func(*Fake) {}, 0},
		{"an entry is gone", func(f *Fake) { f.Apply([]Op{{Delete: true, Entry: vip}}) }, 1},
		{"a strange entry is put out", func(f *Fake) { f.Apply([]Op{{Entry: Entry{Set: VIPs, Addr: pod.Addr}}}) }, 0},
		{"a chain was flushed", func(f *Fake) { clear(f.rules) }, numberOfRules(cidrs)},
		{"the sets are gone", func(f *Fake) { clear(f.entries); clear(f.sets) }, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, fake := newRuleset(t, vip, served, pod)
			c.outside(fake)
			if drift := converge(t, r); drift != c.drift {
				t.Errorf("drift %d, want %d", drift, c.drift)
			}
			holds(t, fake, vipServedPod)
			if drift := converge(t, r); drift != 0 {
				t.Errorf("drift %d when nothing happened since", drift)
			}
		})
	}
}

// numberOfRules counts the rules of both families.
func numberOfRules(o Options) (n int) {
	for _, f := range []Family{IPv4, IPv6} {
		for _, c := range Skeleton(f, o, true) {
			n += len(c.Rules)
		}
	}
	return n
}

func TestTheNumberOfRulesIsConstant(t *testing.T) {
	want := numberOfRules(cidrs)
	for _, n := range []int{0, 10, 10_000} {
		r, fake := newRuleset(t)
		for i := range n {
			r.Set(frontend(Served, netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)}), 80, 6))
		}
		converge(t, r)
		if got := fake.RuleCount(); got != want {
			t.Errorf("%d rules for %d entries, want %d", got, n, want)
		}
	}
}

func TestChangedOptionsAreWrittenByTheNextResync(t *testing.T) {
	r, fake := newRuleset(t)
	before := fake.Writes
	changed := cidrs
	changed.MasqueradeBit = 15
	r.SetOptions(changed)
	if fake.Writes != before {
		t.Error("setting options is memory only")
	}
	if drift := converge(t, r); drift == 0 || fake.RuleCount() != numberOfRules(changed) {
		t.Errorf("drift %d, %d rules", drift, fake.RuleCount())
	}
	if drift := converge(t, r); drift != 0 {
		t.Errorf("drift %d when nothing happened since", drift)
	}
}

// TestWithoutKnowingWhatAPodIsNoRuleOfAnEarlierDaemonGoes: it knew.
func TestWithoutKnowingWhatAPodIsNoRuleOfAnEarlierDaemonGoes(t *testing.T) {
	unknown := Options{MasqueradeBit: 14, Marks: marks, Pods: Pods{Unknown: true}}
	r, fake := newRuleset(t)
	before, writes := fake.Rules(), fake.Writes
	r.SetOptions(unknown)
	if drift := converge(t, r); drift != 0 || fake.Writes != writes || fake.Rules() != before {
		t.Errorf("drift %d, rules:\n%s", drift, fake.Rules())
	}
	clear(fake.rules)
	if drift := converge(t, r); drift != numberOfRules(Options{MasqueradeBit: 14, Marks: marks}) {
		t.Errorf("%d rules written where there were none", drift)
	}
	if drift := converge(t, r); drift != 0 {
		t.Errorf("%d rules written again", drift)
	}
	r.SetOptions(cidrs)
	converge(t, r)
	if fake.Rules() != before {
		t.Errorf("rules when it is known:\n%s", fake.Rules())
	}
}

func TestAFailureStopsNothingElseAndIsMadeUpFor(t *testing.T) {
	for failing := 1; failing <= 4; failing++ {
		r, fake := newRuleset(t, vip, served)
		r.Unset(vip)
		r.Unset(served)
		r.Set(pod)
		r.Set(Entry{Set: VIPs, Addr: pod.Addr})
		n := 0
		var failed Op
		fake.Fail = func(op Op) error {
			if n++; n == failing {
				failed = op
				return syscall.ENOMEM
			}
			return nil
		}
		err := errors.Join(r.Upsert(anyMark), r.Prune(nothing, nothing))
		if !errors.Is(err, syscall.ENOMEM) || err.Error() != fmt.Sprintf("ipset %s: cannot allocate memory", failed) {
			t.Fatalf("operation %d: %v", failing, err)
		}
		if n != 4 || r.Pending() != 1 {
			t.Errorf("operation %d: %d were tried, %d pending", failing, n, r.Pending())
		}
		fake.Fail = nil
		r.Retry()
		if err := errors.Join(r.Upsert(anyMark), r.Prune(nothing, nothing)); err != nil {
			t.Fatal(err)
		}
		holds(t, fake, "add FAIRLEAD-6-VIP fd00:1::1\nadd FAIRLEAD-6-HAIRPIN fd00:1::1,fd00:1::1")
	}
}

// TestASweepFindsWhatTheKernelHas: it learns what a whole reading would, unless what is written meanwhile is newer.
func TestASweepFindsWhatTheKernelHas(t *testing.T) {
	entry := func(i int) Entry {
		return Entry{Set: Local, Addr: netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)}), Port: 80, Protocol: 6}
	}
	const all = 2000
	r, fake := newRuleset(t)
	for i := range all {
		r.SetMark(entry(i), 7)
	}
	if err := r.Upsert(anyMark); err != nil {
		t.Fatal(err)
	}
	fake.Apply([]Op{{Delete: true, Entry: entry(1)}, {Entry: entry(2), Mark: 9}, {Entry: entry(all), Mark: 9}})
	if err := r.BeginSweep(); err != nil {
		t.Fatal(err)
	}
	drift, pages := 0, 0
	for more := true; more; pages++ {
		var n int
		var err error
		if n, more, err = r.NextPage(); err != nil {
			t.Fatal(err)
		}
		drift += n
		if pages == 0 {
			for i := range 100 { // some of it has been told, some will be
				r.Unset(entry(100 + i))
				r.SetMark(entry(200+i), 8)
			}
			if err := errors.Join(r.Upsert(anyMark), r.Prune(nothing, nothing)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if drift > 2 || pages < all/256 || r.LeadsTo(8, IPv4) != 100 {
		t.Errorf("drift %d, %d pages, %d lead to 8", drift, pages, r.LeadsTo(8, IPv4))
	}
	believed := maps.Collect(r.entries.AllActual())
	if there, _ := fake.Entries(); !maps.Equal(believed, there) {
		t.Errorf("%d entries are believed to be there, %d are", len(believed), len(there))
	}
	leads := 0
	for _, n := range r.marks {
		leads += n
	}
	if leads != len(believed) {
		t.Errorf("%d lead to marks, of %d", leads, len(believed))
	}
}

// broken fails where a Fake cannot.
type broken struct {
	*Fake
	sets, entries, rules error
}

func (b *broken) EnsureSets() (bool, error) {
	if b.sets != nil {
		return false, b.sets
	}
	return b.Fake.EnsureSets()
}

func (b *broken) Entries() (map[Entry]uint32, error) {
	if b.entries != nil {
		return nil, b.entries
	}
	return b.Fake.Entries()
}

func (b *broken) EnsureRules(chains map[Family][]Chain) (int, error) {
	if b.rules != nil {
		written, err := b.Fake.EnsureRules(map[Family][]Chain{IPv6: chains[IPv6]})
		return written, errors.Join(fmt.Errorf("ensure the IPv4 rules: %w", b.rules), err)
	}
	return b.Fake.EnsureRules(chains)
}

func TestWhatCannotBeReadIsNotTakenForGone(t *testing.T) {
	for name, b := range map[string]broken{
		"ensure the sets":       {sets: syscall.ENOBUFS},
		"read the sets":         {entries: syscall.ENOBUFS},
		"ensure the IPv4 rules": {rules: syscall.ENOBUFS},
	} {
		t.Run(name, func(t *testing.T) {
			r, fake := newRuleset(t, vip)
			clear(fake.rules)
			b.Fake = fake
			r.kernel = &b
			if _, err := r.Resync(); !errors.Is(err, syscall.ENOBUFS) || !strings.Contains(err.Error(), name) {
				t.Errorf("got %v", err)
			}
			if !r.Has(vip) {
				t.Error("forgot what it could not read")
			}
			if b.rules != nil && fake.RuleCount() != numberOfRules(cidrs)/2 {
				t.Errorf("%d rules: the other family's must be written all the same", fake.RuleCount())
			}
		})
	}
}

// TestWhatRestrictsComesFirstAndGoesLast: between the writes of one batch, nobody must be let in whom no
// source range admits, and nobody be kept out whom one does.
func TestWhatRestrictsComesFirstAndGoesLast(t *testing.T) {
	r, fake := newRuleset(t)
	var written []Set
	fake.Fail = func(op Op) error {
		written = append(written, op.Entry.Set)
		return nil
	}
	var entries []Entry
	for n := range 20 {
		for _, set := range Sets() {
			e := Entry{Set: set, Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}), Port: 80, Protocol: 6}
			if set == Allowed {
				e.Source = netip.MustParsePrefix("192.0.2.0/24")
			}
			entries = append(entries, e)
		}
	}
	check := func(when string, order func(a, b int) bool) {
		t.Helper()
		for i := range written[1:] {
			if !order(slices.Index(Sets(), written[i]), slices.Index(Sets(), written[i+1])) {
				t.Fatalf("%s: %v", when, written)
			}
		}
		if len(written) != len(entries) {
			t.Fatalf("%s: %d writes for %d entries", when, len(written), len(entries))
		}
		written = nil
	}
	for _, e := range entries {
		r.Set(e)
	}
	if err := r.Upsert(anyMark); err != nil {
		t.Fatal(err)
	}
	check("Upsert", func(a, b int) bool { return a <= b })
	for _, e := range entries {
		r.Unset(e)
	}
	if err := r.Prune(nothing, nothing); err != nil {
		t.Fatal(err)
	}
	check("Prune", func(a, b int) bool { return a >= b })
}

func TestTheRulesetConverges(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r, fake := newRuleset(t)
		desired := map[Entry]uint32{}
		entry := rapid.Custom(func(t *rapid.T) Entry {
			e := Entry{Set: rapid.SampledFrom(Sets()).Draw(t, "set"), Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(rapid.IntRange(0, 2).Draw(t, "addr"))})}
			if e.Set != VIPs && e.Set != Hairpin {
				e.Port, e.Protocol = uint16(rapid.IntRange(1, 2).Draw(t, "port")), rapid.SampledFrom([]uint8{6, 17, 132}).Draw(t, "protocol")
			}
			if e.Set == Allowed {
				e.Source = netip.PrefixFrom(netip.AddrFrom4([4]byte{10}), rapid.IntRange(8, 10).Draw(t, "bits"))
			}
			if rapid.Bool().Draw(t, "IPv6") {
				e.Addr = netip.AddrFrom16([16]byte{0: 0xfd, 15: e.Addr.As4()[3]})
				if e.Set == Allowed {
					e.Source = netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd}), e.Source.Bits())
				}
			}
			return e
		})
		mark := func(t *rapid.T, e Entry) uint32 {
			if e.Set != Local {
				return 0
			}
			return rapid.Uint32Range(1, 3).Draw(t, "mark")
		}
		rt.Repeat(map[string]func(*rapid.T){
			"set":   func(t *rapid.T) { e := entry.Draw(t, "e"); desired[e] = mark(t, e); r.SetMark(e, desired[e]) },
			"unset": func(t *rapid.T) { e := entry.Draw(t, "e"); r.Unset(e); delete(desired, e) },
			"outside": func(t *rapid.T) {
				e := entry.Draw(t, "e")
				fake.Apply([]Op{{rapid.Bool().Draw(t, "delete"), e, mark(t, e)}})
			},
			"flush":   func(*rapid.T) { clear(fake.rules) },
			"destroy": func(*rapid.T) { clear(fake.entries); clear(fake.sets) },
			"sync":    func(*rapid.T) { _ = errors.Join(r.Upsert(anyMark), r.Prune(nothing, nothing)) },
			"resync": func(t *rapid.T) {
				if _, err := r.Resync(); err != nil {
					t.Fatal(err)
				}
			},
		})
		converge(rt, r)
		want := NewFake()
		if _, err := want.EnsureSets(); err != nil {
			rt.Fatal(err)
		}
		marks := map[lead]int{}
		for e, mark := range desired {
			want.Apply([]Op{{Entry: e, Mark: mark}})
			marks[lead{mark, FamilyOf(e.Addr)}]++
		}
		for _, family := range []Family{IPv4, IPv6} {
			marks[lead{0, family}] = 0
			for mark := range uint32(4) {
				if got := r.LeadsTo(mark, family); got != marks[lead{mark, family}] {
					rt.Fatalf("%d %s entries lead to mark %d, want %d", got, family, mark, marks[lead{mark, family}])
				}
			}
		}
		if got := fake.Dump(); got != want.Dump() || fake.RuleCount() != numberOfRules(cidrs) {
			rt.Fatalf("converged to %d rules and\n%s\nwant\n%s", fake.RuleCount(), got, want.Dump())
		}
	})
}

// TestACopyIsWrittenToAsTheKernelWouldBe: rules of others stay where they are, ours that are as they should be are not
// touched, and the rest comes in one input for each family.
func TestACopyIsWrittenToAsTheKernelWouldBe(t *testing.T) {
	fake := NewFake()
	fake.rules[IPv4] = iptsave.Parse(`*filter
:INPUT ACCEPT [0:0]
:FAIRLEAD-FORWARD - [0:0]
-A INPUT -p tcp -m comment --comment "somebody else's" -j ACCEPT
-A FAIRLEAD-FORWARD -m comment --comment "fairlead: answers of endpoints" -j ACCEPT
COMMIT
`)
	fake.sets[Creation{Health, IPv6}] = true
	copied, err := Copy(fake)
	if err != nil {
		t.Fatal(err)
	}
	if missing, err := copied.MissingSets(); len(missing) != 15 || slices.Contains(missing, Creation{Health, IPv6}) || err != nil {
		t.Errorf("missing %v; %v", missing, err)
	}
	inputs := make(map[Family]string)
	copied.Restored = func(f Family, input string) { inputs[f] += input }
	chains := map[Family][]Chain{IPv4: Skeleton(IPv4, cidrs, true), IPv6: Skeleton(IPv6, cidrs, true)}
	written, _ := copied.EnsureRules(chains)
	if written != numberOfRules(cidrs)-1 || len(inputs) != 2 {
		t.Errorf("%d rules written by %v", written, inputs)
	}
	if in := inputs[IPv4]; strings.Contains(in, "FAIRLEAD-FORWARD 1") || !strings.Contains(in, "-N FAIRLEAD-INPUT\n") ||
		!strings.Contains(in, "-I INPUT 1 -m conntrack --ctstate NEW -m comment --comment \"fairlead: new: FAIRLEAD-INPUT\" -j FAIRLEAD-INPUT\n") {
		t.Errorf("input:\n%s", in)
	}
	clear(inputs)
	again, _ := copied.EnsureRules(chains)
	saved, _ := copied.Save()
	if again != 0 || len(inputs) > 0 || !strings.Contains(saved[IPv4], "-j FAIRLEAD-INPUT\n-A INPUT -p tcp -m comment --comment \"somebody else's\" -j ACCEPT\n") {
		t.Errorf("written again: %v; now there is\n%s", inputs, saved[IPv4])
	}
}
