package controller

import (
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// TestEveryKernelCallMayFailOnce fails the first, the second, ... call of a run and shows that the
// rest goes through and that the next rounds put everything right.
func TestEveryKernelCallMayFailOnce(t *testing.T) {
	for name, script := range failureScripts {
		t.Run(name, func(t *testing.T) { failEachCallOf(t, script) })
	}
}

// failureScripts run through what can happen to a Service.
var failureScripts = map[string]func(r *rig){
	"plain Services": func(r *rig) {
		a := r.set(service("a", "10.96.0.1"), here(endpoints("10.1.0.1", "10.1.0.2")))
		r.set(service("b", "10.96.0.2"), endpoints("10.1.0.1"))
		r.round()
		r.set(service("b", "10.96.0.2", sticky), endpoints("10.1.0.2"))
		r.remove(a)
		r.round()
		r.drained()
	},
	"Local policies": func(r *rig) {
		web := func(slices ...*discoveryv1.EndpointSlice) {
			r.set(service("web", "10.96.0.1", loadBalancer("203.0.113.1"), nodePort(30080), externalLocal, internalLocal), slices...)
		}
		web(here(endpoints("10.1.0.1", "10.1.0.2")), endpoints("10.1.0.3"))
		r.round()
		web(here(endpoints("10.1.0.2")), endpoints("10.1.0.3"))
		r.round()
		web(endpoints("10.1.0.3"))
		r.round()
		web(here(endpoints("10.1.0.1")))
		r.round()
		r.set(service("web", "10.96.0.1", loadBalancer("203.0.113.1"), nodePort(30080)), here(endpoints("10.1.0.1")))
		r.round()
		r.drained()
		web(here(endpoints("10.1.0.1")))
		r.round()
		r.remove(named("web"))
		r.round()
		r.drained()
	},
	"UDP by mark": func(r *rig) {
		dns := service("dns", "10.96.0.1", udp, loadBalancer("203.0.113.1", "2001:db8::1"), dualStack("fd00:96::1"), externalLocal)
		r.set(dns, bothFamilies()...)
		r.round()
		r.set(dns, here(endpoints("10.1.0.2")), endpoints("fd00:1::2"))
		r.round()
		r.restart()
		r.set(service("dns", "10.96.0.1", udp), endpoints("10.1.0.2"))
		r.round()
	},
	"source ranges": func(r *rig) {
		lb := func(edits ...func(*corev1.Service)) {
			r.set(service("web", "10.96.0.1", append(edits, loadBalancer("203.0.113.1"))...), endpoints("10.1.0.1"))
			r.round()
		}
		lb(sources("198.51.100.0/24", "192.0.2.0/24"))
		lb(sources("198.51.100.0/25"))
		lb()
		lb(sources("198.51.100.0/24"))
		r.remove(named("web"))
		r.round()
		r.drained()
	},
	"one address, two Services": func(r *rig) {
		r.set(service("old", "10.96.0.1", externalIPs("203.0.113.1"), externalLocal, created(time.Unix(1, 0))), here(endpoints("10.1.0.1")))
		r.set(service("young", "10.96.0.2", loadBalancer("203.0.113.1"), sources("198.51.100.0/24"), created(time.Unix(2, 0))), endpoints("10.1.0.2"))
		r.round()
		r.remove(named("old"))
		r.round()
		r.facts(func() { r.hosts("192.0.2.2"); r.world.others = []*corev1.Node{nodeObject("node-2", "203.0.113.1")} })
		r.drained()
	},
}

func failEachCallOf(t *testing.T, script func(*rig)) {
	for failing := 1; ; failing++ {
		r := newRig(t)
		calls := 0
		fail := func() error {
			if calls++; calls == failing {
				return fmt.Errorf("call %d refused", calls)
			}
			return nil
		}
		r.hook(func(string) error { return fail() })
		script(r)
		r.drained()
		if got, want := renamed(r.kernel()), freshly(r.c); got != want {
			t.Fatalf("call %d failed; in the end\n%s\nwant\n%s\nlog:\n%s", failing, got, want, r.log)
		}
		if calls < failing {
			if failing < 15 {
				t.Fatalf("only %d calls: the script does not test what it should", calls)
			}
			return
		}
		if !strings.Contains(r.log.String(), "refused") {
			t.Errorf("the failure of call %d is not in the log:\n%s", failing, r.log)
		}
	}
}
