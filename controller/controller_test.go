package controller

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestServiceIsServedAndGoesWithoutATrace(t *testing.T) {
	r := newRig(t)
	empty := r.kernel()
	name := r.set(service("web", "10.96.0.10"), here(endpoints("10.1.0.1", "10.1.0.2")))
	r.round()
	r.mustHold(`
		-A -t 10.96.0.10:80 -s rr
		-a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1
		-a -t 10.96.0.10:80 -r 10.1.0.2:8080 -m -w 1
		add FAIRLEAD-VIP 10.96.0.10
		add FAIRLEAD-SERVED 10.96.0.10,tcp:80
		add FAIRLEAD-HAIRPIN 10.1.0.1,10.1.0.1
		add FAIRLEAD-HAIRPIN 10.1.0.2,10.1.0.2
		inet 10.96.0.10/32 scope host
	`)
	r.remove(name)
	r.round()
	r.drained()
	r.mustHold(empty)
}

func TestRemovedServiceStaysReachableWhileItDrains(t *testing.T) {
	r := newRig(t)
	name := r.set(service("web", "10.96.0.10"), endpoints("10.1.0.1"))
	r.round()
	key := r.key("10.96.0.10:80", ipvs.TCP)
	r.ipvs.SetConnections(key, r.real("10.1.0.1:8080"), 1)
	r.remove(name)
	r.round()
	r.later(time.Minute)
	draining := `
		-A -t 10.96.0.10:80 -s rr
		-a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 0
		add FAIRLEAD-VIP 10.96.0.10
		add FAIRLEAD-SERVED 10.96.0.10,tcp:80
		inet 10.96.0.10/32 scope host
	`
	r.mustHold(draining)
	r.restart() // the drain is not lost
	r.later(time.Minute)
	r.mustHold(draining)
	r.ipvs.SetConnections(key, r.real("10.1.0.1:8080"), 0)
	r.later(time.Minute)
	r.mustHold("")
}

func TestReturningServiceGetsItsWeightBackInPlace(t *testing.T) {
	r := newRig(t)
	name := r.set(service("web", "10.96.0.10"), endpoints("10.1.0.1"))
	r.round()
	r.ipvs.SetConnections(r.key("10.96.0.10:80", ipvs.TCP), r.real("10.1.0.1:8080"), 1)
	r.remove(name)
	r.round()
	r.set(service("web", "10.96.0.10"), endpoints("10.1.0.1"))
	before := r.messages()
	r.round()
	if got := r.messages() - before; got != 1 {
		t.Errorf("a returning Service cost %d messages, want 1: its weight", got)
	}
	r.mustHold(`
		-A -t 10.96.0.10:80 -s rr
		-a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1
		add FAIRLEAD-VIP 10.96.0.10
		add FAIRLEAD-SERVED 10.96.0.10,tcp:80
		inet 10.96.0.10/32 scope host
	`)
}

func TestUDPServiceGoesAtOnce(t *testing.T) {
	r := newRig(t)
	name := r.set(service("dns", "10.96.0.10", udp), endpoints("10.1.0.1"))
	r.round()
	r.ipvs.SetConnections(r.key("10.96.0.10:80", ipvs.UDP), r.real("10.1.0.1:8080"), 1)
	r.remove(name)
	r.round()
	r.mustHold("")
}

func TestRestartWritesNothing(t *testing.T) {
	r := newRig(t)
	for n := range 20 {
		r.set(service("web"+vip(n), vip(n)), here(endpoints(endpoint(n))))
	}
	r.round()
	held := r.kernel()
	r.ipvs.Record = true
	addresses, sets := r.dummyif.Writes, r.masq.Writes
	r.restart()
	if len(r.ipvs.Writes) != 0 || r.dummyif.Writes != addresses || r.masq.Writes != sets {
		t.Errorf("restart wrote: ipvs %v, dummyif %d, masq %d", r.ipvs.Writes, r.dummyif.Writes-addresses, r.masq.Writes-sets)
	}
	r.mustHold(held)
}

func TestRestartRemovesWhatWentMeanwhileAndNothingForeign(t *testing.T) {
	r := newRig(t)
	foreign := r.key("192.0.2.7:80", ipvs.TCP)
	r.ipvs.Apply([]ipvs.Op{{Verb: ipvs.AddServer, Key: foreign, Server: ipvs.VirtualServer{Scheduler: "wlc"}}})
	name := r.set(service("web", "10.96.0.10"), endpoints("10.1.0.1"))
	r.round()
	delete(r.world.services, name)
	delete(r.world.slices, name)
	r.restart()
	r.drained()
	r.mustHold("-A -t 192.0.2.7:80 -s wlc\n")
}

func TestNothingIsPrunedUntilTheSourceIsComplete(t *testing.T) {
	r := newRig(t)
	name := r.set(service("web", "10.96.0.10", udp), endpoints("10.1.0.1"))
	r.round()
	held := r.kernel()
	r.complete = false
	r.remove(name)
	r.round()
	r.mustHold(held)
	r.complete = true
	r.round()
	r.mustHold("")
}

func TestOlderServiceKeepsASharedVIPAndTheYoungerTakesOver(t *testing.T) {
	r := newRig(t)
	young := r.set(service("a-young", "10.96.0.10", created(time.Unix(200, 0))), endpoints("10.1.0.2"))
	r.round()
	old := r.set(service("z-old", "10.96.0.10", created(time.Unix(100, 0))), endpoints("10.1.0.1"))
	r.round()
	r.drained()
	const rest = `
		add FAIRLEAD-VIP 10.96.0.10
		add FAIRLEAD-SERVED 10.96.0.10,tcp:80
		inet 10.96.0.10/32 scope host
	`
	r.mustHold("-A -t 10.96.0.10:80 -s rr\n-a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1" + rest)
	for _, want := range []string{"ns/a-young", "ns/z-old", "tcp 10.96.0.10:80"} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("the log does not name %s:\n%s", want, r.log)
		}
	}
	r.remove(old)
	r.round()
	r.drained()
	r.mustHold("-A -t 10.96.0.10:80 -s rr\n-a -t 10.96.0.10:80 -r 10.1.0.2:8080 -m -w 1" + rest)
	r.remove(young)
	r.round()
	r.drained()
	r.mustHold("")
}

func TestDriftIsFoundByTheAuditAndHealed(t *testing.T) {
	r := newRig(t)
	r.set(service("web", "10.96.0.10"), endpoints("10.1.0.1", "10.1.0.2"))
	r.round()
	held := r.kernel()
	key := r.key("10.96.0.10:80", ipvs.TCP)
	r.ipvs.Apply([]ipvs.Op{{Verb: ipvs.DeleteServer, Key: key}}) // ipvsadm -C
	r.masq.Apply([]masq.Op{{Delete: true, Entry: served(key)}})  // ipset flush
	r.later(2 * time.Hour)
	r.mustHold(held)
	if !strings.Contains(r.log.String(), "not as Fairlead left it") {
		t.Errorf("the log says nothing of drift:\n%s", r.log)
	}
}

func TestDriftMetByAWriteIsHealedByTheRetry(t *testing.T) {
	r := newRig(t)
	r.set(service("web", "10.96.0.10"), endpoints("10.1.0.1"))
	r.round()
	r.ipvs.Apply([]ipvs.Op{{Verb: ipvs.DeleteServer, Key: r.key("10.96.0.10:80", ipvs.TCP)}})
	r.set(service("web", "10.96.0.10"), endpoints("10.1.0.1", "10.1.0.2"))
	r.round() // adds a real server to what is not there
	r.round()
	if got := r.ipvs.Dump(); strings.Count(got, "\n") != 3 {
		t.Errorf("after the retry the kernel holds\n%s", got)
	}
}

func TestARefusedServiceKeepsNobodyElseWaiting(t *testing.T) {
	r := newRig(t)
	bad := r.key("10.96.0.66:80", ipvs.TCP)
	r.ipvs.Fail = func(op ipvs.Op) error {
		if op.Key == bad {
			return errors.New("refused")
		}
		return nil
	}
	r.set(service("bad", "10.96.0.66"), endpoints("10.1.0.1"))
	r.set(service("good", "10.96.0.10"), endpoints("10.1.0.1"))
	r.round()
	if got := r.dummyif.Dump(); got != "inet 10.96.0.10/32 scope host\n" {
		t.Errorf("bound: %s; a VIP without a virtual server must not be, the other one must", got)
	}
	if _, healthy := r.c.Health.Check(time.Now()); !healthy {
		t.Error("one refused Service makes the node unhealthy")
	}
	if !strings.Contains(r.log.String(), "tcp 10.96.0.66:80") && !strings.Contains(r.log.String(), "-t 10.96.0.66:80") {
		t.Errorf("the log does not name the virtual server:\n%s", r.log)
	}
	r.ipvs.Fail = nil
	r.later(lastRetry)
	if got := r.dummyif.Dump(); strings.Count(got, "\n") != 2 {
		t.Errorf("after the retry, bound: %s", got)
	}
}

// TestWhatIsRefusedCostsAChangeNothing: it is tried again by itself, or when its own Service changes.
func TestWhatIsRefusedCostsAChangeNothing(t *testing.T) {
	const many = 100
	r := newRig(t)
	r.ipvs.Fail = func(op ipvs.Op) error {
		if op.Verb == ipvs.AddServer {
			return errors.New("no memory")
		}
		return nil
	}
	for n := range many {
		r.set(service("web"+vip(n), vip(n)), endpoints(endpoint(n)))
	}
	r.round()
	if r.c.trigger.round.patience == 0 {
		t.Fatal("nothing failed")
	}
	cost := func(what string, want int, do func()) {
		t.Helper()
		before := r.messages()
		do()
		r.round()
		if got := r.messages() - before; got != want {
			t.Errorf("%s: %d messages, want %d", what, got, want)
		}
		if r.c.record.lastError == nil || !r.c.record.lastError.Current {
			t.Errorf("%s: nothing fails any more", what)
		}
	}
	retry := r.c.trigger.round
	cost("another Service: two entries, its virtual server, which fails, too, and its real server", 4, func() {
		r.set(service("other", "10.127.0.1"), endpoints("10.1.0.1"))
	})
	cost("one that failed", 3, func() { r.set(service("web"+vip(0), vip(0)), endpoints(endpoint(0), endpoint(1))) })
	if r.c.trigger.round != retry {
		t.Errorf("changes put off the retry from %v to %v", retry, r.c.trigger.round)
	}
	r.ipvs.Fail = nil
	r.later(lastRetry)
	r.mustBeFresh("it works again")
	if r.c.trigger.round.patience != 0 || r.c.record.lastError.Current {
		t.Error("something still fails")
	}
}

// TestWhatCannotBeDeletedCostsAChangeNothing: nor what gets no weight 0. Each Service that goes has something that the kernel
// refuses to let go.
func TestWhatCannotBeDeletedCostsAChangeNothing(t *testing.T) {
	const many = 100
	for _, refused := range []string{"-e -t", "-d -t", "-D -t", "del FAIRLEAD-SERVED", "del FAIRLEAD-VIP", "addr del"} {
		t.Run(refused, func(t *testing.T) {
			r := newRig(t)
			for n := range many {
				r.set(service("web"+vip(n), vip(n)), endpoints(endpoint(n), "10.1.0.1"))
			}
			r.round()
			r.refuse(refused)
			for n := range many {
				if refused == "-d -t" { // of a virtual server that stays
					r.set(service("web"+vip(n), vip(n)), endpoints(endpoint(n)))
				} else {
					r.remove(named("web" + vip(n)))
				}
			}
			r.round()
			r.drained()
			if r.c.trigger.round.patience == 0 {
				t.Fatal("nothing failed")
			}
			before := r.messages()
			r.set(service("other", "10.127.0.1"), endpoints("10.1.0.1"))
			r.round()
			const want = 5 // two entries, a virtual server, its real server, a binding
			if got := r.messages() - before; got != want {
				t.Errorf("a change of another Service costs %d messages, not %d", got, want)
			}
			r.refuse("")
			r.later(lastRetry)
			r.drained()
			r.mustBeFresh("it works again")
		})
	}
}

// TestWhatIsRefusedIsNotTriedWithEachPortion: where every VIP is refused, a first round must not cost the square of
// their number.
func TestWhatIsRefusedIsNotTriedWithEachPortion(t *testing.T) {
	r := emptyRig(newWorld())
	r.t = t
	r.start()
	const services = 5 * portionSize
	for n := range services {
		r.set(service("web"+vip(n), vip(n)), endpoints(endpoint(n)))
	}
	tried := map[string]int{}
	r.dummyif.Fail = func(op dummyif.Op) error {
		tried[op.String()]++
		return errors.New("refused")
	}
	r.round()
	if len(tried) != services {
		t.Errorf("%d bindings were tried, not %d", len(tried), services)
	}
	for op, times := range tried {
		if times > 1 {
			t.Fatalf("%s was tried %d times in one round", op, times)
		}
	}
	r.dummyif.Fail = nil
	r.later(lastRetry)
	if n := strings.Count(r.dummyif.Dump(), "\n"); n != services {
		t.Errorf("%d bound after the retry", n)
	}
}

func TestTheAPIServerAndDNSComeFirstAtAColdStart(t *testing.T) {
	r := emptyRig(newWorld())
	r.t, r.ipvs.Record = t, true
	r.start()
	for n := range 3 * portionSize {
		r.set(service("web"+vip(n), vip(n)), endpoints(endpoint(n)))
	}
	api := service("kubernetes", "10.127.0.1")
	api.ObjectMeta = metav1.ObjectMeta{Namespace: "default", Name: "kubernetes"}
	dns := service("kube-dns", "10.127.0.10")
	dns.ObjectMeta = metav1.ObjectMeta{Namespace: "kube-system", Name: "kube-dns"}
	r.set(api, endpoints("10.1.0.1"))
	r.set(dns, endpoints("10.1.0.1"))
	r.round()
	for _, addr := range []string{"10.127.0.1:80", "10.127.0.10:80"} {
		at := -1
		for i, op := range r.ipvs.Writes {
			if op.Verb == ipvs.AddServer && op.Key == r.key(addr, ipvs.TCP) {
				at = i
			}
		}
		if at < 0 || at > 2 {
			t.Errorf("%s was write %d of %d, not one of the first", addr, at, len(r.ipvs.Writes))
		}
	}
}

func TestNodeCIDRFollowsTheNode(t *testing.T) {
	r := newRig(t)
	r.c.options.NodeCIDR = true
	r.world.this = &corev1.Node{Spec: corev1.NodeSpec{PodCIDRs: []string{"10.244.3.0/24", "fd00:3::/64"}}}
	r.c.feed.factsChanged()
	r.round()
	mention := func(cidrs string, want int) {
		t.Helper()
		for cidr := range strings.FieldsSeq(cidrs) {
			if got := strings.Count(r.masq.Rules(), cidr); got != want {
				t.Errorf("%d rules for %s, want %d:\n%s", got, cidr, want, r.masq.Rules())
			}
		}
	}
	mention("10.244.3.0/24 fd00:3::/64", 2) // what is from pods, and what is not
	r.world.this = &corev1.Node{Spec: corev1.NodeSpec{PodCIDRs: []string{"10.244.9.0/24", "fd00:9::/64"}}}
	r.c.feed.factsChanged()
	r.round()
	mention("10.244.9.0/24 fd00:9::/64", 2)
	mention("10.244.3.0/24 fd00:3::/64", 0)
}

func TestTheNumberOfRulesDoesNotDependOnServices(t *testing.T) {
	r := newRig(t)
	none := r.masq.RuleCount()
	for n := range 1000 {
		r.set(service("web"+vip(n), vip(n)), here(endpoints(endpoint(n), endpoint(n+1))))
	}
	r.round()
	if got := r.masq.RuleCount(); got != none || none == 0 {
		t.Errorf("%d rules with 1,000 Services, %d with none", got, none)
	}
}
