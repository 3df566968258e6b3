package controller

import (
	"context"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/view"
)

// asked runs the controller for as long as f asks it.
func (r *rig) asked(f func()) {
	r.t.Helper()
	ctx, stop := context.WithCancel(r.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.c.rest(ctx, time.Hour, nil)
	}()
	f()
	stop()
	<-ended
}

// TestWhatIsInAState asks for Services and real servers by their state.
func TestWhatIsInAState(t *testing.T) {
	r := newRig(t)
	name := r.set(service("web", "10.96.0.10"), endpoints("10.1.0.1", "10.1.0.2"))
	r.set(service("empty", "10.96.0.11"))
	r.round()
	r.ipvs.SetConnections(r.key("10.96.0.10:80", ipvs.TCP), r.real("10.1.0.2:8080"), 1)
	r.set(service("web", "10.96.0.10"), endpoints("10.1.0.1"))
	r.round()
	r.asked(func() {
		for state, want := range map[string]int{"": 2, view.NoEndpoints: 1, view.InForce: 1, view.Lost: 0, view.Lost + "," + view.NoEndpoints: 1, "no": 0} {
			list, err := r.c.Services(t.Context(), view.Filter{State: state, Limit: 1})
			if err != nil || list.Total != want || len(list.Items) != min(want, 1) {
				t.Errorf("%q: %d of %d, %v, not %d", state, len(list.Items), list.Total, err, want)
			}
		}
		for f, want := range map[view.Filter]int{
			{State: view.Draining}: 1, {State: view.Draining, Name: "web"}: 1, {State: view.Draining, Name: "empty"}: 0,
			{State: view.Draining, Search: "10.96.0.10"}: 1, {State: view.Draining, Search: "empty"}: 0, {State: view.InForce}: 1, {}: 2,
		} {
			list, err := r.c.Endpoints(t.Context(), f)
			if err != nil || len(list) != want {
				t.Errorf("%+v: %+v, %v, not %d", f, list, err, want)
			}
			if f.State == view.Draining && len(list) > 0 && (list[0].Name != name.Name || list[0].State != view.Draining) {
				t.Errorf("%+v: %+v", f, list[0])
			}
		}
	})
	r.set(service("web", "10.96.0.10"))
	r.ipvs.SetConnections(r.key("10.96.0.10:80", ipvs.TCP), r.real("10.1.0.1:8080"), 1)
	r.round()
	r.asked(func() {
		for limit, want := range map[int]int{0: 2, 1: 1, 5: 2} {
			if list, err := r.c.Endpoints(t.Context(), view.Filter{State: view.Draining, Limit: limit}); err != nil || len(list) != want {
				t.Errorf("at most %d: %+v, %v", limit, list, err)
			}
		}
	})
}
