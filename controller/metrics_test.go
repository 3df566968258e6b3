package controller

import (
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/ipvs"
)

func TestMetricsTellOfWrites(t *testing.T) {
	r := newRig(t)
	count := func(lane string) uint64 {
		families, err := r.c.Metrics.Registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() == "fairlead_programming_duration_seconds" && m.GetLabel()[0].GetValue() == lane {
					return m.GetHistogram().GetSampleCount()
				}
			}
		}
		t.Fatalf("no lane %s", lane)
		return 0
	}
	if rules, servers := count("rules"), count("servers"); rules != 1 || servers != 0 {
		t.Errorf("at the start %d rounds wrote rules, %d servers", rules, servers)
	}
	r.ipvs.Fail = func(op ipvs.Op) error {
		if op.Verb == ipvs.AddReal {
			return errors.New("no memory")
		}
		return nil
	}
	r.set(service("web", "10.96.0.10"), endpoints("10.1.0.1", "10.1.0.2"))
	r.round()
	r.later(lastRetry) // nothing but the failed ones is written
	if entries, servers, addresses := count("entries"), count("servers"), count("addresses"); entries != 1 || servers != 2 || addresses != 1 {
		t.Errorf("%d rounds wrote entries, %d servers, %d addresses", entries, servers, addresses)
	}
	if refused := testutil.ToFloat64(r.c.Metrics.writeErrors.WithLabelValues("servers")); refused != 4 {
		t.Errorf("%v refused writes", refused)
	}
	if writes := testutil.ToFloat64(r.c.Metrics.writes.WithLabelValues("dummyif")); writes != 1 {
		t.Errorf("%v writes of addresses", writes)
	}
}

func TestForcedDrainsAreCounted(t *testing.T) {
	r := newRig(t)
	name := r.set(service("web", "10.96.0.10"), endpoints("10.1.0.1", "10.1.0.2"))
	r.round()
	r.ipvs.SetConnections(r.key("10.96.0.10:80", ipvs.TCP), r.real("10.1.0.1:8080"), 3)
	r.set(r.world.services[name], endpoints("10.1.0.2"))
	r.round()
	r.later(24 * time.Hour)
	if got := testutil.ToFloat64(r.c.Metrics.forced); got != 1 {
		t.Errorf("%v drains ended by their deadline", got)
	}
}

func TestAnswersOfHealthzAreCounted(t *testing.T) {
	r := newRig(t)
	r.c.Health.SetNodeEligible(false)
	r.c.Health.Healthz().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/healthz", nil))
	r.c.Health.Livez().ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/livez", nil))
	healthz, livez := r.c.Metrics.kubeProxy.healthz, r.c.Metrics.kubeProxy.livez
	if got := testutil.ToFloat64(healthz.WithLabelValues("503")); got != 1 {
		t.Errorf("/healthz: %v times 503", got)
	}
	if got := testutil.ToFloat64(livez.WithLabelValues("200")); got != 1 {
		t.Errorf("/livez: %v times 200", got)
	}
}

// TestChangesArePendingUntilARoundTakesThem as kube-proxy counts them: each event once.
func TestChangesArePendingUntilARoundTakesThem(t *testing.T) {
	r := newRig(t)
	heard := 0
	counts := &r.c.feed.services
	on := changes{service: func(types.NamespacedName) { heard++ }, services: counts}
	web := service("web", "10.96.0.1")
	on.serviceChanged(nil, web)
	on.serviceChanged(web, web)
	on.serviceChanged(web, nil)
	if pending := counts.in.Load() - counts.taken.Load(); pending != 3 || heard != 3 {
		t.Errorf("%d pending, %d objects handed on", pending, heard)
	}
	r.round()
	if pending := counts.in.Load() - counts.taken.Load(); pending != 0 || counts.in.Load() != 3 {
		t.Errorf("%d pending of %d", pending, counts.in.Load())
	}
}
