package controller

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// object is what a store keeps.
type object interface {
	comparable
	GetNamespace() string
	GetName() string
	GetResourceVersion() string
}

// store keeps the objects of one kind as a reflector hands them over, cut down to what is used, and tells what changes.
// client-go's informers do the same with a queue, indexes of strings and goroutines between, which at the start
// costs more than to read the objects, and Fairlead has one listener only. One reflector writes; anybody may read.
type store[T object] struct {
	read  func(any) (T, error) // cuts an object down; also one that it has cut down already
	index func(before, now T)  // while nobody reads; nil: nothing is indexed
	tell  func(before, now T)  // that the object is there now, is another one, or, without now, is gone

	mu     sync.RWMutex
	kept   map[types.NamespacedName]T
	filled chan struct{} // closed when everything of the first list is kept, and told
	first  sync.Once
}

var _ cache.TransformingStore = (*store[*slice])(nil)

func newStore[T object](read func(any) (T, error), tell func(before, now T)) *store[T] {
	return &store[T]{read: read, tell: tell, kept: make(map[types.NamespacedName]T), filled: make(chan struct{})}
}

// Transformer implements cache.TransformingStore: what waits for the end of the first list is cut down already.
func (s *store[T]) Transformer() cache.TransformFunc {
	return func(object any) (any, error) { return s.read(object) }
}

// Add implements cache.ReflectorStore.
func (s *store[T]) Add(object any) error { return s.Update(object) }

// Update implements cache.ReflectorStore.
func (s *store[T]) Update(object any) error {
	now, err := s.read(object)
	if err != nil {
		return err
	}
	s.tell(s.set(fullName(now), now), now)
	return nil
}

// Delete implements cache.ReflectorStore.
func (s *store[T]) Delete(object any) error {
	gone, err := s.read(object)
	if err != nil {
		return err
	}
	s.remove(fullName(gone))
	return nil
}

// Replace implements cache.ReflectorStore. What is as it was is not told again: after a connection was lost everything
// is listed anew.
func (s *store[T]) Replace(list []any, _ string) error {
	var errs []error
	s.expect(len(list))
	listed := make(map[types.NamespacedName]struct{}, len(list))
	for _, object := range list {
		now, err := s.read(object)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		name := fullName(now)
		listed[name] = struct{}{}
		if before, there := s.get(name); !there || !sameVersion(before, now) {
			s.tell(s.set(name, now), now)
		}
	}
	for _, name := range s.names() {
		if _, stays := listed[name]; !stays {
			s.remove(name)
		}
	}
	s.first.Do(func() { close(s.filled) })
	return errors.Join(errs...)
}

// expect makes room for the first list.
func (s *store[T]) expect(objects int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) == 0 {
		s.kept = make(map[types.NamespacedName]T, objects)
	}
}

// Resync implements cache.ReflectorStore.
func (s *store[T]) Resync() error { return nil }

// set keeps an object, or nothing, and returns what was there before.
func (s *store[T]) set(name types.NamespacedName, now T) (before T) {
	var nothing T
	s.mu.Lock()
	defer s.mu.Unlock()
	before = s.kept[name]
	if s.index != nil {
		s.index(before, now)
	}
	if now == nothing {
		delete(s.kept, name)
	} else {
		s.kept[name] = now
	}
	return before
}

func (s *store[T]) remove(name types.NamespacedName) {
	var nothing T
	if before := s.set(name, nothing); before != nothing {
		s.tell(before, nothing)
	}
}

func (s *store[T]) get(name types.NamespacedName) (T, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	object, there := s.kept[name]
	return object, there
}

func (s *store[T]) names() []types.NamespacedName {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.AppendSeq(make([]types.NamespacedName, 0, len(s.kept)), maps.Keys(s.kept))
}

func (s *store[T]) all() []T {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.AppendSeq(make([]T, 0, len(s.kept)), maps.Values(s.kept))
}

func (s *store[T]) len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.kept)
}

func fullName[T object](o T) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}

func sameVersion[T object](a, b T) bool {
	return a.GetResourceVersion() != "" && a.GetResourceVersion() == b.GetResourceVersion()
}

// notOfKind is the error of an object that is none of a store's.
func notOfKind[T object](object any) error {
	var want T
	return fmt.Errorf("got %T in place of %T", object, want)
}
