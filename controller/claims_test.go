package controller

import (
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/fairlead-lb/fairlead/ipvs"
)

// TestAnAddressOfTwoServicesGoesByKindThenByAge: a cluster IP has been given out by the API server and
// beats whoever borrows it, however old; among others the older one has it. The loser is told once, and
// takes over when the winner goes.
func TestAnAddressOfTwoServicesGoesByKindThenByAge(t *testing.T) {
	const shared = "203.0.113.1"
	old, young := created(time.Unix(100, 0)), created(time.Unix(200, 0))
	cases := []struct {
		name          string
		winner, loser *corev1.Service
	}{
		{"a cluster IP against an older external IP",
			service("winner", shared, young), service("loser", "10.96.0.2", externalIPs(shared), old)},
		{"a cluster IP against an older load balancer",
			service("winner", shared, young), service("loser", "10.96.0.2", loadBalancer(shared), old)},
		{"an older external IP against a load balancer",
			service("winner", "10.96.0.1", externalIPs(shared), old), service("loser", "10.96.0.2", loadBalancer(shared), young)},
		{"an older load balancer against an external IP",
			service("winner", "10.96.0.1", loadBalancer(shared), externalLocal, old), service("loser", "10.96.0.2", externalIPs(shared), young)},
		{"of one age, by name",
			service("a-winner", "10.96.0.1", loadBalancer(shared), old), service("loser", "10.96.0.2", loadBalancer(shared), externalLocal, old)},
	}
	for _, c := range cases {
		for _, loserFirst := range []bool{false, true} {
			r := newRig(t)
			winner := func() { r.set(c.winner, here(endpoints("10.1.0.1"))) }
			loser := func() { r.set(c.loser, here(endpoints("10.1.0.2"))) }
			if loserFirst {
				loser()
				r.round()
				winner()
			} else {
				winner()
				r.round()
				loser()
			}
			r.round()
			r.drained()
			r.reals(c.name, shared+":80", "10.1.0.1")
			want := "loser AddressInUse: tcp 203.0.113.1:80 belongs to Service ns/" + c.winner.Name
			if got := r.told(); got != want {
				t.Errorf("%s: told:\n%s\nwant:\n%s", c.name, got, want)
			}
			for range 3 {
				loser()
				winner()
				r.round()
			}
			if got := r.told(); got != "" {
				t.Errorf("%s: told again: %s", c.name, got)
			}
			r.mustBeFresh(c.name)

			r.remove(named(c.winner.Name))
			r.round()
			r.drained()
			r.reals(c.name+", and goes", shared+":80", "10.1.0.2")
			r.mustBeFresh(c.name + ", and goes")
			if got := testutil.ToFloat64(r.c.Metrics.problems.WithLabelValues("AddressInUse")); got != 0 {
				t.Errorf("%s: in the end the metric says %v", c.name, got)
			}
			winner()
			r.round()
			r.drained()
			r.reals(c.name+", and comes back", shared+":80", "10.1.0.1")
			if got := r.told(); got != want {
				t.Errorf("%s: the loser that has lost again is told:\n%s", c.name, got)
			}
		}
	}
}

// TestALoserIsToldOfItsNewWinner, and only what it has lost is not served.
func TestALoserIsToldOfItsNewWinner(t *testing.T) {
	r := newRig(t)
	const shared = "203.0.113.1"
	for n, name := range []string{"first", "second", "third"} {
		r.set(service(name, vip(n), externalIPs(shared, lbIP(n)), created(time.Unix(int64(n), 0))), endpoints(endpoint(n)))
	}
	r.round()
	r.told()
	r.remove(named("first"))
	r.round()
	if got, want := r.told(), "third AddressInUse: tcp 203.0.113.1:80 belongs to Service ns/second"; got != want {
		t.Errorf("told:\n%s\nwant:\n%s", got, want)
	}
	r.reals("the third", lbIP(2)+":80", endpoint(2))
	r.reals("the third", vip(2)+":80", endpoint(2))
	r.remove(named("second"))
	r.round()
	r.drained()
	r.reals("the last", shared+":80", endpoint(2))
	r.mustBeFresh("the last")
}

// TestOnePortOfAnAddressMayBeAnothers: an address is shared by those who want other ports of it.
func TestOnePortOfAnAddressMayBeAnothers(t *testing.T) {
	r := newRig(t)
	const shared = "203.0.113.1"
	a, b := service("a", vip(0), externalIPs(shared)), service("b", vip(1), externalIPs(shared), udp)
	r.set(a, endpoints(endpoint(0)))
	r.set(b, endpoints(endpoint(1)))
	r.round()
	if got := r.told(); got != "" {
		t.Errorf("told: %s", got)
	}
	r.remove(named("a"))
	r.round()
	r.drained()
	r.mustBeFresh("one of two goes")
	r.remove(named("b"))
	r.round()
	r.drained()
	r.mustHold("")
}

// TestManyThatNameOneAddressAreEachLookedAtOnce: each one that had the address and goes wakes all others, and each of
// these was rendered as often as it was woken.
func TestManyThatNameOneAddressAreEachLookedAtOnce(t *testing.T) {
	const all, gone = 250, 200
	r := newRig(t)
	name := func(i int) string { return fmt.Sprintf("svc-%03d", i) }
	for i := range all {
		r.set(service(name(i), fmt.Sprintf("10.96.0.%d", i+1), externalIPs("203.0.113.1"), created(time.Unix(100, 0))), endpoints("10.1.0.1"))
	}
	r.round()
	before := testutil.ToFloat64(r.c.Metrics.renders)
	for i := range gone {
		r.remove(named(name(i)))
	}
	r.round()
	if renders := testutil.ToFloat64(r.c.Metrics.renders) - before; renders > gone+all {
		t.Errorf("%v renders for %d deletions among %d", renders, gone, all)
	}
	if owner := r.c.claims.servers[r.key("203.0.113.1:80", ipvs.TCP)].claimants[0].name; owner != named(name(gone)) {
		t.Errorf("%s has the address, want %s", owner, name(gone))
	}
}

// TestManyThatNameOneAddressAreClaimedAtOnce takes twice as long as if each named an address of its own; if they were sorted
// anew for each of them, it would take a hundred times as long.
func TestManyThatNameOneAddressAreClaimedAtOnce(t *testing.T) {
	const many = 10_000
	round := func(external func(i int) string) (*rig, time.Duration) {
		r := newRig(t)
		for i := range many {
			age := created(time.Unix(100+int64(i%97), 0)) // in no order
			r.set(service(fmt.Sprintf("svc-%05d", i), vip(i), externalIPs(external(i)), age))
		}
		start := time.Now()
		r.round()
		return r, time.Since(start)
	}
	_, own := round(func(i int) string { return fmt.Sprintf("198.18.%d.%d", i>>8, i&255) })
	r, shared := round(func(int) string { return "203.0.113.1" })
	if shared > 20*own {
		t.Errorf("%v with one address, %v with many", shared, own)
	}
	list := r.c.claims.servers[r.key("203.0.113.1:80", ipvs.TCP)].claimants
	if !slices.IsSortedFunc(list, claimant.compare) || len(list) != many {
		t.Errorf("%d are in the list, or out of order", len(list))
	}
}
