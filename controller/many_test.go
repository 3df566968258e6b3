package controller

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
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
