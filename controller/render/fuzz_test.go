package render_test

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/fairlead-lb/fairlead/controller/render"
	"github.com/fairlead-lb/fairlead/ipvs"
)

// FuzzService renders whatever JSON can say and checks what must hold of any result.
func FuzzService(f *testing.F) {
	for _, seed := range fuzzSeeds {
		f.Add([]byte(seed.service), []byte(seed.slices), uint64(1))
	}
	f.Fuzz(func(t *testing.T, service, endpointSlices []byte, seed uint64) {
		var svc *corev1.Service
		var list []*discoveryv1.EndpointSlice
		if json.Unmarshal(service, &svc) != nil || json.Unmarshal(endpointSlices, &list) != nil {
			t.Skip("not objects")
		}
		list = slices.DeleteFunc(list, func(s *discoveryv1.EndpointSlice) bool { return s == nil })
		o := render.Options{
			Scheduler: "wrr", NodeName: "this", IPv6: seed%2 == 0,
			Excluded: []netip.Prefix{netip.MustParsePrefix("10.97.0.0/16"), netip.MustParsePrefix("fd00:97::/64")},
		}
		before := svc.DeepCopy()
		r := render.Service(svc, list, o, render.Settings{})
		check(t, r, o)
		if !reflect.DeepEqual(before, svc) {
			t.Error("rendering changed the Service")
		}
		random := rand.New(rand.NewPCG(seed, 2))
		for range 4 {
			shuffle(list, random)
			if again := render.Service(svc, list, o, render.Settings{}); !reflect.DeepEqual(r, again) {
				t.Fatalf("another order of slices, ports or endpoints, another result:\n%s\n%s", format(r), format(again))
			}
		}
	})
}

func check(t *testing.T, r render.Rendered, o render.Options) {
	t.Helper()
	if (len(r.Servers) == 0) != (r.Reason != "") {
		t.Errorf("%d servers and the reason %q for there being none", len(r.Servers), r.Reason)
	}
	seen := make(map[ipvs.Key]bool)
	families := make(map[bool]bool)
	for _, s := range r.Servers {
		vip := s.Key.Addr.Addr()
		if seen[s.Key] {
			t.Errorf("%s is there twice", s.Key)
		}
		seen[s.Key], families[vip.Is4()] = true, true
		if !usable(vip) || s.Key.Addr.Port() == 0 || vip.Is6() && !o.IPv6 || o.Excluded[0].Contains(vip) || o.Excluded[1].Contains(vip) {
			t.Errorf("%s can be no virtual server here", s.Key)
		}
		if !slices.Contains([]ipvs.Protocol{ipvs.TCP, ipvs.UDP, ipvs.SCTP}, s.Key.Protocol) {
			t.Errorf("%s: unknown protocol", s.Key)
		}
		if p := s.Config.Persistence; p < 0 || p > 24*time.Hour || p%time.Second != 0 {
			t.Errorf("%s: persistence %v", s.Key, p)
		}
		if s.Config.Scheduler != o.Scheduler || s.Config.Flags != o.Flags {
			t.Errorf("%s: %+v is not what the options say", s.Key, s.Config)
		}
		for at, v := range s.Reals {
			if !usable(at.Addr()) || at.Addr().Is4() != vip.Is4() || at.Port() == 0 || v != (ipvs.RealServer{Weight: 1}) {
				t.Errorf("%s: real server %s %+v", s.Key, at, v)
			}
		}
	}
	for n, addr := range r.Hairpin {
		if !families[addr.Is4()] || !usable(addr) {
			t.Errorf("hairpin entry %s of a family or kind that has no virtual server", addr)
		}
		if n > 0 && !r.Hairpin[n-1].Less(addr) {
			t.Errorf("hairpin entries not sorted or not unique: %v", r.Hairpin)
		}
	}
}

// usable is written apart from the implementation, from what IPVS and the API server refuse.
func usable(a netip.Addr) bool {
	if slices.ContainsFunc(never, func(p netip.Prefix) bool { return p.Contains(a) }) {
		return false
	}
	return a.IsValid() && a.Zone() == "" && !a.Is4In6()
}

var never = func() (list []netip.Prefix) {
	for _, text := range []string{"0.0.0.0/32", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "255.255.255.255/32",
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
		return render.Service(svc, list, render.Options{Scheduler: "rr", NodeName: "this"}, render.Settings{})
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
			if !slices.ContainsFunc(alone, func(r render.Rendered) bool { return maps.Equal(r.Servers[0].Reals, there.Servers[0].Reals) }) {
				t.Errorf("states %04b and %04b: neither of the two", a, b)
			}
		}
	}
}
