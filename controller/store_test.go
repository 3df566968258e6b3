package controller

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/fairlead-lb/fairlead/controller/source"
)

// told records what reflectors tell, in order.
type told struct{ list []string }

func (l *told) take() []string {
	list := l.list
	l.list = nil
	slices.Sort(list)
	return list
}

// listening returns reflectors that nothing runs, and what they tell.
func listening() (*reflectors, *told) {
	var heard told
	r := newReflectors(source.Source{
		Services: new(cache.ListWatch), EndpointSlices: new(cache.ListWatch), Nodes: new(cache.ListWatch),
	}, nodeName, changes{
		service:  func(name types.NamespacedName) { heard.list = append(heard.list, name.String()) },
		node:     func() { heard.list = append(heard.list, "node") },
		services: new(changeCounts), endpoints: new(changeCounts),
	})
	return r, &heard
}

func versioned(svc *corev1.Service, version string) *corev1.Service {
	svc.ResourceVersion = version
	return svc
}

// sliceOf is one endpoint of a Service, as the API server has it.
func sliceOf(service, name, addr, version string) *discoveryv1.EndpointSlice {
	s := endpoints(addr)
	s.Name, s.ResourceVersion = name, version
	if service != "" {
		s.Labels = map[string]string{discoveryv1.LabelServiceName: service}
	}
	return s
}

func TestAStoreTellsWhatChanges(t *testing.T) {
	r, heard := listening()
	web := func(version string) *corev1.Service { return versioned(service("web", "10.96.0.1"), version) }
	for _, step := range []struct {
		what string
		do   func() error
		want []string
	}{
		{"come", func() error { return r.services.Add(web("1")) }, []string{"ns/web"}},
		{"another version", func() error { return r.services.Update(web("2")) }, []string{"ns/web"}},
		{"listed anew as they are, with one more", func() error {
			return r.services.Replace([]any{web("2"), versioned(service("dns", "10.96.0.2"), "3")}, "3")
		}, []string{"ns/dns"}},
		{"listed anew, one changed and one gone", func() error { return r.services.Replace([]any{web("4")}, "4") }, []string{"ns/dns", "ns/web"}},
		{"gone", func() error { return r.services.Delete(web("5")) }, []string{"ns/web"}},
		{"gone again", func() error { return r.services.Delete(web("5")) }, nil},
	} {
		if err := step.do(); err != nil {
			t.Fatal(step.what, err)
		}
		if diff := cmp.Diff(step.want, heard.take()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.what, diff)
		}
	}
	if r.count() != 0 || len(r.names()) != 0 || r.service(named("web")) != nil {
		t.Errorf("left: %v", r.names())
	}
}

func TestASliceIsItsServices(t *testing.T) {
	r, heard := listening()
	step := func(what string, err error, told []string, web, other int) {
		t.Helper()
		if err != nil {
			t.Fatal(what, err)
		}
		if diff := cmp.Diff(told, heard.take()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
		if a, b := len(r.endpointSlices(named("web"))), len(r.endpointSlices(named("other"))); a != web || b != other {
			t.Errorf("%s: %d slices of web, %d of other; want %d and %d", what, a, b, web, other)
		}
	}
	step("first", r.slices.Add(sliceOf("web", "a", "10.1.0.1", "1")), []string{"ns/web"}, 1, 0)
	before := r.endpointSlices(named("web"))
	step("second", r.slices.Add(sliceOf("web", "b", "10.1.0.2", "2")), []string{"ns/web"}, 2, 0)
	step("changed", r.slices.Update(sliceOf("web", "a", "10.1.0.3", "3")), []string{"ns/web"}, 2, 0)
	if len(before) != 1 || before[0].Addresses[0].String() != "10.1.0.1" {
		t.Errorf("a list that somebody reads has changed: %v", before)
	}
	if list := r.endpointSlices(named("web")); list[0].Name != "ns/a" || list[1].Name != "ns/b" {
		t.Errorf("the one that changed has lost its place: %s before %s", list[0].Name, list[1].Name)
	}
	step("another's", r.slices.Update(sliceOf("other", "a", "10.1.0.3", "4")), []string{"ns/other", "ns/web"}, 1, 1)
	step("nobody's", r.slices.Update(sliceOf("", "a", "10.1.0.3", "5")), []string{"ns/other"}, 1, 0)
	step("listed anew", r.slices.Replace([]any{sliceOf("other", "c", "10.1.0.9", "6")}, "6"), []string{"ns/other", "ns/web"}, 0, 1)
	step("gone", r.slices.Delete(sliceOf("other", "c", "10.1.0.9", "7")), []string{"ns/other"}, 0, 0)
	if len(r.byService) != 0 {
		t.Errorf("the index keeps %v", r.byService)
	}
}

// TestTheFirstListIsWhole: nobody waits for less than all of it, nor in vain where there is nothing.
func TestTheFirstListIsWhole(t *testing.T) {
	r, _ := listening()
	var list []any
	for n := range 100 {
		list = append(list, sliceOf("web", fmt.Sprint(n), "10.1.0.1", fmt.Sprint(n+1)))
	}
	for _, one := range []struct {
		filled chan struct{}
		fill   func() error
	}{
		{r.services.filled, func() error { return r.services.Replace(nil, "1") }},
		{r.slices.filled, func() error { return r.slices.Replace(list, "1") }},
		{r.allNodes.filled, func() error { return r.allNodes.Replace(nil, "1") }},
	} {
		select {
		case <-one.filled:
			t.Error("filled before the first list")
		default:
		}
		for range 2 { // and a second list is no trouble
			if err := one.fill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := r.wait(t.Context()); err != nil {
		t.Error(err)
	}
	if got := len(r.endpointSlices(named("web"))); got != len(list) {
		t.Errorf("%d slices", got)
	}
}

// TestAStoreRefusesWhatIsNotOfItsKind, and keeps the rest.
func TestAStoreRefusesWhatIsNotOfItsKind(t *testing.T) {
	r, _ := listening()
	if err := r.services.Replace([]any{&corev1.Node{}, service("web", "10.96.0.1")}, "1"); err == nil {
		t.Error("no error")
	}
	if r.service(named("web")) == nil {
		t.Error("one bad object, and the good one is lost")
	}
	if err := r.slices.Add(&corev1.Node{}); err == nil {
		t.Error("a Node as EndpointSlice: no error")
	}
}

// TestTheServicesOfWhatChangedLastComeFirst, by the count of the API server and not by its text.
func TestTheServicesOfWhatChangedLastComeFirst(t *testing.T) {
	r, _ := listening()
	for _, slice := range []*discoveryv1.EndpointSlice{
		sliceOf("ninth", "a", "10.1.0.1", "9"), sliceOf("tenth", "b", "10.1.0.2", "10"), sliceOf("file", "c", "10.1.0.3", "of a file"),
		sliceOf("later", "d", "10.1.0.4", "2"), sliceOf("later", "e", "10.1.0.5", "4294967296000"),
	} {
		if err := r.slices.Add(slice); err != nil {
			t.Fatal(err)
		}
	}
	want := []types.NamespacedName{named("later"), named("tenth"), named("ninth"), named("later"), named("file")}
	if diff := cmp.Diff(want, r.changedLast()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
