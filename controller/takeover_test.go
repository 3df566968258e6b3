package controller

import (
	"errors"
	"strings"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
)

func (r *rig) inForce() bool {
	select {
	case <-r.c.InForce():
		return true
	default:
		return false
	}
}

// withWeb puts a Service into the cluster before the start.
func withWeb(r *rig) {
	svc := service("web", "10.96.0.10")
	name := types.NamespacedName{Namespace: svc.Namespace, Name: svc.Name}
	r.world.services[name] = svc
	r.world.slices[name] = []*discoveryv1.EndpointSlice{endpoints("10.1.0.1")}
}

func TestNothingIsInForceWithoutAService(t *testing.T) {
	r := newRig(t)
	r.round()
	if r.inForce() {
		t.Error("told before there is any Service")
	}
	r.set(service("web", "10.96.0.10"), endpoints("10.1.0.1"))
	r.round()
	if !r.inForce() {
		t.Error("not told")
	}
	r.round() // and once is enough
}

func TestARoundThatFailedPutsNothingInForce(t *testing.T) {
	r := emptyRig(newWorld())
	r.t = t
	withWeb(r)
	broken := true
	r.ipvs.Fail = func(ipvs.Op) error {
		if broken {
			return errors.New("broken")
		}
		return nil
	}
	r.restart()
	if r.inForce() {
		t.Error("told, although a virtual server is missing")
	}
	broken = false
	r.later(lastRetry)
	if !r.inForce() {
		t.Error("not told after the retry")
	}
}

// TestAnEndpointThatTheKernelWillNotHaveHoldsNothingUp: it stays pending, is told, and tried again.
func TestAnEndpointThatTheKernelWillNotHaveHoldsNothingUp(t *testing.T) {
	for name, c := range map[string]struct {
		refuses func(ipvs.Op) error
		inForce bool
	}{
		"one is the broadcast address of a subnet": {func(op ipvs.Op) error {
			if op.Verb == ipvs.AddReal && op.Real.Addr().String() == "10.1.0.255" {
				return ipvs.ErrInvalidReal
			}
			return nil
		}, true},
		"it takes none": {func(op ipvs.Op) error {
			if op.Verb == ipvs.AddReal {
				return ipvs.ErrInvalidReal
			}
			return nil
		}, false},
		"and something else fails": {func(op ipvs.Op) error {
			switch {
			case op.Verb == ipvs.AddReal && op.Real.Addr().String() == "10.1.0.255":
				return ipvs.ErrInvalidReal
			case op.Verb == ipvs.AddServer && op.Key.Addr.Addr().String() == "10.96.0.10":
				return errors.New("broken")
			}
			return nil
		}, false},
	} {
		r := emptyRig(newWorld())
		r.t = t
		withWeb(r)
		r.start()
		r.set(service("bad", "10.96.0.11"), endpoints("10.1.0.255", "10.1.0.2"))
		r.ipvs.Fail = c.refuses
		r.round()
		r.later(lastRetry)
		if got := r.inForce(); got != c.inForce {
			t.Errorf("%s: in force: %v", name, got)
		}
		if r.c.ipvs.Pending() == 0 || !strings.Contains(r.log.String(), "10.1.0.255:8080") {
			t.Errorf("%s: %d pending, and the log says\n%s", name, r.c.ipvs.Pending(), r.log)
		}
	}
}

func TestAnIncompleteSourcePutsNothingInForce(t *testing.T) {
	r := emptyRig(newWorld())
	r.t, r.complete = t, false
	withWeb(r)
	r.restart()
	if r.inForce() {
		t.Error("told, although the source does not know everything")
	}
}

// TestWhatIsAdoptedGoesWithTheNextRound writes the memory of a virtual server that another proxy made for a
// Service that is gone, as takeover does.
func TestWhatIsAdoptedGoesWithTheNextRound(t *testing.T) {
	r := newRig(t)
	r.set(service("web", "10.96.0.10"), endpoints("10.1.0.1"))
	stray := r.key("172.30.9.9:80", ipvs.TCP)
	r.ipvs.Apply([]ipvs.Op{{Verb: ipvs.AddServer, Key: stray, Server: ipvs.VirtualServer{Scheduler: "rr"}}})
	r.round()
	if servers, _ := r.ipvs.Servers(); len(servers) != 2 {
		t.Fatalf("before: %v", servers)
	}
	r.masq.Apply([]masq.Op{{Entry: masq.Entry{Set: masq.Served, Addr: stray.Addr.Addr(), Port: 80, Protocol: 6}}})
	r.c.Reread()
	r.round()
	servers, _ := r.ipvs.Servers()
	if _, there := servers[stray]; there || len(servers) != 1 {
		t.Errorf("after: %v", servers)
	}
}

// TestWhatIsInheritedIsKnownFromTheStart has another proxy's virtual servers there at the start: one that a
// Service has, and one that none has any more. Neither is met as a surprise.
func TestWhatIsInheritedIsKnownFromTheStart(t *testing.T) {
	r := emptyRig(newWorld())
	r.t = t
	withWeb(r)
	wanted, stray, foreign := r.key("10.96.0.10:80", ipvs.TCP), r.key("172.30.9.9:80", ipvs.TCP), r.key("172.30.8.8:80", ipvs.TCP)
	for _, k := range []ipvs.Key{wanted, stray, foreign} {
		r.ipvs.Apply([]ipvs.Op{{Verb: ipvs.AddServer, Key: k, Server: ipvs.VirtualServer{Scheduler: "rr"}}})
	}
	r.options = func(o *Options) { o.Inherited = func(k ipvs.Key) bool { return k == wanted || k == stray } }
	var verbs []ipvs.Op
	r.ipvs.Fail = func(op ipvs.Op) error { verbs = append(verbs, op); return nil }
	r.restart()
	for _, op := range verbs {
		if op.Key == wanted && (op.Verb == ipvs.AddServer || op.Verb == ipvs.DeleteServer) {
			t.Errorf("%s, although it is there", op)
		}
	}
	servers, _ := r.ipvs.Servers()
	if _, there := servers[stray]; there || len(servers) != 2 {
		t.Errorf("left: %v", servers)
	}
}
