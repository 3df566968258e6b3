package source

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// shelf holds the objects of one kind and offers them as a cache.ListerWatcher, so that objects
// from files pass through the same reflectors as those of the API server. It is safe for
// concurrent use.
type shelf struct {
	list func([]object, metav1.ListMeta) runtime.Object

	mu       sync.Mutex
	version  int
	objects  map[string]shelved
	watchers map[*shelfWatch]struct{}
}

// shelved is an object as it was given, never changed, and the version of its last change.
type shelved struct {
	object  object
	version int
}

func newShelf(list func([]object, metav1.ListMeta) runtime.Object) *shelf {
	return &shelf{list: list, version: 1, objects: map[string]shelved{}, watchers: map[*shelfWatch]struct{}{}}
}

func keyOf(o object) string { return o.GetNamespace() + "/" + o.GetName() }

// replace makes the shelf hold exactly these objects, which must not be changed any more, and tells
// the watchers what is different: first what is there, so that an object under a new name takes
// over before the old one goes, then what is not. An object that is the same pointer is the same.
func (s *shelf) replace(next map[string]object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, o := range next {
		old, exists := s.objects[key]
		switch {
		case !exists:
			s.put(watch.Added, key, o)
		case old.object == o:
		case equality.Semantic.DeepEqual(old.object, o):
			s.objects[key] = shelved{o, old.version} // the old one can go, and the next comparison is free
		default:
			s.put(watch.Modified, key, o)
		}
	}
	for key, old := range s.objects {
		if _, stays := next[key]; !stays {
			s.put(watch.Deleted, key, old.object)
			delete(s.objects, key)
		}
	}
}

// put gives the object the next version and queues the event for every watcher.
func (s *shelf) put(event watch.EventType, key string, o object) {
	s.version++
	now := shelved{o, s.version}
	s.objects[key] = now
	for w := range s.watchers {
		w.queue(watch.Event{Type: event, Object: now.copy()})
	}
}

// copy returns the object for somebody who may change it.
func (o shelved) copy() object {
	c := o.object.DeepCopyObject().(object)
	c.SetResourceVersion(strconv.Itoa(o.version))
	return c
}

// List implements cache.Lister.
func (s *shelf) List(metav1.ListOptions) (runtime.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var objects []object
	for _, key := range slices.Sorted(maps.Keys(s.objects)) {
		objects = append(objects, s.objects[key].copy())
	}
	return s.list(objects, metav1.ListMeta{ResourceVersion: strconv.Itoa(s.version)}), nil
}

// Watch implements cache.Watcher. No history is kept: a watch from an older version than the
// current one is told to list again, as the API server does.
func (s *shelf) Watch(o metav1.ListOptions) (watch.Interface, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o.ResourceVersion != strconv.Itoa(s.version) {
		return nil, apierrors.NewResourceExpired("the directory has changed since version " + o.ResourceVersion)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &shelfWatch{results: make(chan watch.Event), wake: make(chan struct{}, 1), ctx: ctx}
	w.stop = func() {
		cancel()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, w)
	}
	s.watchers[w] = struct{}{}
	go w.deliver()
	return w, nil
}

// IsWatchListSemanticsUnSupported tells client-go to list first and watch then.
func (s *shelf) IsWatchListSemanticsUnSupported() bool { return true }

// shelfWatch is one watch. Its queue has no limit, so that a slow reader blocks nobody.
type shelfWatch struct {
	results chan watch.Event
	wake    chan struct{}
	ctx     context.Context
	stop    func()

	mu      sync.Mutex
	pending []watch.Event
}

func (w *shelfWatch) queue(e watch.Event) {
	w.mu.Lock()
	w.pending = append(w.pending, e)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *shelfWatch) deliver() {
	defer close(w.results)
	for {
		w.mu.Lock()
		events := w.pending
		w.pending = nil
		w.mu.Unlock()
		for _, e := range events {
			select {
			case w.results <- e:
			case <-w.ctx.Done():
				return
			}
		}
		if len(events) > 0 {
			continue
		}
		select {
		case <-w.wake:
		case <-w.ctx.Done():
			return
		}
	}
}

// ResultChan implements watch.Interface.
func (w *shelfWatch) ResultChan() <-chan watch.Event { return w.results }

// Stop implements watch.Interface.
func (w *shelfWatch) Stop() { w.stop() }
