package render_test

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/fairlead-lb/fairlead/controller/render"
)

// FuzzService renders whatever JSON can say and checks what must hold of any result.
func FuzzService(f *testing.F) {
	for _, seed := range fuzzSeeds {
		f.Add([]byte(seed.service), []byte(seed.slices), uint64(1))
		f.Add([]byte(seed.service), []byte(seed.slices), uint64(126))
	}
	f.Fuzz(func(t *testing.T, service, endpointSlices []byte, seed uint64) {
		var svc *corev1.Service
		var list []*discoveryv1.EndpointSlice
		if json.Unmarshal(service, &svc) != nil || json.Unmarshal(endpointSlices, &list) != nil {
			t.Skip("not objects")
		}
		list = slices.DeleteFunc(list, func(s *discoveryv1.EndpointSlice) bool { return s == nil })
		o, settings := fuzzOptions(seed)
		before := svc.DeepCopy()
		r := render.Service(svc, readSlices(list), o, settings)
		check(t, r, svc, o)
		checkExplained(t, render.Explain(svc, readSlices(list), o, r.Settings), r, svc)
		if !reflect.DeepEqual(before, svc) {
			t.Error("rendering changed the Service")
		}
		if again := render.Service(svc, readSlices(list), o, r.Settings); len(r.Servers) > 0 && !reflect.DeepEqual(r.Servers, again.Servers) {
			t.Errorf("rendered a second time, another result:\n%s\n%s", format(r), format(again))
		}
		if hasTwins(list) {
			return // two slices of one name cannot be; which of their weights counts is then anybody's guess
		}
		random := rand.New(rand.NewPCG(seed, 2))
		for range 4 {
			shuffle(list, random)
			if again := render.Service(svc, readSlices(list), o, settings); !reflect.DeepEqual(r, again) {
				t.Fatalf("another order of slices, ports or endpoints, another result:\n%s\n%s", format(r), format(again))
			}
		}
	})
}

// fuzzOptions makes a node out of the bits of a number.
func fuzzOptions(seed uint64) (o render.Options, before render.Settings) {
	o = render.Options{
		Scheduler: "wrr", NodeName: "this", IPv6: seed&1 == 0, Localhost: seed&2 != 0,
		Excluded: []netip.Prefix{netip.MustParsePrefix("10.97.0.0/16"), netip.MustParsePrefix("fd00:97::/64")},
		Refused:  whose,
		Usable: func(scheduler string) error {
			if scheduler == "twos" {
				return errors.New("not here")
			}
			return nil
		},
	}
	if seed&4 != 0 {
		o.Zone = "z1"
	}
	if seed&8 != 0 {
		o.NodePortAddrs = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("10.97.0.1")}
		o.NodeIPs = o.NodePortAddrs
		if o.IPv6 {
			o.NodePortAddrs = append(o.NodePortAddrs, netip.MustParseAddr("2001:db8::1"))
		}
	}
	if seed&16 != 0 {
		o.AllowedExternalIPs = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	}
	if seed&32 != 0 {
		timeout := time.Minute
		before = render.Settings{Scheduler: "lc", DrainTimeout: &timeout, Weights: map[string]uint16{"/": 7}}
	}
	return o, before
}

// whose owns a few addresses; a load balancer may have one of them all the same.
func whose(kind render.Kind, addr netip.Addr) string {
	switch {
	case addr == netip.MustParseAddr("192.0.2.9"):
		return "the API server"
	case addr == netip.MustParseAddr("192.0.2.8") && kind == render.ExternalIP:
		return "this node"
	}
	return ""
}

func hasTwins(list []*discoveryv1.EndpointSlice) bool {
	seen := make(map[string]bool)
	for _, slice := range list {
		name := slice.Namespace + "/" + slice.Name
		if seen[name] && slice.Annotations[render.AnnotationWeight] != "" {
			return true
		}
		seen[name] = true
	}
	return false
}

// usable is written apart from the implementation, from what IPVS and the API server refuse.
func usable(a netip.Addr) bool {
	if slices.ContainsFunc(never, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return false
	}
	return a.IsValid() && a.Zone() == "" && !a.Is4In6()
}

var never = func() (list []netip.Prefix) {
	for _, text := range []string{"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32",
		"::/128", "::1/128", "fe80::/10", "ff00::/8", "::ffff:0:0/96"} {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}()

var fuzzSeeds = []struct{ service, slices string }{
	{`null`, `[]`},
	{
		`{"metadata":{"name":"a"},"spec":{"clusterIP":"10.96.0.1","clusterIPs":["10.96.0.1","fd00::1"],"sessionAffinity":"ClientIP",
		  "sessionAffinityConfig":{"clientIP":{"timeoutSeconds":5}},
		  "ports":[{"name":"p","port":80},{"name":"q","port":53,"protocol":"UDP"},{"name":"q","port":53,"protocol":"UDP"}]}}`,
		`[{"addressType":"IPv4","ports":[{"name":"p","port":8080,"protocol":"TCP"},{"name":"q","port":53,"protocol":"UDP"}],
		   "endpoints":[{"addresses":["10.1.0.1"],"nodeName":"this"},{"addresses":["10.1.0.2"],"conditions":{"ready":false}}]},
		  {"addressType":"IPv4","ports":[{"name":"p","port":8080,"protocol":"TCP"}],
		   "endpoints":[{"addresses":["10.1.0.1"],"nodeName":"other"},
		     {"addresses":["10.1.0.2"],"conditions":{"ready":false,"serving":true,"terminating":true}},
		     {"addresses":["10.1.0.2"],"conditions":{"ready":false,"serving":false,"terminating":true}}]},
		  {"addressType":"IPv6","ports":[{"name":"p","port":8080}],"endpoints":[{"addresses":["fd00:1::1"]},{"addresses":["::1"]}]}]`,
	},
	{
		`{"spec":{"clusterIP":"10.97.0.1","clusterIPs":["::ffff:1.2.3.4","fe80::1%x","10.96.0.1"],"ports":[{"port":0},{"port":70000},{"port":1}]}}`,
		`[{"addressType":"FQDN"},{"addressType":"IPv4","ports":[{"port":null},{"port":-1},{"port":9}],
		   "endpoints":[{"addresses":[]},{"addresses":["127.0.0.1"]},{"addresses":["10.1.0.1","x"]}]}]`,
	},
	{
		`{"metadata":{"annotations":{"fairlead.io/scheduler":"sh","fairlead.io/scheduler-flags":"sh-port","fairlead.io/drain-timeout":"5s"}},
		  "spec":{"type":"LoadBalancer","clusterIPs":["10.96.0.1","fd00::1"],"externalTrafficPolicy":"Local","internalTrafficPolicy":"Local","sessionAffinity":"ClientIP",
		  "externalIPs":["203.0.113.1","192.0.2.8","203.0.113.2","x"],"healthCheckNodePort":30011,
		  "loadBalancerSourceRanges":["192.0.2.0/24"," 10.0.0.0/8","192.0.2.7/24","x","::/0"],
		  "ports":[{"name":"p","port":80,"nodePort":30001},{"name":"q","port":53,"nodePort":30001,"protocol":"UDP"},{"name":"r","port":80,"nodePort":-1}]},
		  "status":{"loadBalancer":{"ingress":[{"ip":"203.0.113.2"},{"ip":"192.0.2.8"},{"ip":"2001:db8::7","ipMode":"VIP"},{"ip":"192.0.2.9"},
		    {"ip":"1.2.3.4","ipMode":"Proxy"},{"hostname":"h"}]}}}`,
		`[{"metadata":{"annotations":{"fairlead.io/weight":"3"}},"addressType":"IPv4","ports":[{"name":"p","port":8080},{"name":"q","port":53,"protocol":"UDP"}],
		   "endpoints":[{"addresses":["10.1.0.1"],"nodeName":"this","hints":{"forZones":[{"name":"z1"}],"forNodes":[{"name":"this"}]}},
		     {"addresses":["10.1.0.2"],"nodeName":"other","hints":{"forZones":[{"name":"z2"}],"forNodes":[{"name":"other"}]}}]},
		  {"metadata":{"name":"b","annotations":{"fairlead.io/weight":"x"}},"addressType":"IPv6","ports":[{"name":"p","port":8080}],
		   "endpoints":[{"addresses":["fd00:1::1"],"nodeName":"other","conditions":{"ready":false,"serving":true,"terminating":true}}]}]`,
	},
	{
		`{"metadata":{"annotations":{"fairlead.io/scheduler":"twos","fairlead.io/drain-timeout":"-1s"}},
		  "spec":{"type":"NodePort","clusterIP":"10.97.0.1","externalTrafficPolicy":"Local","ports":[{"port":80,"nodePort":30001}]}}`,
		`[{"addressType":"IPv4","ports":[{"port":8080}],"endpoints":[{"addresses":["10.1.0.1"],"nodeName":"other","hints":{}}]}]`,
	},
	{`{"spec":{"clusterIP":"None"}}`, `[]`},
	{`{"spec":{"type":"ExternalName"}}`, `[null]`},
}

// TestAChoiceBetweenDuplicatesDependsOnlyOnTheirStates tries every pair of states of two endpoints
// with one address, in both orders.
func TestAChoiceBetweenDuplicatesDependsOnlyOnTheirStates(t *testing.T) {
	svc := &corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.1", Ports: []corev1.ServicePort{{Port: 80}}}}
	state := func(bits int) discoveryv1.Endpoint {
		bit := func(n int) *bool { b := bits&n != 0; return &b }
		node := "other"
		if bits&8 != 0 {
			node = "this"
		}
		return discoveryv1.Endpoint{
			Addresses: []string{"10.1.0.1"}, NodeName: &node,
			Conditions: discoveryv1.EndpointConditions{Ready: bit(1), Serving: bit(2), Terminating: bit(4)},
		}
	}
	port := int32(8080)
	result := func(endpoints ...discoveryv1.Endpoint) render.Rendered {
		var list []*discoveryv1.EndpointSlice
		for _, e := range endpoints {
			list = append(list, &discoveryv1.EndpointSlice{
				AddressType: discoveryv1.AddressTypeIPv4,
				Ports:       []discoveryv1.EndpointPort{{Port: &port}}, Endpoints: []discoveryv1.Endpoint{e},
			})
		}
		return render.Service(svc, readSlices(list), render.Options{Scheduler: "rr", NodeName: "this"}, render.Settings{})
	}
	for a := range 16 {
		for b := range 16 {
			there, back := result(state(a), state(b)), result(state(b), state(a))
			if !reflect.DeepEqual(there, back) {
				t.Errorf("states %04b and %04b: the order decides", a, b)
			}
			if a&4 == 0 && b&4 != 0 && !reflect.DeepEqual(there, result(state(a))) {
				t.Errorf("states %04b and %04b: the one that is not terminating does not win", a, b)
			}
			alone := []render.Rendered{result(state(a)), result(state(b))}
			if !slices.ContainsFunc(alone, func(r render.Rendered) bool { return r.Servers[0].Reals.Equal(there.Servers[0].Reals) }) {
				t.Errorf("states %04b and %04b: neither of the two", a, b)
			}
		}
	}
}
