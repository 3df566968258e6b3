package controller

import (
	"context"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/internal/kerneltest"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

// TestIncrementalEqualsFreshOnTheKernel is the property of TestIncrementalEqualsFresh, shorter, with
// the kernel in the place of the Fakes: what it holds after a random sequence of events is what a
// full sync would write into an empty Fake. So it also holds the Fakes to the kernel.
func TestIncrementalEqualsFreshOnTheKernel(t *testing.T) {
	kerneltest.Need(t)
	kernel := openKernel(t)
	const sequences, steps = 5, 12
	for seed := range sequences {
		w := newWorld()
		log := new(strings.Builder)
		now := time.Unix(1_700_000_000, 0)
		c := newTestController(w, kernel, log, func() bool { return true })
		events := rapid.Custom(func(t *rapid.T) *event { return drawEvent(t) })
		for step := range steps {
			e := events.Example(seed*steps + step)
			e.apply(w)
			c.dirty.add(e.name)
			c.feed.factsChanged()
			now = now.Add(e.wait)
			if e.restart {
				c = newTestController(w, kernel, log, func() bool { return true })
				for name := range w.services {
					c.dirty.add(name)
				}
			}
			c.round(context.Background(), now)
		}
		for range 3 {
			now = now.Add(20 * time.Minute)
			c.round(context.Background(), now)
		}
		got := renamed(ipvs.Dump(kernel.IPVS) + masq.Dump(kernel.Masq) + dummyif.Dump(kernel.Dummyif))
		if want := freshly(c); got != want {
			t.Fatalf("sequence %d, the kernel holds\n%s\na full sync writes\n%s\nlog:\n%s", seed, got, want, log)
		}
	}
}

func openKernel(t *testing.T) Kernel {
	t.Helper()
	servers, err := ipvs.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = servers.Close() })
	device, err := dummyif.Open("kube-ipvs0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = device.Close() })
	rules, err := masq.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = rules.Close() })
	return Kernel{IPVS: servers, Dummyif: device, Masq: rules}
}

// event is one thing that happens to the cluster, and to the daemon.
type event struct {
	name    types.NamespacedName
	apply   func(*world)
	wait    time.Duration
	restart bool
}

func drawEvent(t *rapid.T) *event {
	e := &event{
		wait:    time.Duration(rapid.IntRange(0, 1200).Draw(t, "wait")) * time.Second,
		restart: rapid.IntRange(0, 5).Draw(t, "restart") == 0,
	}
	switch rapid.IntRange(0, 7).Draw(t, "what") {
	case 0:
		e.name = named(drawName(t))
		e.apply = func(w *world) { delete(w.services, e.name); delete(w.slices, e.name) }
		return e
	case 1:
		e.name = named(drawName(t))
		slices := drawSlices(t)
		e.apply = func(w *world) { w.slices[e.name] = slices }
		return e
	case 2:
		e.name, e.apply = named(drawName(t)), drawFacts(t)
		return e
	}
	svc, slices := drawService(t), drawSlices(t)
	e.name = types.NamespacedName{Namespace: svc.Namespace, Name: svc.Name}
	e.apply = func(w *world) { w.services[e.name], w.slices[e.name] = svc, slices }
	return e
}
