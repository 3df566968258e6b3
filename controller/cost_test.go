package controller

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/ipvs"
)

// costs are what changes cost, in renders and kernel messages. Each changes Services of its own, whose
// number is n. A Service of withEverything has five frontends, three of them node ports, and one virtual
// server by mark.
var costs = []struct {
	name     string
	change   func(r *rig, n int)
	renders  float64
	messages int
}{
	{"nothing", func(*rig, int) {}, 0, 0},
	{"a Service that did not change", func(r *rig, n int) { r.c.dirty.add(named(fmt.Sprint("web", n))) }, 1, 0},
	{"one endpoint more", func(r *rig, n int) { r.plain(n, endpoints(endpoint(n), endpoint(n+1), endpoint(n+2))) }, 1, 1},
	{"one endpoint fewer: its weight", func(r *rig, n int) { r.plain(n, endpoints(endpoint(n))) }, 1, 1},
	{"one endpoint replaced", func(r *rig, n int) { r.plain(n, endpoints(endpoint(n), endpoint(n+2))) }, 1, 2},
	{"affinity switched on", func(r *rig, n int) { r.plain(n, endpoints(endpoint(n), endpoint(n+1)), sticky) }, 1, 1},
	{"a type change, ClusterIP to NodePort: of each of three addresses two entries, a server and two real servers",
		func(r *rig, n int) { r.plain(n, endpoints(endpoint(n), endpoint(n+1)), nodePort(29999)) }, 1, 3 * (2 + 1 + 2)},
	{"a new Service: two entries, a server, two real servers, an address",
		func(r *rig, _ int) { r.set(service("new", "10.127.0.1"), endpoints(endpoint(0), endpoint(1))) }, 1, 6},
	{"a new NodePort Service: the same, and of each of three addresses two entries, a server and two real servers",
		func(r *rig, _ int) {
			r.set(service("new-port", "10.127.0.2", nodePort(29998)), endpoints(endpoint(0), endpoint(1)))
		}, 1, 6 + 3*(2+1+2)},
	{"Local: one more endpoint here, at five frontends and the mark, and its hairpin entry",
		func(r *rig, n int) { r.lb(n, here(endpoints(lbEndpoint(n), "10.1.0.3")), endpoints("10.1.0.2")) }, 1, 5 + 1 + 1},
	{"Local: one more endpoint elsewhere, at five frontends",
		func(r *rig, n int) { r.lb(n, here(endpoints(lbEndpoint(n))), endpoints("10.1.0.2", "10.1.0.3")) }, 1, 5},
	{"Local: the last endpoint here goes, of which four entries, six weights and a hairpin entry tell",
		func(r *rig, n int) { r.lb(n, endpoints("10.1.0.2")) }, 1, 4 + 6 + 1},
	{"the first source range: that it is restricted, and to whom",
		func(r *rig, n int) { r.lbWith(n, sources("198.51.100.0/24")) }, 1, 2},
	{"three source ranges, one with the node in it: one entry more",
		func(r *rig, n int) { r.lbWith(n, sources("198.51.100.0/24", "203.0.113.0/24", "192.0.2.0/24")) }, 1, 1 + 3 + 1},
	{"the policy from Local to Cluster: four entries come and four go, and the weight behind the mark",
		func(r *rig, n int) {
			r.lbWith(n, func(svc *corev1.Service) { svc.Spec.ExternalTrafficPolicy = "" })
		}, 1, 4 + 4 + 1},
	{"an annotation: the scheduler of six virtual servers, each while five or four frontends let nobody new in: one by itself, four by mark",
		func(r *rig, n int) { r.lbWith(n, annotated("fairlead.io/scheduler", "wlc")) }, 1, 6 + 2*(5+4)},
	{"a refused address is free: its Service alone, three entries, a server, two real servers, an address",
		func(r *rig, _ int) { r.world.others = nil; r.c.feed.factsChanged() }, 1, 7},
}

// TestCostOfAChange is belief 9 of the house: what a change costs does not depend on how many
// Services there are. Reads count as messages.
func TestCostOfAChange(t *testing.T) {
	for _, services := range []int{10, 10_000} {
		r := rigWith(t, services)
		r.withEverything(max(services/10, 10))
		for i, c := range costs {
			t.Run(fmt.Sprintf("%d Services, %s", services, c.name), func(t *testing.T) {
				c.change(r, i%10)
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

// TestCostOfMuch counts what the benchmarks time: what regresses in messages or renders fails here.
func TestCostOfMuch(t *testing.T) {
	const services, burst = 10_000, 1_000
	r := newRig(t)
	count := func(what string, do func(), renders float64, messages int) {
		t.Helper()
		beforeRenders, before, rounds := testutil.ToFloat64(r.c.Metrics.renders), r.messages(), r.rounds()
		do()
		if got := testutil.ToFloat64(r.c.Metrics.renders) - beforeRenders; got != renders {
			t.Errorf("%s: %v renders, want %v", what, got, renders)
		}
		if got := r.messages() - before; got != messages {
			t.Errorf("%s: %d kernel messages, want %d", what, got, messages)
		}
		if got := r.rounds() - rounds; got != 1 {
			t.Errorf("%s: %v rounds", what, got)
		}
	}
	count("cold start: of each Service two entries, a server, two real servers, an address", func() {
		for n := range services {
			r.plain(n, endpoints(endpoint(n), endpoint(n+1)))
		}
		r.round()
	}, services, 6*services)
	count("burst: one real server more in each", func() {
		for n := range burst {
			r.plain(n, endpoints(endpoint(n), endpoint(n+1), endpoint(n+2)))
		}
		r.round()
	}, burst, burst)

	slices, name := r.wide(10_000)
	r.round()
	count("one endpoint of 10,000 comes", func() {
		r.world.slices[name][0] = changed(slices[0], func(s *discoveryv1.EndpointSlice) {
			s.Endpoints = append(s.Endpoints, endpoints(endpoint(10_000)).Endpoints...)
		})
		r.c.dirty.add(name)
		r.round()
	}, 1, 1)

	before := r.messages()
	for range 2 * auditSteps { // one whole audit, and the beginning of another at most
		r.later(r.c.options.SyncPeriod / auditSteps)
	}
	const first, steps = 5, auditSteps / 2 // sets ensured and read, virtual servers, the device ensured and read
	if got, most := r.messages()-before, 2*(first+steps+1); got > most {
		t.Errorf("two audits of %d Services: %d kernel messages, at most %d wanted", services, got, most)
	}
}

// wide adds a Service of so many endpoints, a hundred in each slice.
func (r *rig) wide(size int) (slices []*discoveryv1.EndpointSlice, name types.NamespacedName) {
	for i := 0; i < size; i += 100 {
		var addrs []string
		for n := range 100 {
			addrs = append(addrs, endpoint(i+n))
		}
		slices = append(slices, endpoints(addrs...))
		slices[len(slices)-1].Name = fmt.Sprint("wide-", i)
	}
	return slices, r.set(service("wide", "10.127.1.1"), slices...)
}

// changed returns another slice in its place.
func changed(slice *discoveryv1.EndpointSlice, edit func(*discoveryv1.EndpointSlice)) *discoveryv1.EndpointSlice {
	slice = slice.DeepCopy()
	edit(slice)
	return slice
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

// withEverything adds load balancers with externalTrafficPolicy Local on a node of three addresses, and a
// Service that wants the address of another node.
func (r *rig) withEverything(services int) {
	r.hosts("192.0.2.1", "192.0.2.2", "192.0.2.3")
	r.world.others = []*corev1.Node{nodeObject("node-2", "198.51.100.7")}
	r.c.feed.factsChanged()
	for n := range services {
		r.lbWith(n, func(*corev1.Service) {})
	}
	r.set(service("wants", "10.126.0.1", externalIPs("198.51.100.7")), endpoints("10.1.0.1", "10.1.0.2"))
	r.round()
}

func lbEndpoint(n int) string { return endpoint(100_000 + n) }

func (r *rig) lb(n int, slices ...*discoveryv1.EndpointSlice) {
	r.set(service(fmt.Sprint("lb", n), vip(100_000+n), loadBalancer(lbIP(n)), nodePort(int32(30000+n)), externalLocal), slices...)
}

// lbWith edits the Service that lb makes, with an endpoint here and one elsewhere.
func (r *rig) lbWith(n int, edit func(*corev1.Service)) {
	r.lb(n, here(endpoints(lbEndpoint(n))), endpoints("10.1.0.2"))
	edit(r.world.services[named(fmt.Sprint("lb", n))])
}

func (r *rig) plain(n int, slice *discoveryv1.EndpointSlice, edits ...func(*corev1.Service)) {
	r.set(service(fmt.Sprint("web", n), vip(n), edits...), slice)
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

// BenchmarkDraining is BenchmarkSyncOne while in each of N other Services a real server drains.
func BenchmarkDraining(b *testing.B) {
	benchmarkDraining(b, func(r *rig, n int) { r.plain(n, endpoints(endpoint(n))) })
}

// BenchmarkDeletedDraining is BenchmarkSyncOne while N deleted Services drain.
func BenchmarkDeletedDraining(b *testing.B) {
	benchmarkDraining(b, func(r *rig, n int) { r.remove(named(fmt.Sprint("web", n))) })
}

func benchmarkDraining(b *testing.B, drain func(r *rig, n int)) {
	const services = 10_000
	for _, draining := range []int{1, 5_000} {
		b.Run(fmt.Sprint(draining), func(b *testing.B) {
			r := rigWith(b, services)
			r.drainMany(services-draining, services, drain)
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				r.plain(0, endpoints([]string{endpoint(0), endpoint(1), endpoint(2)}[:2+n%2]...))
				r.round()
			}
		})
	}
}

// drainMany has the Services from one to another lose what drain takes from them, while there are connections.
func (r *rig) drainMany(from, to int, drain func(r *rig, n int)) {
	for n := from; n < to; n++ {
		k := r.key(vip(n)+":80", ipvs.TCP)
		for _, real := range r.c.ipvs.Reals(k) {
			r.ipvs.SetConnections(k, real.Addr, 1)
		}
		drain(r, n)
	}
	r.round()
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

// BenchmarkWide is one endpoint change in a Service of so many endpoints, a hundred in each slice.
func BenchmarkWide(b *testing.B) {
	for _, size := range []int{100, 1_000, 10_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			r := newRig(b)
			slices, name := r.wide(size)
			r.round()
			other := changed(slices[0], func(s *discoveryv1.EndpointSlice) { s.Endpoints[50].Addresses[0] = endpoint(size) })
			both := []*discoveryv1.EndpointSlice{slices[0], other}
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				r.world.slices[name][0] = both[n%2]
				r.c.dirty.add(name)
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
