package controller

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/ipvs"
)

// TestVeryManySourceRangesAreReplacedAtOnce takes a fraction of a second; with a cost that grows with
// the square of the ranges it would take minutes, and nothing else would be synced meanwhile.
func TestVeryManySourceRangesAreReplacedAtOnce(t *testing.T) {
	const ranges = 20_000
	restricted := func(first int) *corev1.Service {
		var cidrs []string
		for n := range ranges {
			cidrs = append(cidrs, fmt.Sprintf("%d.%d.%d.0/24", first, n>>8, n&255))
		}
		return service("web", "10.96.0.10", loadBalancer("203.0.113.1"), sources(cidrs...))
	}
	r := newRig(t)
	r.set(restricted(20), endpoints("10.1.0.1"))
	r.round()
	start := time.Now()
	r.set(restricted(30), endpoints("10.1.0.1"))
	r.round()
	took := time.Since(start)
	t.Log(took)
	if took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	r.mustBeFresh("all source ranges are others")
}

// TestVeryManyProblemsAreToldAtOnce, once, and not all of them one by one.
func TestVeryManyProblemsAreToldAtOnce(t *testing.T) {
	r := newRig(t)
	var bad []string
	for n := range 50_000 {
		bad = append(bad, fmt.Sprint("bad ", n))
	}
	start := time.Now()
	for range 3 {
		r.set(service("web", "10.96.0.10", externalIPs(bad...)), endpoints("10.1.0.1"))
		r.round()
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	if got := strings.Count(r.log.String(), "part of a Service is not served"); got != shownProblems+1 {
		t.Errorf("%d lines in the log", got)
	}
}

// TestChangesDoNotPayForWhatDrains makes its changes in a fraction of a second; if each round ranged over what only waits, they
// would take more than twenty.
func TestChangesDoNotPayForWhatDrains(t *testing.T) {
	const draining, outsideDraining, changes = 4_000, 200, 4_000
	r := rigWith(t, draining+1)
	for n := range outsideDraining {
		r.set(service(fmt.Sprint("lb", n), vip(100_000+n), loadBalancer(lbIP(n)), externalLocal), here(endpoints(endpoint(n))))
	}
	r.round()
	for n := range outsideDraining { // they have clients from outside only
		mark := r.marksOf()[fmt.Sprintf("FAIRLEAD-LOCAL %s,tcp:80", lbIP(n))]
		r.ipvs.SetConnections(ipvs.MarkKey(mark, false), r.real(endpoint(n)+":8080"), 1)
		r.remove(named(fmt.Sprint("lb", n)))
	}
	r.round()
	for range outsideDraining { // until nothing is left to drain but what these hold
		r.later(time.Second)
	}
	r.drainMany(1, draining/2, func(r *rig, n int) { r.remove(named(fmt.Sprint("web", n))) })
	r.drainMany(draining/2, draining+1, func(r *rig, n int) { r.plain(n, endpoints(endpoint(n))) })
	if got := r.c.ipvs.Draining(); got < draining {
		t.Fatalf("%d drain", got)
	}
	start := time.Now()
	for n := range changes {
		r.plain(0, endpoints([]string{endpoint(0), endpoint(1), endpoint(2)}[:2+n%2]...))
		r.round()
	}
	took := time.Since(start)
	t.Log(took)
	for n := range outsideDraining {
		if !r.c.dummyif.Has(netip.MustParseAddr(lbIP(n))) {
			t.Fatalf("the clients of %s are cut", lbIP(n))
		}
	}
	if took > 10*time.Second {
		t.Errorf("%d changes took %v", changes, took)
	}
	r.later(r.c.options.DrainTimeout)
	r.mustBeFresh("all drains are over")
}
