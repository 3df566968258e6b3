package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/view"
)

// answering has the rig's controller answer questions until the test ends, and changes nothing else.
func (r *rig) answering() context.Context {
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			r.c.rest(ctx, 1<<40, nil)
		}
	}()
	r.t.Cleanup(func() { stop(); <-ended })
	return ctx
}

// states lists Services and their virtual servers with their states.
func states(list view.Services) string {
	var b strings.Builder
	for _, s := range list.Items {
		fmt.Fprintf(&b, "%s/%s %s", s.Namespace, s.Name, s.State)
		if s.Reason != "" {
			fmt.Fprintf(&b, " (%s)", s.Reason)
		}
		for _, server := range s.Servers {
			fmt.Fprintf(&b, "; %s %s %d/%d %s", server.Kind, server.Name, server.InForce, server.Endpoints, server.State)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestServicesAreListedWithTheirStates(t *testing.T) {
	r := newRig(t)
	r.set(service("good", "10.96.0.1"), here(endpoints("10.1.0.1", "10.1.0.2")))
	r.set(service("empty", "10.96.0.2"))
	r.set(service("headless", "None"))
	r.set(service("first", "10.96.0.3", loadBalancer("203.0.113.1"), created(time.Unix(100, 0))), endpoints("10.1.0.3"))
	r.set(service("second", "10.96.0.4", loadBalancer("203.0.113.1"), created(time.Unix(200, 0))), endpoints("10.1.0.4"))
	r.ipvs.Fail = func(op ipvs.Op) error {
		if op.Verb == ipvs.AddReal && op.Real.Addr().String() == "10.1.0.9" {
			return errors.New("no memory")
		}
		return nil
	}
	r.set(service("failing", "10.96.0.5"), endpoints("10.1.0.8", "10.1.0.9"))
	r.round()
	ctx := r.answering()
	list, err := r.c.Services(ctx, view.Filter{})
	if err != nil || list.Total != 6 {
		t.Fatalf("%d Services, %v", list.Total, err)
	}
	want := `ns/empty no endpoints; ClusterIP tcp 10.96.0.2:80 0/0 no endpoints
ns/failing pending; ClusterIP tcp 10.96.0.5:80 1/2 pending
ns/first in force; ClusterIP tcp 10.96.0.3:80 1/1 in force; LoadBalancer tcp 203.0.113.1:80 1/1 in force
ns/good in force; ClusterIP tcp 10.96.0.1:80 2/2 in force
ns/headless not served (headless)
ns/second lost; ClusterIP tcp 10.96.0.4:80 1/1 in force; LoadBalancer tcp 203.0.113.1:80 1/1 lost
`
	if got := states(list); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestFiltersSearchAndPages(t *testing.T) {
	r := newRig(t)
	for n := range 300 { // more than are asked about at once
		r.set(service(fmt.Sprintf("web-%03d", n), vip(n)), endpoints(endpoint(n)))
	}
	r.round()
	ctx := r.answering()
	for _, c := range []struct {
		filter       view.Filter
		total, shown int
		first        string
	}{
		{view.Filter{}, 300, 300, "web-000"},
		{view.Filter{Offset: 200, Limit: 50}, 300, 50, "web-200"},
		{view.Filter{Name: "web-007"}, 1, 1, "web-007"},
		{view.Filter{Namespace: "other"}, 0, 0, ""},
		{view.Filter{Address: vip(8)}, 1, 1, "web-008"},
		{view.Filter{Address: vip(8) + ":80"}, 1, 1, "web-008"},
		{view.Filter{Address: vip(8) + ":81"}, 0, 0, ""},
		{view.Filter{Address: endpoint(9)}, 1, 1, "web-009"},
		{view.Filter{Search: "WEB-29"}, 10, 10, "web-290"},
		{view.Filter{Search: vip(8) + ":8"}, 1, 1, "web-008"},
	} {
		list, err := r.c.Services(ctx, c.filter)
		if err != nil || list.Total != c.total || len(list.Items) != c.shown || c.shown > 0 && list.Items[0].Name != c.first {
			t.Errorf("%+v: %d of %d, %v", c.filter, len(list.Items), list.Total, err)
		}
	}
}

func TestEndpointsAddressesAndSetsAreListed(t *testing.T) {
	r := newRig(t)
	name := r.set(service("web", "10.96.0.10"), here(endpoints("10.1.0.1", "10.1.0.2")))
	r.set(service("gone", "10.96.0.11"), endpoints("10.1.0.7"))
	r.round()
	r.set(r.world.services[name], here(endpoints("10.1.0.2")))
	r.remove(named("gone"))
	r.round()
	ctx := r.answering()
	reals, err := r.c.Endpoints(ctx, view.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range reals {
		got = append(got, fmt.Sprintf("%s %s %s %s, deadline %t", e.Name, e.Server, e.Address, e.State, e.Deadline != nil))
	}
	want := []string{
		"web tcp 10.96.0.10:80 10.1.0.1:8080 draining, deadline true",
		"web tcp 10.96.0.10:80 10.1.0.2:8080 in force, deadline false",
		" tcp 10.96.0.11:80 10.1.0.7:8080 draining, deadline true",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("endpoints are\n%s", strings.Join(got, "\n"))
	}
	addresses, err := r.c.Addresses(ctx, view.Filter{})
	if err != nil || len(addresses) != 2 || addresses[0].State != view.InForce || addresses[1].State != view.Draining {
		t.Errorf("addresses %+v, %v", addresses, err)
	}
	if mine, err := r.c.Addresses(ctx, view.Filter{Namespace: "ns", Name: "web"}); err != nil || len(mine) != 1 || mine[0].Address != "10.96.0.10" {
		t.Errorf("addresses of ns/web: %+v, %v", mine, err)
	}
	for at, want := range map[string]int{"10.96.0.10:80": 1, "10.96.0.10": 1, "10.96.0.99:80": 0, "web": 0} {
		if list, err := r.c.Addresses(ctx, view.Filter{Address: at}); err != nil || len(list) != want {
			t.Errorf("addresses at %s: %+v, %v", at, list, err)
		}
	}
	entries, err := r.c.Sets(ctx, view.Filter{Address: "10.96.0.10"})
	if err != nil || len(entries) != 2 {
		t.Fatalf("entries %+v, %v", entries, err)
	}
	for _, e := range entries {
		if e.State != view.InForce || !e.Desired || !e.Kernel {
			t.Errorf("entry %+v", e)
		}
	}
}
