package controller

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/controller/render"
	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// What follows times rounds without what is the tests' own: the objects are there before, nothing is logged,
// and the kernel takes everything and keeps nothing.

type (
	takingIPVS    struct{ *ipvs.Fake }
	takingDummyif struct{ *dummyif.Fake }
	takingMasq    struct{ *masq.Fake }
)

func (takingIPVS) Apply([]ipvs.Op) []error       { return nil }
func (takingDummyif) Apply([]dummyif.Op) []error { return nil }
func (takingMasq) Apply([]masq.Op) []error       { return nil }

// readWorld is a world whose slices have been read.
type readWorld struct {
	*world
	lists map[types.NamespacedName][]*render.Slice
}

func (w readWorld) endpointSlices(name types.NamespacedName) []*render.Slice { return w.lists[name] }

// readRig is a controller over such a world of N plain Services, before its first round.
func readRig(w readWorld) *rig {
	r := emptyRig(w.world)
	kernel := Kernel{
		IPVS: takingIPVS{r.ipvs}, Dummyif: takingDummyif{r.dummyif}, Masq: takingMasq{r.masq}, Flows: r.flows,
	}
	r.c = newTestController(r.world, kernel, r.log, func() bool { return true }, r.mine)
	r.c.log = slog.New(slog.DiscardHandler)
	r.c.objects = w
	for name := range w.services {
		r.c.dirty.add(name)
	}
	return r
}

func newReadWorld(services int) readWorld {
	w := readWorld{newWorld(), make(map[types.NamespacedName][]*render.Slice)}
	for n := range services {
		name := named(fmt.Sprint("web", n))
		w.services[name] = service(name.Name, vip(n))
		w.lists[name] = []*render.Slice{render.NewSlice(endpoints(endpoint(n), endpoint(n+1)))}
	}
	return w
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkFirstRound is the production path of BenchmarkColdStart alone. kept-B/service is what stays in memory.
func BenchmarkFirstRound(b *testing.B) {
	for _, services := range []int{1_000, 10_000} {
		b.Run(fmt.Sprint(services), func(b *testing.B) {
			w := newReadWorld(services)
			var kept uint64
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				b.StopTimer()
				r := readRig(w)
				before := heap()
				b.StartTimer()
				r.c.claims.expect(services)
				r.c.round(context.Background(), r.now)
				b.StopTimer()
				kept += heap() - before
				runtime.KeepAlive(r)
				b.StartTimer()
			}
			b.ReportMetric(float64(kept)/float64(b.N*services), "kept-B/service")
		})
	}
}

// BenchmarkBurstRound is the production path of BenchmarkBurst alone.
func BenchmarkBurstRound(b *testing.B) {
	const services, burst = 10_000, 1_000
	w := newReadWorld(services)
	r := readRig(w)
	r.round()
	var lists [2][]*render.Slice
	for n := range burst {
		lists[0] = append(lists[0], render.NewSlice(endpoints(endpoint(n), endpoint(n+1), endpoint(n+2))))
		lists[1] = append(lists[1], render.NewSlice(endpoints(endpoint(n), endpoint(n+1))))
	}
	names := make([]types.NamespacedName, burst)
	for n := range names {
		names[n] = named(fmt.Sprint("web", n))
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		b.StopTimer()
		for n, name := range names {
			w.lists[name] = lists[i%2][n : n+1]
			r.c.dirty.add(name)
		}
		b.StartTimer()
		r.round()
	}
}
