package controller

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// TestCostOfAChange is belief 9 of the house: what a change costs does not depend on how many
// Services there are. Reads count as messages.
func TestCostOfAChange(t *testing.T) {
	changes := []struct {
		name     string
		change   func(r *rig)
		renders  float64
		messages int
	}{
		{"nothing", func(*rig) {}, 0, 0},
		{"a Service that did not change", func(r *rig) { r.c.dirty.add(r.first()) }, 1, 0},
		{"one endpoint more", func(r *rig) { r.set(service("web0", vip(0)), endpoints(endpoint(0), endpoint(1), endpoint(2))) }, 1, 1},
		{"one endpoint fewer: its weight", func(r *rig) { r.set(service("web0", vip(0)), endpoints(endpoint(0))) }, 1, 1},
		{"one endpoint replaced", func(r *rig) { r.set(service("web0", vip(0)), endpoints(endpoint(0), endpoint(2))) }, 1, 2},
		{"affinity switched on", func(r *rig) { r.set(service("web0", vip(0), sticky), endpoints(endpoint(0), endpoint(1))) }, 1, 1},
		{"a new Service: two entries, a server, two real servers, an address",
			func(r *rig) { r.set(service("new", "10.127.0.1"), endpoints(endpoint(0), endpoint(1))) }, 1, 6},
	}
	for _, services := range []int{10, 10_000} {
		for _, c := range changes {
			t.Run(fmt.Sprintf("%d Services, %s", services, c.name), func(t *testing.T) {
				r := rigWith(t, services)
				c.change(r)
				renders, messages := testutil.ToFloat64(r.c.Metrics.renders), r.messages()
				r.round()
				if got := testutil.ToFloat64(r.c.Metrics.renders) - renders; got != c.renders {
					t.Errorf("%v renders, want %v", got, c.renders)
				}
				if got := r.messages() - messages; got != c.messages {
					t.Errorf("%d kernel messages, want %d", got, c.messages)
				}
			})
		}
	}
}

func sticky(svc *corev1.Service) { svc.Spec.SessionAffinity = corev1.ServiceAffinityClientIP }

// rigWith returns a rig that serves so many Services with two remote endpoints each.
func rigWith(t testing.TB, services int) *rig {
	r := newRig(t)
	for n := range services {
		r.set(service(fmt.Sprint("web", n), vip(n)), endpoints(endpoint(n), endpoint(n+1)))
	}
	r.round()
	return r
}

func (r *rig) first() types.NamespacedName {
	return types.NamespacedName{Namespace: "ns", Name: "web0"}
}

// BenchmarkSyncOne is one endpoint change among N Services, from the dirty set to the (fake) kernel.
func BenchmarkSyncOne(b *testing.B) {
	for _, services := range []int{1_000, 10_000, 50_000} {
		b.Run(fmt.Sprint(services), func(b *testing.B) {
			r := rigWith(b, services)
			one := endpoints(endpoint(0), endpoint(1))
			two := endpoints(endpoint(0), endpoint(1), endpoint(2))
			svc := service("web0", vip(0))
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				if n%2 == 0 {
					r.set(svc, two)
				} else {
					r.set(svc, one)
				}
				r.round()
			}
		})
	}
}

// BenchmarkBurst is one endpoint change in each of a thousand among N Services, at once.
func BenchmarkBurst(b *testing.B) {
	const burst = 1_000
	for _, services := range []int{1_000, 10_000, 50_000} {
		b.Run(fmt.Sprint(services), func(b *testing.B) {
			r := rigWith(b, services)
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				for i := range burst {
					slice := endpoints(endpoint(i), endpoint(i+1))
					if n%2 == 0 {
						slice = endpoints(endpoint(i), endpoint(i+1), endpoint(i+2))
					}
					r.set(service(fmt.Sprint("web", i), vip(i)), slice)
				}
				r.round()
			}
		})
	}
}

// BenchmarkColdStart is N Services from the dirty set to an empty (fake) kernel.
func BenchmarkColdStart(b *testing.B) {
	for _, services := range []int{1_000, 10_000, 50_000} {
		b.Run(fmt.Sprint(services), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rigWith(b, services)
			}
		})
	}
}

// BenchmarkAudit is one read of the whole (fake) kernel with N Services in it.
func BenchmarkAudit(b *testing.B) {
	for _, services := range []int{1_000, 10_000, 50_000} {
		b.Run(fmt.Sprint(services), func(b *testing.B) {
			r := rigWith(b, services)
			b.ReportAllocs()
			for b.Loop() {
				r.later(2 * time.Hour)
			}
		})
	}
}
