package controller

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-lb/fairlead/ipvs"
)

// outside has so many clients from outside be connected to the endpoint of web that is here.
func (r *rig) outside(clients int) {
	r.ipvs.SetConnections(ipvs.MarkKey(testMarks.Nth(1, false), false), r.real("10.1.0.1:8080"), clients)
}

// leavings are the ways in which a Service with externalTrafficPolicy Local loses its VIP.
var leavings = map[string]func(r *rig){
	"deleted":                               func(r *rig) { r.remove(named("web")) },
	"the VIP is":                            func(r *rig) { r.webWith(externalLocal, nodePort(30080)) },
	"another VIP":                           func(r *rig) { r.webWith(externalLocal, nodePort(30080), loadBalancer("203.0.113.2")) },
	"a ClusterIP":                           func(r *rig) { r.webWith() },
	"Cluster, too":                          func(r *rig) { r.webWith(nodePort(30080)) },
	"deleted, and its slices before":        func(r *rig) { r.web(); r.round(); r.remove(named("web")) },
	"deleted, and the endpoint here before": func(r *rig) { r.web(endpoints("10.1.0.2")); r.round(); r.remove(named("web")) },
	"Cluster, then deleted":                 func(r *rig) { r.webWith(loadBalancer("203.0.113.1")); r.round(); r.remove(named("web")) },
}

// webWith is web with other edits.
func (r *rig) webWith(edits ...func(*corev1.Service)) {
	r.set(service("web", "10.96.0.10", edits...), here(endpoints("10.1.0.1")), endpoints("10.1.0.2"))
}

// leftWith is a rig whose Service has just lost a VIP through which one client from outside is connected.
func leftWith(t *testing.T, leave func(*rig), edits ...func(*Options)) *rig {
	r := newRig(t, edits...)
	r.web(here(endpoints("10.1.0.1")), endpoints("10.1.0.2"))
	r.round()
	r.outside(1)
	leave(r)
	r.round()
	return r
}

// TestAVIPStaysForClientsFromOutside, whose connections count at the virtual server by mark only.
func TestAVIPStaysForClientsFromOutside(t *testing.T) {
	for name, leave := range leavings {
		for _, ends := range []string{"they end", "the deadline", "a restart, and they end"} {
			t.Run(name+": "+ends, func(t *testing.T) {
				r := leftWith(t, leave)
				restarts := strings.HasPrefix(ends, "a restart")
				if restarts && name != "deleted" && name != "a ClusterIP" {
					return // no set says any more that clients of this VIP were led to the mark
				}
				for n := range 30 {
					r.later(20 * time.Second)
					r.mustStayFor(name)
					if restarts && n == 10 {
						r.restart()
					}
				}
				if ends != "the deadline" {
					r.outside(0)
					r.later(30 * time.Second)
				} else {
					r.later(r.c.options.DrainTimeout)
				}
				if text := r.kernel(); strings.Contains(text, "203.0.113.1") {
					t.Errorf("when it is over, the kernel holds\n%s", text)
				}
				r.outside(0)
				r.drained()
				r.mustBeFresh("in the end")
			})
		}
	}
}

// mustStayFor checks that the open connections to the VIP live, and that no new ones come about.
func (r *rig) mustStayFor(name string) {
	r.t.Helper()
	text := r.kernel()
	for _, needed := range []string{
		"inet 203.0.113.1/32", "FAIRLEAD-VIP 203.0.113.1\n", "FAIRLEAD-SERVED 203.0.113.1,tcp:80\n", "-A -t 203.0.113.1:80", "-r 10.1.0.1:8080",
	} {
		if !strings.Contains(text, needed) {
			r.t.Fatalf("%s: without %s the connection from outside is cut:\n%s\nlog:\n%s", name, needed, text, r.log)
		}
	}
	if strings.Contains(text, "-t 203.0.113.1:80 -r 10.1.0.2:8080 -m -w 1") {
		r.t.Errorf("%s: the virtual server by address takes new connections:\n%s", name, text)
	}
	led := strings.Contains(text, "FAIRLEAD-LOCAL 203.0.113.1,tcp:80")
	if led && strings.Contains(text, withMarks("-a -f M1 -r 10.1.0.1:8080 -m -w 1")) {
		r.t.Errorf("%s: new connections from outside are led to an endpoint:\n%s", name, text)
	}
}

// TestAVIPOfWhichOthersAreBusyGoes: where no drain timeout is set, there is one all the same for a VIP whose Service has
// clients from outside at others.
func TestAVIPOfWhichOthersAreBusyGoes(t *testing.T) {
	r := leftWith(t, leavings["another VIP"], func(o *Options) { o.DrainTimeout = 0 })
	r.later(14 * time.Minute)
	r.mustStayFor("another VIP")
	r.later(time.Minute)
	if text := r.kernel(); strings.Contains(text, "203.0.113.1") {
		t.Errorf("after a quarter of an hour:\n%s", text)
	}
	if forced := r.c.ipvs.Forced(); forced != 0 {
		t.Errorf("%d drains are told to have been cut short; of nobody it is known that he was", forced)
	}
}

// TestAVIPComesBackWhileClientsFromOutsideDrain: it is as it was, and nothing waits any more.
func TestAVIPComesBackWhileClientsFromOutsideDrain(t *testing.T) {
	for name, leave := range leavings {
		r := leftWith(t, leave)
		r.later(time.Minute)
		r.web(here(endpoints("10.1.0.1")), endpoints("10.1.0.2"))
		r.round()
		r.drained()
		r.mustBeFresh(name)
		if r.c.ipvs.Draining() != 0 || r.c.ipvs.Pending() != 0 || r.c.masq.Pending() != 0 || r.c.dummyif.Pending() != 0 {
			t.Errorf("%s: %d drain, %d, %d, %d pending", name, r.c.ipvs.Draining(), r.c.ipvs.Pending(), r.c.masq.Pending(), r.c.dummyif.Pending())
		}
	}
}
