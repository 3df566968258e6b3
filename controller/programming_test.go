package controller

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/fairlead-lb/fairlead/ipvs"
)

// observed is how many changes have been counted as programmed, and what they took in all.
func (r *rig) observed(t *testing.T) (text string) {
	t.Helper()
	const name = "kubeproxy_network_programming_duration_seconds"
	const counted = name + `_count{ip_family="IPv4"} `
	all, err := testutil.CollectAndFormat(r.c.Metrics.kubeProxy.programming, expfmt.TypeTextPlain, name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(all)) {
		if strings.HasPrefix(line, counted) {
			return strings.TrimSpace(strings.TrimPrefix(line, counted))
		}
	}
	t.Fatalf("no such metric in\n%s", all)
	return ""
}

// sliceAt is an EndpointSlice that tells when its pods changed, as the store has it.
func sliceAt(t *testing.T, at string) *slice {
	t.Helper()
	object := endpoints("10.1.0.1")
	object.Namespace = "ns"
	object.Labels = map[string]string{discoveryv1.LabelServiceName: "web"}
	object.Annotations = map[string]string{corev1.EndpointsLastChangeTriggerTime: at}
	kept, err := readSlice(object)
	if err != nil {
		t.Fatal(err)
	}
	return kept
}

func TestTheTimeFromAChangeToTheKernelIsCounted(t *testing.T) {
	r := newRig(t)
	tell := changes{service: r.c.dirty.add, triggered: r.c.dirty.trigger, endpoints: new(changeCounts)}.sliceChanged
	web := r.set(service("web", "10.96.0.10"), endpoints("10.1.0.1"))
	long, now := time.Now().Add(-time.Hour), time.Now().Add(time.Millisecond)
	want := func(count, when string) {
		t.Helper()
		if got := r.observed(t); got != count {
			t.Errorf("%s: %s counted, want %s", when, got, count)
		}
	}

	first := sliceAt(t, long.Format(time.RFC3339Nano))
	tell(nil, first)
	r.round()
	want("0", "what happened before the start")
	tell(first, sliceAt(t, now.Format(time.RFC3339Nano)))
	r.round()
	want("1", "a change")
	second := sliceAt(t, now.Format(time.RFC3339Nano))
	tell(second, second)
	r.round()
	want("1", "the same again")
	tell(second, sliceAt(t, "not a time"))
	r.round()
	want("1", "no time")

	r.ipvs.Fail = func(ipvs.Op) error { return errors.New("refused") }
	r.set(r.world.services[web], endpoints("10.1.0.1", "10.1.0.2"))
	tell(second, sliceAt(t, now.Add(time.Second).Format(time.RFC3339Nano)))
	r.round()
	want("1", "a change that the kernel refuses")
	r.ipvs.Fail = nil
	r.later(lastRetry)
	want("2", "when it takes it")
}
