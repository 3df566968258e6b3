package render_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/controller/render"
	"github.com/fairlead-lb/fairlead/ipvs"
)

// checkExplained checks that what is explained is what is rendered.
func checkExplained(t *testing.T, verdicts []render.Verdict, r render.Rendered, svc *corev1.Service) {
	t.Helper()
	type real struct {
		protocol ipvs.Protocol
		addr     netip.AddrPort
	}
	cluster, local := make(map[real]bool), make(map[real]bool)
	for _, v := range verdicts {
		if v.WhyCluster == "" || v.WhyLocal == "" {
			t.Errorf("no reason: %+v", v)
		}
		cluster[real{v.Protocol, v.Addr}] = cluster[real{v.Protocol, v.Addr}] || v.Cluster
		local[real{v.Protocol, v.Addr}] = local[real{v.Protocol, v.Addr}] || v.Local
	}
	internalLocal := svc != nil && svc.Spec.InternalTrafficPolicy != nil && *svc.Spec.InternalTrafficPolicy == corev1.ServiceInternalTrafficPolicyLocal
	for _, s := range r.Servers {
		in := cluster
		if s.Kind == render.ClusterIP && internalLocal {
			in = local
		}
		for _, one := range s.Reals {
			if !in[real{s.Key.Protocol, one.Addr}] {
				t.Errorf("%s has %s, and the explanation says that it is out", s.Key, one.Addr)
			}
		}
	}
	for _, l := range r.Locals {
		for _, one := range l.Reals {
			if !local[real{l.Protocol, one.Addr}] {
				t.Errorf("the local endpoints of %q have %s, and the explanation says that it is out", l.Port, one.Addr)
			}
		}
	}
}

func TestExplainSaysWhy(t *testing.T) {
	cases := []struct {
		name, endpoints, want string
		edit                  func(*render.Options)
	}{
		{name: "ready and not ready",
			endpoints: `[{"addresses":["10.1.0.1"],"nodeName":"node-1"},{"addresses":["10.1.0.2"],"conditions":{"ready":false},"nodeName":"node-2"}]`,
			want: `10.1.0.1:8080 in: ready; here in: ready
				10.1.0.2:8080 out: not ready; here out: on node node-2, not on this one`},
		{name: "terminating beside a ready one",
			endpoints: `[{"addresses":["10.1.0.1"],"nodeName":"node-1"},{"addresses":["10.1.0.2"],"conditions":{"ready":false,"serving":true,"terminating":true},"nodeName":"node-1"}]`,
			want: `10.1.0.1:8080 in: ready; here in: ready
				10.1.0.2:8080 out: terminating; others are ready; here out: terminating; others are ready`},
		{name: "all are terminating",
			endpoints: `[{"addresses":["10.1.0.1"],"conditions":{"ready":false,"serving":true,"terminating":true}},{"addresses":["10.1.0.2"],"conditions":{"ready":false,"serving":false,"terminating":true}}]`,
			want: `10.1.0.1:8080 in: terminating, but it still serves, and no other is ready; here out: not known to be on this node
				10.1.0.2:8080 out: terminating, and not serving any more; here out: not known to be on this node`},
		{name: "the wrong zone",
			endpoints: `[{"addresses":["10.1.0.1"],"hints":{"forZones":[{"name":"a"}]}},{"addresses":["10.1.0.2"],"hints":{"forZones":[{"name":"b"}]}}]`,
			edit:      func(o *render.Options) { o.Zone = "a" },
			want: `10.1.0.1:8080 in: ready, and hinted for this zone (a); here out: not known to be on this node
				10.1.0.2:8080 out: ready, but hinted for zone b; this node is in zone a; here out: not known to be on this node`},
		{name: "twice, once in a worse state",
			endpoints: `[{"addresses":["10.1.0.1"],"nodeName":"node-1"},{"addresses":["10.1.0.1"],"conditions":{"ready":false},"nodeName":"node-1"}]`,
			want: `10.1.0.1:8080 in: ready; here in: ready
				10.1.0.1:8080 out: another slice lists this address in a better state, which counts; here out: another slice lists this address in a better state, which counts`},
	}
	for _, c := range cases {
		svc, list := explained(t, c.endpoints)
		o := render.Options{Scheduler: "rr", NodeName: "node-1"}
		if c.edit != nil {
			c.edit(&o)
		}
		r := render.Service(svc, list, o, render.Settings{})
		verdicts := render.Explain(svc, list, o, r.Settings)
		checkExplained(t, verdicts, r, svc)
		var got []string
		for _, v := range verdicts {
			got = append(got, fmt.Sprintf("%s %s: %s; here %s: %s", v.Addr, inOut(v.Cluster), v.WhyCluster, inOut(v.Local), v.WhyLocal))
		}
		if diff := cmp.Diff(strings.ReplaceAll(c.want, "\t", ""), strings.Join(got, "\n")); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", c.name, diff)
		}
	}
}

func inOut(in bool) string {
	if in {
		return "in"
	}
	return "out"
}

// TestExplainNamesAPortThatTheServiceHasNot: a frequent mistake, and nothing else tells of it.
func TestExplainNamesAPortThatTheServiceHasNot(t *testing.T) {
	svc, list := explained(t, `[{"addresses":["10.1.0.1"]}]`)
	svc.Spec.Ports[0].Name = "web"
	verdicts := render.Explain(svc, list, render.Options{Scheduler: "rr"}, render.Settings{})
	if len(verdicts) != 1 || verdicts[0].Cluster || verdicts[0].WhyCluster != `no port of the Service is named "" with protocol tcp` {
		t.Errorf("%+v", verdicts)
	}
}

// explained returns a Service of one port, and one slice with these endpoints.
func explained(t *testing.T, endpoints string) (*corev1.Service, []*render.Slice) {
	t.Helper()
	var svc corev1.Service
	var slice discoveryv1.EndpointSlice
	for text, into := range map[string]any{
		`{"metadata":{"name":"web","namespace":"ns"},"spec":{"clusterIP":"10.96.0.1","ports":[{"port":80}]}}`:                                 &svc,
		`{"metadata":{"name":"web-1","namespace":"ns"},"addressType":"IPv4","ports":[{"name":"","port":8080}],"endpoints":` + endpoints + `}`: &slice,
	} {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			t.Fatal(err)
		}
	}
	return &svc, []*render.Slice{render.NewSlice(&slice)}
}
