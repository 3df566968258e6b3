package controller

import (
	"cmp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/internal/fwmark"
	"github.com/fairlead-lb/fairlead/ipvs"
)

// TestAMarkLeadsOnlyWhereItsServerIs: traffic with a mark that no virtual server is for falls through to
// the plain one, un-masqueraded.
func TestAMarkLeadsOnlyWhereItsServerIs(t *testing.T) {
	r := newRig(t)
	r.refuse(withMarks("-A -f M1 -6 -s rr"))
	svc := service("web", "10.96.0.10", loadBalancer("203.0.113.1", "2001:db8::7"), externalLocal, dualStack("fd00:96::10"))
	r.set(svc, bothFamilies()...)
	r.round()
	if text := r.masq.Dump(); !strings.Contains(text, "FAIRLEAD-LOCAL") || strings.Contains(text, "FAIRLEAD-6-LOCAL") {
		t.Errorf("only the server for IPv4 is there; the sets:\n%s", text)
	}
	if text := r.kernel(); strings.Contains(text, "-t [2001:db8::7]:80") || strings.Contains(text, "inet6 2001:db8::7") {
		t.Errorf("a virtual server is there before its entries:\n%s", text)
	}
	r.refuse("")
	r.later(time.Minute)
	if text := r.kernel(); !strings.Contains(text, "FAIRLEAD-6-LOCAL 2001:db8::7,tcp:80") || !strings.Contains(text, "inet6 2001:db8::7") {
		t.Errorf("after the retry:\n%s", text)
	}
}

// TestOneFamilyOfALocalServiceGoes while the other one still has the mark.
func TestOneFamilyOfALocalServiceGoes(t *testing.T) {
	r := newRig(t)
	svc := service("web", "10.96.0.10", loadBalancer("203.0.113.1", "2001:db8::7"), externalLocal, dualStack("fd00:96::10"))
	r.set(svc, bothFamilies()...)
	r.round()
	r.set(svc, here(endpoints("10.1.0.1")), endpoints("10.1.0.2"), endpoints("fd00:1::2"))
	r.round()
	r.drained()
	if text := r.ipvs.Dump(); strings.Contains(text, " -6 ") || !strings.Contains(text, withMarks("-A -f M1 -s rr")) {
		t.Errorf("no endpoint of IPv6 is here any more, and the kernel holds\n%s", text)
	}
	r.mustBeFresh("in the end")
}

// TestForeignServersByMarkAreLeftAlone, also when they are not even far from ours.
func TestForeignServersByMarkAreLeftAlone(t *testing.T) {
	r := newRig(t)
	foreign := []ipvs.Key{ipvs.MarkKey(1, false), ipvs.MarkKey(0x50004002, true), ipvs.MarkKey(0x51000000|1<<31, false)}
	for _, k := range foreign {
		r.ipvs.Apply([]ipvs.Op{
			{Verb: ipvs.AddServer, Key: k, Server: ipvs.VirtualServer{Scheduler: "lc"}},
			{Verb: ipvs.AddReal, Key: k, Real: r.real("192.0.2.99:1"), Value: ipvs.RealServer{Weight: 5}},
		})
	}
	held := r.kernel()
	r.set(localService(0), bothFamilies()...)
	r.restart()
	r.remove(named("local0"))
	r.restart()
	r.later(2 * time.Hour)
	r.drained()
	if r.kernel() != held {
		t.Errorf("the kernel holds\n%s\nwant\n%s", r.kernel(), held)
	}
}

// TestAServerLeftByAnEarlierRangeGoes: the entry that leads there says that it is Fairlead's.
func TestAServerLeftByAnEarlierRangeGoes(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Masq.Marks = fwmark.Range{Base: 0x60000000, Mask: 0xff} })
	r.set(localService(0), bothFamilies()...)
	r.round()
	r.options = func(*Options) {}
	r.restart()
	r.drained()
	r.mustBeFresh("in the end")
}

// TestAFullSetIsAnErrorThatIsSeen, and what should be behind it is not there without it.
func TestAFullSetIsAnErrorThatIsSeen(t *testing.T) {
	for _, refused := range []string{"LOCAL ", "MASQ ", "RESTRICTED ", "ALLOWED ", "SERVED ", "VIP ", "RESTRICTED 10.96.0.10"} {
		r := newRig(t)
		r.refuse("add FAIRLEAD-" + refused)
		set, at, _ := strings.Cut(refused, " ")
		edits := []func(*corev1.Service){loadBalancer("203.0.113.1"), sources("198.51.100.0/24"), internalLocal}
		if set == "LOCAL" {
			edits = append(edits, externalLocal)
		}
		at = cmp.Or(at, "203.0.113.1")
		r.set(service("web", "10.96.0.10", edits...), endpoints("10.1.0.2"))
		r.round()
		r.later(time.Minute)
		if text := r.ipvs.Dump(); set != "VIP" && strings.Contains(text, at) {
			t.Errorf("the set %s is full, and yet:\n%s", set, text)
		}
		if text := r.dummyif.Dump(); strings.Contains(text, at) {
			t.Errorf("the set %s is full, and bound: %s", set, text)
		}
		if !strings.Contains(r.log.String(), "add FAIRLEAD-"+set+" "+at) || !strings.Contains(r.log.String(), "level=ERROR") {
			t.Errorf("the set %s is full, and the log says\n%s", set, r.log)
		}
		if n := r.c.masq.Pending(); n == 0 {
			t.Errorf("the set %s is full, and nothing is pending", set)
		}
		r.refuse("")
		r.later(time.Minute)
		if got, want := renamed(r.kernel()), freshly(r.c); got != want {
			t.Errorf("when there is room in %s again, the kernel holds\n%s\nwant\n%s", set, got, want)
		}
	}
}
