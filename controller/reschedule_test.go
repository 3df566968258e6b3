package controller

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// restricted is a rig with a plain Service, and one that leads clients from outside aside and lets only some in.
func restricted(t *testing.T) *rig {
	r := newRig(t)
	r.plain(1, endpoints(endpoint(1)))
	r.lbWith(2, sources("198.51.100.0/24", "203.0.113.0/24"))
	r.round()
	return r
}

// reschedule has every virtual server of the rig get another scheduler. It returns those that do, in order.
func (r *rig) reschedule(scheduler string, see func(ipvs.Key) error) (edited []ipvs.Key) {
	r.ipvs.Fail = func(op ipvs.Op) error {
		if op.Verb != ipvs.EditServer || op.Server.Scheduler != scheduler {
			r.t.Errorf("ipvsadm %s", op)
		}
		edited = append(edited, op.Key)
		return see(op.Key)
	}
	r.reconfigure(func(o *Options) { o.Scheduler = scheduler })
	r.ipvs.Fail = nil
	return edited
}

// TestNobodyConnectsWhileTheSchedulerChanges: the kernel would refuse them.
func TestNobodyConnectsWhileTheSchedulerChanges(t *testing.T) {
	r := restricted(t)
	before, servers := r.kernel(), r.ipvs.Dump()
	edited := r.reschedule("wlc", func(k ipvs.Key) error {
		entries, _ := r.masq.Entries()
		frontends := []ipvs.Key{k}
		if byMark(k) {
			frontends = nil
			for e, mark := range entries {
				if e.Set == masq.Local && mark == k.Mark {
					frontends = append(frontends, keyOf(e))
				}
			}
			if len(frontends) < 2 {
				t.Errorf("%s: frontends %v", k, frontends)
			}
		}
		for _, f := range frontends {
			if _, there := entries[frontend(masq.Restricted, f)]; !there {
				t.Errorf("%s: %s is not restricted", k, f)
			}
			for e := range entries {
				if e.Set == masq.Allowed && keyOf(e) == f {
					t.Errorf("%s: %s lets %s in", k, f, e.Source)
				}
			}
		}
		return nil
	})
	if want := strings.Count(servers, "-A "); len(edited) != want {
		t.Errorf("edited %v, want all %d", edited, want)
	}
	if got, want := r.kernel(), strings.ReplaceAll(before, "-s rr", "-s wlc"); got != want {
		t.Errorf("the kernel holds\n%s\nwant\n%s", got, want)
	}
}

// TestAChangeDoesNotWaitForSchedulers, of which the kernel changes 50 to 100 per second: it is served when the one is
// done that is being changed, also at a virtual server that waits.
func TestAChangeDoesNotWaitForSchedulers(t *testing.T) {
	const services = 20
	r := rigWith(t, services)
	edited := r.reschedule("wlc", func(ipvs.Key) error {
		if r.c.dirty.len() == 0 {
			r.plain(services-1, endpoints(endpoint(1), endpoint(2)), annotated("fairlead.io/scheduler", "lc"))
		}
		return nil
	})
	if len(edited) != 1 || !r.c.rescheduling {
		t.Fatalf("edited %v; goes on: %v", edited, r.c.rescheduling)
	}
	if len(r.c.ipvs.Reschedules()) != services-1 {
		t.Errorf("%d wait", len(r.c.ipvs.Reschedules()))
	}
	r.round()
	table := r.ipvs.Dump()
	if !strings.Contains(table, fmt.Sprintf("-r %s:8080", endpoint(2))) {
		t.Errorf("the table is\n%s", table)
	}
	if r.c.rescheduling || strings.Count(table, "-s wlc\n") != services-1 || strings.Count(table, "-s lc\n") != 1 {
		t.Errorf("goes on: %v; the table is\n%s", r.c.rescheduling, table)
	}
}

// TestARoundDoesNotChangeSchedulersForLong: whoever looks after the daemon would believe that it hangs.
func TestARoundDoesNotChangeSchedulersForLong(t *testing.T) {
	const services = 5
	r := rigWith(t, services)
	r.c.longest = 0
	r.reconfigure(func(o *Options) { o.Scheduler = "wlc" })
	rounds := 1
	for ; r.c.rescheduling && rounds < 2*services; rounds++ {
		r.round()
	}
	if table := r.ipvs.Dump(); rounds != services || strings.Contains(table, "-s rr\n") {
		t.Errorf("%d rounds; the table is\n%s", rounds, table)
	}
}

// TestWhatKeepsClientsAwayGoesAgain, whatever fails.
func TestWhatKeepsClientsAwayGoesAgain(t *testing.T) {
	r := restricted(t)
	want := strings.ReplaceAll(r.kernel(), "-s rr", "-s wlc")
	writes := 0
	r.masq.Fail = func(masq.Op) error { writes++; return nil }
	r.reschedule("wlc", func(ipvs.Key) error { return nil })
	if got := r.kernel(); got != want {
		t.Fatalf("the kernel holds\n%s\nwant\n%s", got, want)
	}
	for failing := range writes {
		r := restricted(t)
		n := 0
		r.masq.Fail = func(masq.Op) error {
			if n++; n == failing+1 {
				return syscall.ENOMEM
			}
			return nil
		}
		r.reschedule("wlc", func(ipvs.Key) error { return nil })
		r.masq.Fail = nil
		r.later(lastRetry)
		r.later(lastRetry)
		if got := r.kernel(); got != want {
			t.Errorf("write %d failed: the kernel holds\n%s\nwant\n%s", failing, got, want)
		}
	}
}

// TestASchedulerThatIsRefusedIsTriedAgain, and its virtual server serves meanwhile.
func TestASchedulerThatIsRefusedIsTriedAgain(t *testing.T) {
	r := restricted(t)
	before := r.kernel()
	edited := r.reschedule("wlc", func(ipvs.Key) error { return syscall.ENOMEM })
	if got := r.kernel(); got != before {
		t.Errorf("the kernel holds\n%s\nwant\n%s", got, before)
	}
	if slices.SortFunc(edited, ipvs.Key.Compare); len(slices.Compact(edited)) != strings.Count(before, "-A ") {
		t.Errorf("tried %v", edited)
	}
	r.set(service("other", "10.96.99.99", func(*corev1.Service) {}), endpoints("10.1.9.9"))
	messages := r.messages()
	r.round()
	if got := r.messages() - messages; got != 5 {
		t.Errorf("%d messages for another Service: what fails waits for its time", got)
	}
	r.later(lastRetry)
	if strings.Contains(r.ipvs.Dump(), "-s rr\n") {
		t.Errorf("the table is\n%s", r.ipvs.Dump())
	}
}
