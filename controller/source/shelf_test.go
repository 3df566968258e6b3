package source

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

func serviceShelf() *shelf { return newDirectory("", nil).services }

// these makes the contents of a shelf from "name=VIP" pairs.
func these(vips map[string]string) map[string]object {
	objects := make(map[string]object)
	for name, vip := range vips {
		o := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "n"}, Spec: corev1.ServiceSpec{ClusterIP: vip}}
		objects[keyOf(o)] = o
	}
	return objects
}

// seen records what an informer tells, in the order of its telling.
type seen struct {
	mu     sync.Mutex
	events []string
}

func (s *seen) add(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, fmt.Sprintf(format, args...))
}

func (s *seen) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	events := s.events
	s.events = nil
	return events
}

func vipOf(o any) string { return o.(*corev1.Service).Spec.ClusterIP }

// informer runs a real informer on the lister and watcher until the test ends.
func informer(t *testing.T, lw cache.ListerWatcher) (cache.SharedIndexInformer, *seen) {
	t.Helper()
	i := cache.NewSharedIndexInformer(lw, &corev1.Service{}, 0, cache.Indexers{})
	events := new(seen)
	if _, err := i.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) { events.add("add %s %s", o.(object).GetName(), vipOf(o)) },
		UpdateFunc: func(old, o any) {
			events.add("update %s %s %s", o.(object).GetName(), vipOf(old), vipOf(o))
		},
		DeleteFunc: func(o any) {
			if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			events.add("delete %s %s", o.(object).GetName(), vipOf(o))
		},
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := withCancel(t)
	done := make(chan struct{})
	go func() { defer close(done); i.RunWithContext(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	eventually(t, func() string {
		if !i.HasSynced() {
			return "the informer does not sync"
		}
		return ""
	})
	return i, events
}

func wantEvents(t *testing.T, events *seen, want ...string) {
	t.Helper()
	var got []string
	eventually(t, func() string {
		if got = append(got, events.take()...); len(got) < len(want) {
			return fmt.Sprintf("events %q, want %q", got, want)
		}
		return ""
	})
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
}

// watched waits until somebody watches, so that changes come as events and not as a list.
func watched(t *testing.T, s *shelf, n int) {
	t.Helper()
	eventually(t, func() string {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.watchers) != n {
			return fmt.Sprintf("%d watchers, want %d", len(s.watchers), n)
		}
		return ""
	})
}

func TestAnInformerHearsOfEveryChangeExactlyOnce(t *testing.T) {
	s := serviceShelf()
	s.replace(these(map[string]string{"a": "1", "b": "2"}))
	i, events := informer(t, s)
	wantEvents(t, events, "add a 1", "add b 2")
	watched(t, s, 1)

	s.replace(these(map[string]string{"a": "1", "b": "3", "c": "4"}))
	wantEvents(t, events, "update b 2 3", "add c 4")
	s.replace(these(map[string]string{"a": "1", "b": "3", "c": "4"}))
	s.replace(these(map[string]string{"c": "4", "d": "5"}))
	wantEvents(t, events, "delete a 1", "delete b 3", "add d 5")
	s.replace(these(map[string]string{"a": "6"}))
	wantEvents(t, events, "delete c 4", "delete d 5", "add a 6")

	for n := range 100 {
		s.replace(these(map[string]string{"a": strconv.Itoa(n)}))
	}
	want := []string{"update a 6 0"}
	for n := 1; n < 100; n++ {
		want = append(want, fmt.Sprintf("update a %d %d", n-1, n))
	}
	wantEvents(t, events, want...)
	if got := len(i.GetStore().List()); got != 1 {
		t.Errorf("%d objects in the informer's store", got)
	}
}

func TestAnInformerEndsUpWithWhatTheShelfHolds(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	s := serviceShelf()
	i, _ := informer(t, s)
	var last map[string]object
	for range 300 {
		vips := make(map[string]string)
		for n := range 20 {
			if random.IntN(3) > 0 {
				vips[fmt.Sprint("s", n)] = fmt.Sprint(random.IntN(3))
			}
		}
		last = these(vips)
		s.replace(last)
	}
	eventually(t, func() string {
		store := make(map[string]string)
		for _, o := range i.GetStore().List() {
			store[keyOf(o.(object))] = vipOf(o)
		}
		want := make(map[string]string)
		for key, o := range last {
			want[key] = vipOf(o)
		}
		if !maps.Equal(store, want) {
			return fmt.Sprintf("store %v, want %v", store, want)
		}
		return ""
	})
}

// changingShelf changes after each of its first lists, so that a watch from the list's version
// comes too late.
type changingShelf struct {
	*shelf
	mu             sync.Mutex
	changes        []map[string]object
	lists, expired int
}

func (c *changingShelf) List(o metav1.ListOptions) (runtime.Object, error) {
	list, err := c.shelf.List(o)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lists++
	if len(c.changes) > 0 {
		c.shelf.replace(c.changes[0])
		c.changes = c.changes[1:]
	}
	return list, err
}

func (c *changingShelf) Watch(o metav1.ListOptions) (watch.Interface, error) {
	w, err := c.shelf.Watch(o)
	c.mu.Lock()
	defer c.mu.Unlock()
	if apierrors.IsResourceExpired(err) {
		c.expired++
	}
	return w, err
}

func TestAReflectorThatComesTooLateListsAgain(t *testing.T) {
	t.Parallel()
	s := serviceShelf()
	s.replace(these(map[string]string{"a": "1", "b": "2"}))
	c := &changingShelf{shelf: s, changes: []map[string]object{these(map[string]string{"a": "3", "c": "4"})}}
	_, events := informer(t, c)
	wantEvents(t, events, "add a 1", "add b 2", "update a 1 3", "delete b 2", "add c 4")
	watched(t, s, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lists != 2 || c.expired != 1 {
		t.Errorf("%d lists, %d watches expired", c.lists, c.expired)
	}
}

func TestAWatchFromAnyOtherVersionIsExpired(t *testing.T) {
	s := serviceShelf()
	s.replace(these(map[string]string{"a": "1"}))
	current := strconv.Itoa(s.version)
	for _, version := range []string{"", "0", "1", strconv.Itoa(s.version + 1), "x"} {
		if w, err := s.Watch(metav1.ListOptions{ResourceVersion: version}); !apierrors.IsResourceExpired(err) {
			t.Errorf("version %q: %v, error %v", version, w, err)
		}
	}
	w, err := s.Watch(metav1.ListOptions{ResourceVersion: current})
	if err != nil {
		t.Fatal(err)
	}
	w.Stop()
	if !s.IsWatchListSemanticsUnSupported() {
		t.Error("client-go would ask for a list by watch, which a shelf cannot do")
	}
}

func open(t *testing.T, s *shelf) watch.Interface {
	t.Helper()
	w, err := s.Watch(metav1.ListOptions{ResourceVersion: strconv.Itoa(s.version)})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func next(t *testing.T, w watch.Interface) (event watch.Event, more bool) {
	t.Helper()
	select {
	case event, more = <-w.ResultChan():
	case <-time.After(10 * time.Second):
		t.Fatal("no event")
	}
	return event, more
}

func TestASlowReaderBlocksNobodyAndLosesNothing(t *testing.T) {
	s := serviceShelf()
	slow, fast := open(t, s), open(t, s)
	defer slow.Stop()
	defer fast.Stop()
	const n = 1000
	for i := range n {
		s.replace(these(map[string]string{"a": strconv.Itoa(i)}))
		if event, _ := next(t, fast); vipOf(event.Object) != strconv.Itoa(i) {
			t.Fatalf("event %d is %v", i, event)
		}
	}
	before := 0
	for i := range n {
		event, _ := next(t, slow)
		version, err := strconv.Atoi(event.Object.(object).GetResourceVersion())
		if err != nil || version <= before || vipOf(event.Object) != strconv.Itoa(i) || (event.Type == watch.Added) != (i == 0) {
			t.Fatalf("event %d, after version %d, is %v", i, before, event)
		}
		before = version
	}
}

func TestStoppingAWatchTwiceIsHarmless(t *testing.T) {
	s := serviceShelf()
	w := open(t, s)
	s.replace(these(map[string]string{"a": "1"})) // is never read
	w.Stop()
	w.Stop()
	watched(t, s, 0)
	for more := true; more; {
		_, more = next(t, w)
	}
	s.replace(these(map[string]string{"a": "2"}))
}

// TestNothingIsSharedWithTheReaders: informers cut down what they get.
func TestNothingIsSharedWithTheReaders(t *testing.T) {
	s := serviceShelf()
	given := these(map[string]string{"a": "1"})
	w, other := open(t, s), open(t, s)
	defer w.Stop()
	defer other.Stop()
	s.replace(given)
	spoil := func(o any) {
		svc := o.(*corev1.Service)
		svc.Spec.ClusterIP, svc.Labels = "spoilt", map[string]string{"x": "y"}
	}
	event, _ := next(t, w)
	spoil(event.Object)
	list, err := s.List(metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	spoil(&list.(*corev1.ServiceList).Items[0])
	if event, _ = next(t, other); vipOf(event.Object) != "1" {
		t.Errorf("another watch got %v", event.Object)
	}
	if list, err = s.List(metav1.ListOptions{}); err != nil || list.(*corev1.ServiceList).Items[0].Spec.ClusterIP != "1" {
		t.Errorf("listed %v, error %v", list, err)
	}
	if !reflect.DeepEqual(given, these(map[string]string{"a": "1"})) {
		t.Error("the objects that were put on the shelf have been changed")
	}
	s.replace(these(map[string]string{"a": "1"}))
	if s.version != 2 {
		t.Error("a reader's change made the shelf believe that the object is another")
	}
}

func TestWhatIsNewIsToldBeforeWhatIsGone(t *testing.T) {
	s := serviceShelf()
	s.replace(these(map[string]string{"a": "1", "b": "1", "c": "1"}))
	w := open(t, s)
	defer w.Stop()
	s.replace(these(map[string]string{"c": "2", "d": "1", "e": "1"}))
	var kinds []watch.EventType
	for range 5 {
		event, _ := next(t, w)
		kinds = append(kinds, event.Type)
	}
	if slices.Contains(kinds[:3], watch.Deleted) || kinds[3] != watch.Deleted || kinds[4] != watch.Deleted {
		t.Errorf("events in the order %v", kinds)
	}
}

func TestAShelfMayBeUsedFromEverywhereAtOnce(t *testing.T) {
	s := serviceShelf()
	var group sync.WaitGroup
	for n := range 4 {
		group.Go(func() {
			for i := range 50 {
				s.replace(these(map[string]string{fmt.Sprint("s", n): strconv.Itoa(i)}))
			}
		})
		group.Go(func() {
			for range 50 {
				list, err := s.List(metav1.ListOptions{})
				if err != nil {
					t.Error(err)
					return
				}
				w, err := s.Watch(metav1.ListOptions{ResourceVersion: list.(*corev1.ServiceList).ResourceVersion})
				if err != nil {
					continue // overtaken
				}
				select {
				case <-w.ResultChan():
				case <-time.After(time.Millisecond):
				}
				w.Stop()
			}
		})
	}
	group.Wait()
	if len(s.watchers) != 0 || len(s.objects) != 1 {
		t.Errorf("%d watchers, %d objects left", len(s.watchers), len(s.objects))
	}
}
