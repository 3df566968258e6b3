package controller

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/fairlead-lb/fairlead/controller/render"
	"github.com/fairlead-lb/fairlead/ipvs"
)

// TestABadAnnotationLeavesThePreviousValue in force, and is told once.
func TestABadAnnotationLeavesThePreviousValue(t *testing.T) {
	r := newRig(t)
	set := func(edits ...func(*corev1.Service)) {
		r.set(service("web", "10.96.0.10", edits...), endpoints("10.1.0.1"))
		r.round()
	}
	server := func(want string) {
		t.Helper()
		if text := r.ipvs.Dump(); !strings.HasPrefix(text, "-A -t 10.96.0.10:80 -s "+want+"\n") {
			t.Errorf("the kernel holds\n%s\nwant -s %s", text, want)
		}
	}
	scheduler := func(name string) func(*corev1.Service) { return annotated(render.AnnotationScheduler, name) }
	set()
	server("rr")
	set(scheduler("mh"), annotated(render.AnnotationFlags, "mh-port"))
	server("mh -b mh-port")
	for range 3 {
		set(scheduler("fastest"))
		server("mh -b mh-port")
	}
	want := `web BadAnnotation: fairlead.io/scheduler: "fastest" is none of rr wrr lc wlc lblc lblcr dh sh mh sed nq fo ovf twos; mh stays`
	if got := r.told(); got != want {
		t.Errorf("told:\n%s\nwant:\n%s", got, want)
	}
	if got := testutil.ToFloat64(r.c.Metrics.problems.WithLabelValues("BadAnnotation")); got != 1 {
		t.Errorf("the metric says %v", got)
	}
	set(scheduler("wlc"))
	server("wlc")
	set()
	server("rr")
	set(scheduler("fastest"))
	server("rr")
	if got := r.told(); !strings.HasSuffix(got, "; rr stays") {
		t.Errorf("told: %s", got)
	}
	r.remove(named("web"))
	r.round()
	if n := len(r.c.settings.of); n != 0 {
		t.Errorf("%d settings of Services that have gone", n)
	}
}

func weighted(weight string, slice *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	slice.Annotations = map[string]string{render.AnnotationWeight: weight}
	return slice
}

// TestWeightZeroDropsNothing: a slice in maintenance keeps its connections for as long as it is there.
func TestWeightZeroDropsNothing(t *testing.T) {
	r := newRig(t)
	r.set(service("web", "10.96.0.10"), weighted("5", endpoints("10.1.0.1")))
	r.round()
	for _, c := range []struct{ weight, want string }{{"0", "0"}, {"heavy", "0"}, {"7", "7"}} {
		r.set(service("web", "10.96.0.10"), weighted(c.weight, endpoints("10.1.0.1")))
		r.round()
		r.drained()
		if text := r.ipvs.Dump(); !strings.Contains(text, "-r 10.1.0.1:8080 -m -w "+c.want) {
			t.Errorf("weight %s: the kernel holds\n%s", c.weight, text)
		}
	}
	if got, want := r.told(), `web BadAnnotation: EndpointSlice ns/slice: fairlead.io/weight: "heavy" is not from 0 to 65535`; got != want {
		t.Errorf("told:\n%s\nwant:\n%s", got, want)
	}
}

// TestTheDrainTimeoutOfAService is that of its annotation, by address as by mark, also behind its end.
func TestTheDrainTimeoutOfAService(t *testing.T) {
	for _, c := range []struct {
		annotation string // "": none
		until      time.Duration
	}{
		{"", 15 * time.Minute}, {"2m", 2 * time.Minute}, {"0s", 10 * time.Hour},
	} {
		r := newRig(t)
		svc := service("web", "10.96.0.10", loadBalancer("203.0.113.1"), externalLocal)
		if c.annotation != "" {
			annotated(render.AnnotationDrainTimeout, c.annotation)(svc)
		}
		r.set(svc, here(endpoints("10.1.0.1")))
		r.round()
		mark := ipvs.MarkKey(r.marksOf()["FAIRLEAD-LOCAL 203.0.113.1,tcp:80"], false)
		busy := []ipvs.Key{r.key("10.96.0.10:80", ipvs.TCP), r.key("203.0.113.1:80", ipvs.TCP), mark}
		for _, k := range busy {
			r.ipvs.SetConnections(k, r.real("10.1.0.1:8080"), 1)
		}
		r.remove(named("web"))
		r.round()
		r.later(c.until - time.Second)
		for _, k := range busy {
			if reals, _ := r.ipvs.RealServers(k); len(reals) != 1 {
				t.Errorf("annotation %q: %s has gone too early", c.annotation, k)
			}
		}
		if c.annotation == "0s" {
			continue // as long as there is a connection
		}
		r.later(2 * time.Second)
		r.round()
		if text := r.ipvs.Dump(); text != "" {
			t.Errorf("annotation %q: after %v there is still\n%s", c.annotation, c.until, text)
		}
	}
}
