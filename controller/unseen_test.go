package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/fairlead-lb/fairlead/ipvs"
)

// veryMany is more than are read at once at a start.
const veryMany = 16_500

// restartedSlowly is a controller in place of an earlier one over very many virtual servers, before its first round.
func restartedSlowly(t *testing.T, meanwhile func(*rig)) (*rig, *slowReals) {
	r := rigWith(t, veryMany)
	meanwhile(r)
	kernel := &slowReals{Fake: r.ipvs, each: time.Millisecond, read: make(map[ipvs.Key]int)}
	r.log.Reset()
	r.c = newTestController(r.world, Kernel{IPVS: kernel, Dummyif: r.dummyif, Masq: r.masq}, r.log, func() bool { return r.complete })
	for name := range r.world.services {
		r.c.dirty.add(name)
	}
	r.ipvs.Record, r.ipvs.Writes = true, nil
	return r, kernel
}

// wrote checks what was written to virtual servers since the last call, in this order.
func (r *rig) wrote(want ...string) {
	r.t.Helper()
	var got []string
	for _, op := range r.ipvs.Writes {
		got = append(got, op.String())
	}
	r.ipvs.Writes = nil
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		r.t.Errorf("wrote\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestARestartOverVeryManyServesAChangeBeforeItHasReadAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, kernel := restartedSlowly(t, func(*rig) {})
		r.round()
		if len(kernel.read) > 0 || r.c.told || r.inForce() {
			t.Errorf("%d were read one by one; told: %t, in force: %t", len(kernel.read), r.c.told, r.inForce())
		}
		if !r.c.Health.Healthy() {
			t.Error("unhealthy, though it serves every change")
		}
		r.plain(7, endpoints(endpoint(7)))
		r.round()
		changed := r.key(vip(7)+":80", ipvs.TCP)
		if kernel.read[changed] != 1 || len(kernel.read) > 1+firstStep {
			t.Errorf("the one that has changed was read %d times, %d in all", kernel.read[changed], len(kernel.read))
		}
		r.wrote(fmt.Sprintf("-e -t %s:80 -r %s:8080 -m -w 0", vip(7), endpoint(8)))
		for !r.c.told {
			r.round()
		}
		r.wrote() // the drain aside nothing had changed
		for k, n := range kernel.read {
			if n > 1 {
				t.Errorf("%s was read %d times", k, n)
			}
		}
		if len(kernel.read) != veryMany || !r.inForce() || !r.c.readable || r.drift() != 0 {
			t.Errorf("%d were read; in force: %t, readable: %t, drift: %v", len(kernel.read), r.inForce(), r.c.readable, r.drift())
		}
	})
}

// TestTheFirstReadingHealsAndHasNoPauses, and no change waits for more than its steps.
func TestTheFirstReadingHealsAndHasNoPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, kernel := restartedSlowly(t, func(r *rig) {
			r.ipvs.Apply([]ipvs.Op{{Verb: ipvs.DeleteReal, Key: r.key(vip(7)+":80", ipvs.TCP), Real: r.real(endpoint(7) + ":8080")}})
			r.remove(named("web9"))
		})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		started := time.Now()
		go func() { r.c.loop(ctx); close(ended) }()
		time.Sleep(5 * time.Second)
		var unseen int
		var held string
		if err := r.c.look(ctx, func() {
			unseen = r.c.ipvs.Unseen()
			r.plain(11, endpoints(endpoint(11)))
		}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(150 * time.Millisecond)
		if err := r.c.look(ctx, func() { held = r.kernel() }); err != nil {
			t.Fatal(err)
		}
		if unseen == 0 || !strings.Contains(held, endpoint(12)+":8080 -m -w 0") {
			t.Errorf("%d were unseen when a change came, which is not served", unseen)
		}
		for told := false; !told; time.Sleep(10 * time.Millisecond) {
			if err := r.c.look(ctx, func() { told = r.c.told }); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(started); took > 2*veryMany*kernel.each {
			t.Errorf("the first reading took %s", took)
		}
		time.Sleep(time.Minute)
		stop()
		<-ended
		held = r.kernel()
		if !strings.Contains(held, "-a -t "+vip(7)+":80 -r "+endpoint(7)+":8080") {
			t.Error("a real server that somebody deleted meanwhile is still missing")
		}
		if strings.Contains(held, " "+vip(9)+":80 ") || strings.Contains(held, vip(9)+"\n") {
			t.Error("an orphan is still there")
		}
		if got, want := len(r.ipvs.Writes), 1+2+3; got != want { // added; weight and deletion; two weights, the virtual server
			t.Errorf("%d writes, want %d: %v", got, want, r.ipvs.Writes)
		}
	})
}

// TestWhatHasChangedLastIsReadFirst: what changed while no daemon ran, in the order of the changes.
func TestWhatHasChangedLastIsReadFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		missed := []int{11, 7, 9, 10} // the latest first
		r, kernel := restartedSlowly(t, func(r *rig) {
			for n, version := range map[int]string{7: "1000", 9: "99", 10: "98", 11: "20000"} {
				slice := endpoints(endpoint(n)) // one fewer
				slice.ResourceVersion = version
				r.world.slices[named(fmt.Sprint("web", n))] = []*discoveryv1.EndpointSlice{slice, endpoints()}
			}
			for n := 100; n < 1100; n++ {
				r.world.slices[named(fmt.Sprint("web", n))][0].ResourceVersion = fmt.Sprint(n % 90)
			}
		})
		r.round()
		for len(kernel.order) < len(missed) {
			r.round()
		}
		var got []int
		for _, k := range kernel.order[:len(missed)] {
			for _, n := range missed {
				if k == r.key(vip(n)+":80", ipvs.TCP) {
					got = append(got, n)
				}
			}
		}
		if !slices.Equal(got, missed) {
			t.Errorf("of what has changed, these were among the first that were read: %v, want %v", got, missed)
		}
		for !r.c.told {
			r.round()
		}
		if len(kernel.read) != veryMany || len(kernel.order) != veryMany {
			t.Errorf("%d were read, by %d reads", len(kernel.read), len(kernel.order))
		}
	})
}
