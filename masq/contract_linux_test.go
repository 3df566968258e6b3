package masq

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
)

func openKernel(t testing.TB) subject {
	t.Helper()
	kerneltest.Want(t)
	kerneltest.Namespace(t)
	return subject{open(t), func() string {
		all := lines(kerneltest.Run(t, "ipset", "save"))
		return strings.Join(slices.DeleteFunc(all, func(line string) bool { return !strings.HasPrefix(line, "add ") }), "\n")
	}}
}

func open(t testing.TB) *Linux {
	t.Helper()
	k, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	kerneltest.CloseAtEnd(t, k)
	return k
}

func TestTheSetsAreWhatTheOperatorKnows(t *testing.T) {
	k := openKernel(t)
	ensureSets(t, k)
	var got []string
	for _, line := range lines(kerneltest.Run(t, "ipset", "save")) {
		words := strings.Fields(line) // create NAME TYPE family F hashsize N maxelem N [skbinfo] bucketsize N initval X
		i := slices.Index(words, "maxelem")
		shown := append(words[:5:5], words[i:i+2]...)
		if slices.Contains(words, "skbinfo") {
			shown = append(shown, "skbinfo")
		}
		got = append(got, strings.Join(shown, " "))
	}
	want := `create FAIRLEAD-ALLOWED hash:ip,port,net family inet maxelem 1048576
		create FAIRLEAD-RESTRICTED hash:ip,port family inet maxelem 1048576
		create FAIRLEAD-HEALTH hash:ip,port family inet maxelem 1048576
		create FAIRLEAD-LOCAL hash:ip,port family inet maxelem 1048576 skbinfo
		create FAIRLEAD-MASQ hash:ip,port family inet maxelem 1048576
		create FAIRLEAD-6-ALLOWED hash:ip,port,net family inet6 maxelem 1048576
		create FAIRLEAD-6-RESTRICTED hash:ip,port family inet6 maxelem 1048576
		create FAIRLEAD-6-HEALTH hash:ip,port family inet6 maxelem 1048576
		create FAIRLEAD-6-LOCAL hash:ip,port family inet6 maxelem 1048576 skbinfo
		create FAIRLEAD-6-MASQ hash:ip,port family inet6 maxelem 1048576
		create FAIRLEAD-SERVED hash:ip,port family inet maxelem 1048576
		create FAIRLEAD-VIP hash:ip family inet maxelem 1048576
		create FAIRLEAD-HAIRPIN hash:net,net family inet maxelem 1048576
		create FAIRLEAD-6-SERVED hash:ip,port family inet6 maxelem 1048576
		create FAIRLEAD-6-VIP hash:ip family inet6 maxelem 1048576
		create FAIRLEAD-6-HAIRPIN hash:net,net family inet6 maxelem 1048576`
	slices.Sort(got)
	if diff := cmp.Diff(slices.Sorted(slices.Values(lines(want))), got); diff != "" {
		t.Errorf("ipset save (-want +got):\n%s", diff)
	}
}

func TestASetOfAnotherKindIsAClearError(t *testing.T) {
	for name, args := range map[string]string{
		"another type":   "create FAIRLEAD-VIP hash:net",
		"another family": "create FAIRLEAD-VIP hash:ip family inet6",
	} {
		t.Run(name, func(t *testing.T) {
			k := openKernel(t)
			kerneltest.Run(t, "ipset", strings.Fields(args)...)
			_, err := k.EnsureSets()
			if err == nil || !strings.Contains(err.Error(), "FAIRLEAD-VIP") || !strings.Contains(err.Error(), "not a hash:ip for IPv4") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAFullSetIsAnErrorThatSaysSo(t *testing.T) {
	k := openKernel(t)
	kerneltest.Run(t, "ipset", "create", VIPs.Name(IPv4), VIPs.Type(), "maxelem", "2")
	ensureSets(t, k) // it is there already, and of the right kind
	errs := k.Apply(script(t, `
		add FAIRLEAD-VIP 10.96.0.1
		add FAIRLEAD-VIP 10.96.0.2
		add FAIRLEAD-VIP 10.96.0.3
		add FAIRLEAD-SERVED 10.96.0.3,tcp:80
		add FAIRLEAD-VIP 10.96.0.1`))
	if len(errs) != 5 || errs[0] != nil || errs[1] != nil || errs[3] != nil || errs[4] != nil {
		t.Fatalf("only the one too many is to fail: %v", errs)
	}
	if errs[2] == nil || !strings.Contains(errs[2].Error(), "the set is full") {
		t.Errorf("got %v", errs[2])
	}
}

func TestASetInUseIsNotDestroyedAndNamed(t *testing.T) {
	k := openKernel(t)
	ensureSets(t, k)
	kerneltest.Run(t, "iptables", "-A", "INPUT", "-m", "set", "--match-set", "FAIRLEAD-VIP", "dst")
	err := k.Remove(nil)
	if err == nil || !strings.Contains(err.Error(), "destroy ipset FAIRLEAD-VIP: the set is in use") {
		t.Errorf("got %v", err)
	}
	if left := kerneltest.Run(t, "ipset", "list", "-n"); left != "FAIRLEAD-VIP\n" {
		t.Errorf("left: %s", left)
	}
}

func TestSetsOfOthersSurvive(t *testing.T) {
	k := openKernel(t)
	kerneltest.Run(t, "ipset", "create", "KUBE-CLUSTER-IP", "hash:ip,port")
	kerneltest.Run(t, "ipset", "add", "KUBE-CLUSTER-IP", "10.96.0.1,tcp:443")
	before := kerneltest.Run(t, "ipset", "save")
	ensureSets(t, k)
	k.Apply(script(t, contract[0].script))
	if err := k.Remove(nil); err != nil {
		t.Fatal(err)
	}
	if after := kerneltest.Run(t, "ipset", "save"); after != before {
		t.Errorf("(-before +after):\n%s", cmp.Diff(before, after))
	}
}

// variants runs a test with each variant of iptables that is installed, found through PATH, in a
// namespace with sets.
func variants(t *testing.T, test func(*testing.T, *Linux)) {
	kerneltest.Want(t)
	for _, variant := range []string{"nft", "legacy"} {
		t.Run(variant, func(t *testing.T) {
			bin := t.TempDir()
			for _, tool := range []string{"iptables", "ip6tables"} {
				for _, suffix := range []string{"", "-save", "-restore"} {
					path, err := exec.LookPath(tool + "-" + variant + suffix)
					if err != nil {
						t.Fatal(err)
					}
					if err := os.Symlink(path, filepath.Join(bin, tool+suffix)); err != nil {
						t.Fatal(err)
					}
				}
			}
			t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
			kerneltest.Namespace(t)
			k := open(t)
			ensureSets(t, k)
			if got := k.tools[IPv4].path; got != filepath.Join(bin, "iptables") {
				t.Fatalf("uses %s", got)
			}
			test(t, k)
		})
	}
}

// rules is what iptables says about the tables that Fairlead writes to, without policies.
func rules(t testing.TB, f Family) string {
	t.Helper()
	tool := map[Family]string{IPv4: "iptables", IPv6: "ip6tables"}[f]
	var out strings.Builder
	for _, table := range []string{"mangle", "nat", "filter"} {
		out.WriteString("*" + table + "\n")
		for _, line := range lines(kerneltest.Run(t, tool, "-t", table, "-S")) {
			if !strings.HasPrefix(line, "-P ") {
				out.WriteString(line + "\n")
			}
		}
	}
	return out.String()
}

func restore(t testing.TB, commands string) {
	t.Helper()
	for _, line := range lines(commands) {
		kerneltest.Run(t, "iptables", strings.Fields(line)...)
	}
}

func ensureRules(t testing.TB, k Kernel, f Family, o Options) int {
	t.Helper()
	written, err := k.EnsureRules(map[Family][]Chain{f: Skeleton(f, o, k.RandomFully(f))})
	if err != nil {
		t.Fatal(err)
	}
	return written
}

func remove(t testing.TB, k Kernel) {
	t.Helper()
	if err := k.Remove(map[Family][]Chain{IPv4: Skeleton(IPv4, cidrs, true), IPv6: Skeleton(IPv6, cidrs, true)}); err != nil {
		t.Fatal(err)
	}
}

// numberOf counts the rules of a skeleton.
func numberOf(f Family, o Options) (n int) {
	for _, c := range Skeleton(f, o, true) {
		n += len(c.Rules)
	}
	return n
}

func TestRulesAreWrittenOnceAndRemoved(t *testing.T) {
	variants(t, func(t *testing.T, k *Linux) {
		for _, f := range k.Families() {
			if got, want := ensureRules(t, k, f, cidrs), numberOf(f, cidrs); got != want {
				t.Errorf("%s: %d rules written, want %d", f, got, want)
			}
			first := rules(t, f)
			kerneltest.Golden(t, "rules-"+f.String()+".txt", first)
			if got := ensureRules(t, k, f, cidrs); got != 0 {
				t.Errorf("%s: %d rules written again", f, got)
			}
			if again := rules(t, f); again != first {
				t.Errorf("%s: changed by nothing:\n%s", f, cmp.Diff(first, again))
			}
		}
		wantCopy(t, k)
		copied, err := Copy(k)
		if err != nil {
			t.Fatal(err)
		}
		copied.Restored = func(f Family, input string) { t.Errorf("%s: a copy lacks rules:\n%s", f, input) }
		for _, f := range k.Families() {
			ensureRules(t, copied, f, cidrs)
		}
		remove(t, k)
		for _, f := range k.Families() {
			if left := rules(t, f); left != "*mangle\n*nat\n*filter\n" {
				t.Errorf("%s: left behind:\n%s", f, left)
			}
		}
		if left := kerneltest.Run(t, "ipset", "list", "-n"); left != "" {
			t.Errorf("sets left behind: %s", left)
		}
	})
}

// foreign is what others have: a chain of theirs, rules around ours, and rules of the kubelet's in
// the chains that we share.
const foreign = `
	-t filter -N THEIRS
	-t filter -A THEIRS -s 192.0.2.1 -j DROP
	-t filter -A INPUT -j THEIRS
	-t filter -A FORWARD -m comment --comment fairleads -j ACCEPT
	-t nat -A PREROUTING -p tcp --dport 7 -j RETURN
	-t nat -A POSTROUTING -s 192.0.2.0/24 -j MASQUERADE
	-t nat -A OUTPUT -d 192.0.2.9 -j RETURN
	-t nat -N KUBE-MARK-MASQ
	-t nat -A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
	-t nat -N KUBE-POSTROUTING
	-t nat -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
	-t nat -A KUBE-POSTROUTING -j MASQUERADE`

func TestRulesOfOthersSurviveByteForByte(t *testing.T) {
	variants(t, func(t *testing.T, k *Linux) {
		restore(t, foreign)
		before := rules(t, IPv4)
		ensureRules(t, k, IPv4, cidrs)
		if diff := cmp.Diff(before, withoutOurs(rules(t, IPv4))); diff != "" {
			t.Errorf("while ours are there (-before +now):\n%s", diff)
		}
		remove(t, k)
		if diff := cmp.Diff(before, rules(t, IPv4)); diff != "" {
			t.Errorf("after ours went (-before +after):\n%s", diff)
		}
	})
}

// withoutOurs takes Fairlead's rules and chains out of a listing.
func withoutOurs(listing string) string {
	return strings.Join(slices.DeleteFunc(strings.SplitAfter(listing, "\n"), func(line string) bool {
		return strings.Contains(line, `"fairlead: `) || strings.HasPrefix(line, "-N FAIRLEAD-")
	}), "")
}

func TestOursComeBackOnTopAndOthersStayBetween(t *testing.T) {
	variants(t, func(t *testing.T, k *Linux) {
		ensureRules(t, k, IPv4, cidrs)
		restore(t, `
			-t filter -I INPUT 1 -s 192.0.2.1 -j ACCEPT
			-t filter -A INPUT -s 192.0.2.2 -j ACCEPT
			-t nat -I KUBE-POSTROUTING 1 -s 192.0.2.3 -j RETURN
			-t nat -I KUBE-POSTROUTING 3 -s 192.0.2.4 -j RETURN
			-t nat -A KUBE-POSTROUTING -s 192.0.2.5 -j RETURN`)
		before := rules(t, IPv4)
		if written := ensureRules(t, k, IPv4, cidrs); written != 0 {
			t.Errorf("%d rules written because of others", written)
		}
		if diff := cmp.Diff(before, rules(t, IPv4)); diff != "" {
			t.Errorf("(-before +after):\n%s", diff)
		}
		// One of ours goes from the middle, and a whole chain is flushed.
		restore(t, `
			-t nat -D KUBE-POSTROUTING 4
			-t filter -F INPUT
			-t filter -A INPUT -s 192.0.2.6 -j ACCEPT`)
		theirs := withoutOurs(rules(t, IPv4))
		if written, want := ensureRules(t, k, IPv4, cidrs), 4+1; written != want {
			t.Errorf("%d rules written, want %d", written, want)
		}
		after := rules(t, IPv4)
		if diff := cmp.Diff(theirs, withoutOurs(after)); diff != "" {
			t.Errorf("others' (-before +after):\n%s", diff)
		}
		for _, chain := range []string{"INPUT", "KUBE-POSTROUTING"} {
			if first := firstRule(after, chain); !strings.Contains(first, `"fairlead: `) {
				t.Errorf("first in %s: %s", chain, first)
			}
		}
		if got, want := strings.Count(after, `"fairlead: `), numberOf(IPv4, cidrs); got != want {
			t.Errorf("%d rules of ours, want %d", got, want)
		}
	})
}

func firstRule(listing, chain string) string {
	for _, line := range lines(listing) {
		if strings.HasPrefix(line, "-A "+chain+" ") {
			return line
		}
	}
	return ""
}

func TestChangedOptionsReplaceRules(t *testing.T) {
	variants(t, func(t *testing.T, k *Linux) {
		restore(t, foreign)
		theirs := rules(t, IPv4)
		unknown := Options{MasqueradeBit: 14, Marks: marks, Pods: Pods{Unknown: true}}
		ensureRules(t, k, IPv4, unknown)
		if got, want := strings.Count(rules(t, IPv4), `"fairlead: `), numberOf(IPv4, unknown); got != want {
			t.Errorf("%d rules before it is known what a pod is, want %d", got, want)
		}
		for _, o := range []Options{cidrs, {MasqueradeBit: 15}, {MasqueradeBit: 15, MasqueradeAll: true}, cidrs} {
			if written := ensureRules(t, k, IPv4, o); written == 0 {
				t.Errorf("%+v: nothing written", o)
			}
			now := rules(t, IPv4)
			if got, want := strings.Count(now, `"fairlead: `), numberOf(IPv4, o); got != want {
				t.Errorf("%+v: %d rules of ours, want %d:\n%s", o, got, want, now)
			}
			if diff := cmp.Diff(theirs, withoutOurs(now)); diff != "" {
				t.Errorf("%+v: others' (-before +after):\n%s", o, diff)
			}
			if written := ensureRules(t, k, IPv4, o); written != 0 {
				t.Errorf("%+v: %d rules written again", o, written)
			}
		}
		if written := ensureRules(t, k, IPv4, unknown); written != 0 {
			t.Errorf("%d rules written for want of knowledge", written)
		}
	})
}

// TestRulesThatChangedSinceTheyWereListedAreLeftAlone: another program, such as a network plugin, comes
// between the listing and the writing. Only a number would hit the wrong rule.
func TestRulesThatChangedSinceTheyWereListedAreLeftAlone(t *testing.T) {
	for name, meanwhile := range map[string]string{
		"ours go and others come": `
			-t nat -F KUBE-POSTROUTING
			-t nat -A KUBE-POSTROUTING -s 192.0.2.1 -j RETURN
			-t nat -A KUBE-POSTROUTING -s 192.0.2.2 -j RETURN
			-t nat -A KUBE-POSTROUTING -s 192.0.2.3 -j RETURN
			-t nat -A KUBE-POSTROUTING -s 192.0.2.4 -j RETURN`,
		"others come before ours": `
			-t nat -I KUBE-POSTROUTING 1 -s 192.0.2.1 -j RETURN
			-t nat -I KUBE-POSTROUTING 3 -s 192.0.2.2 -j RETURN`,
		"a chain comes that was missing": `
			-t filter -N FAIRLEAD-INPUT
			-t filter -A FAIRLEAD-INPUT -s 192.0.2.1 -j RETURN`,
	} {
		t.Run(name, func(t *testing.T) {
			variants(t, func(t *testing.T, k *Linux) {
				ensureRules(t, k, IPv4, cidrs)
				restore(t, `
					-t filter -F INPUT
					-t filter -F FAIRLEAD-INPUT
					-t filter -X FAIRLEAD-INPUT`)
				listed, failed := k.rules([]Family{IPv4})
				if len(failed) > 0 {
					t.Fatal(failed)
				}
				now := listed[IPv4]
				changed := cidrs
				changed.MasqueradeBit = 15
				input, _ := ensureInput(Skeleton(IPv4, changed, true), now)
				restore(t, meanwhile)
				theirs := withoutOurs(rules(t, IPv4))
				err := k.restore(map[Family]string{IPv4: input})[IPv4]
				if want := name != "others come before ours"; (err != nil) != want {
					t.Errorf("error %v, wanted one: %v", err, want)
				}
				if diff := cmp.Diff(theirs, withoutOurs(rules(t, IPv4))); diff != "" {
					t.Errorf("others' (-before +after):\n%s", diff)
				}
				ensureRules(t, k, IPv4, changed)
				all := rules(t, IPv4)
				if got, want := strings.Count(all, `"fairlead: `), numberOf(IPv4, changed); got != want {
					t.Errorf("after the next try %d rules of ours, want %d:\n%s", got, want, all)
				}
				if diff := cmp.Diff(theirs, withoutOurs(all)); diff != "" {
					t.Errorf("others' after the next try (-before +after):\n%s", diff)
				}
			})
		})
	}
}

// TestRulesThatAreThereTwiceAreThereOnceThen: someone has restored a saved listing on top.
func TestRulesThatAreThereTwiceAreThereOnceThen(t *testing.T) {
	variants(t, func(t *testing.T, k *Linux) {
		for _, f := range k.Families() {
			ensureRules(t, k, f, cidrs)
			once := rules(t, f)
			listed, failed := k.rules([]Family{f})
			if len(failed) > 0 {
				t.Fatal(failed)
			}
			now := listed[f]
			var again strings.Builder
			for table, chains := range now {
				again.WriteString("*" + table + "\n")
				for chain, rules := range chains.Rules {
					for _, rule := range append(rules, rules...) {
						again.WriteString("-A " + chain + " " + rule + "\n")
					}
				}
				again.WriteString("COMMIT\n")
			}
			if err := k.restore(map[Family]string{f: again.String()})[f]; err != nil {
				t.Fatal(err)
			}
			if got, want := strings.Count(rules(t, f), `"fairlead: `), 3*numberOf(f, cidrs); got != want {
				t.Fatalf("%s: %d rules for the test, want %d", f, got, want)
			}
			ensureRules(t, k, f, cidrs)
			if diff := cmp.Diff(once, rules(t, f)); diff != "" {
				t.Errorf("%s: (-once +again):\n%s", f, diff)
			}
		}
	})
}

func TestAChainThatOthersLeadToIsEmptiedAndStays(t *testing.T) {
	variants(t, func(t *testing.T, k *Linux) {
		ensureRules(t, k, IPv4, cidrs)
		restore(t, `
			-t nat -F FAIRLEAD-SERVICES
			-t filter -A FORWARD -s 192.0.2.1 -j FAIRLEAD-INPUT`)
		err := k.Remove(map[Family][]Chain{IPv4: Skeleton(IPv4, Options{}, true)})
		if err == nil || !strings.Contains(err.Error(), "IPv4: a rule of somebody else's leads to filter FAIRLEAD-INPUT") {
			t.Errorf("got %v", err)
		}
		want := "*mangle\n*nat\n*filter\n-N FAIRLEAD-INPUT\n-A FORWARD -s 192.0.2.1/32 -j FAIRLEAD-INPUT\n"
		if diff := cmp.Diff(want, rules(t, IPv4)); diff != "" {
			t.Errorf("left (-want +got):\n%s", diff)
		}
		if left := kerneltest.Run(t, "ipset", "list", "-n"); left != "" {
			t.Errorf("sets left behind: %s", left)
		}
	})
}

func TestAnEmptyChainOfTheKubeletsStays(t *testing.T) {
	variants(t, func(t *testing.T, k *Linux) {
		restore(t, "-t nat -N KUBE-MARK-MASQ\n-t nat -N KUBE-POSTROUTING")
		before := rules(t, IPv4)
		remove(t, k)
		if diff := cmp.Diff(before, rules(t, IPv4)); diff != "" {
			t.Errorf("(-before +after):\n%s", diff)
		}
	})
}

func TestAMissingProgramIsAClearError(t *testing.T) {
	kerneltest.Namespace(t)
	t.Setenv("PATH", t.TempDir())
	if _, err := Open(); err == nil || !strings.Contains(err.Error(), "find iptables for IPv") {
		t.Errorf("got %v", err)
	}
}

func TestRulesThatNobodyHasTouchedAreNotLookedAt(t *testing.T) {
	variants(t, func(t *testing.T, k *Linux) {
		all := map[Family][]Chain{IPv4: Skeleton(IPv4, cidrs, true), IPv6: Skeleton(IPv6, cidrs, true)}
		for range 2 { // written, and then seen to be right
			if _, err := k.EnsureRules(all); err != nil {
				t.Fatal(err)
			}
		}
		tools := maps.Clone(k.tools)
		for f := range k.tools {
			k.tools[f] = tool{path: "/none"}
		}
		_, err := k.EnsureRules(all)
		if legacy := !k.nft; (err != nil) != legacy {
			t.Errorf("without programs, legacy %v: got %v", legacy, err)
		}
		changed := cidrs
		changed.MasqueradeAll = !changed.MasqueradeAll
		if _, err := k.EnsureRules(map[Family][]Chain{IPv4: Skeleton(IPv4, changed, true)}); err == nil {
			t.Error("other rules were thought to be there")
		}
		k.tools = tools
		kerneltest.Run(t, "ip6tables", "-t", "nat", "-F", "KUBE-POSTROUTING")
		if written, err := k.EnsureRules(all); written == 0 || err != nil {
			t.Errorf("after a flush %d rules were written: %v", written, err)
		}
	})
}
