package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/fairlead-lb/fairlead/controller/render"
	"github.com/fairlead-lb/fairlead/controller/source"
)

// objects is the controller's view of the cluster: the informers' caches, read and never changed.
type objects interface {
	service(types.NamespacedName) *corev1.Service
	endpointSlices(types.NamespacedName) []*render.Slice
	node() *corev1.Node    // this one
	nodes() []*corev1.Node // all, as far as the source tells
	names() []types.NamespacedName
	count() int // of Services
}

const byService = "service" // index of EndpointSlices by the Service that they belong to

// informers fills the caches from a source and puts the names of what changed into the dirty set.
type informers struct {
	services, slices, allNodes cache.SharedIndexInformer
	nodeName                   string
	registrations              []cache.ResourceEventHandlerRegistration
}

var _ objects = (*informers)(nil)

// changes is what to call when objects change.
type changes struct {
	service   func(types.NamespacedName)
	triggered func(types.NamespacedName, time.Time) // what an EndpointSlice tells happened then
	node      func()

	services, endpoints *changeCounts // count what comes in
}

func newInformers(src source.Source, nodeName string, on changes) (*informers, error) {
	i := &informers{
		nodeName: nodeName,
		services: cache.NewSharedIndexInformer(src.Services, &corev1.Service{}, 0, cache.Indexers{}),
		slices:   cache.NewSharedIndexInformer(src.EndpointSlices, &discoveryv1.EndpointSlice{}, 0, cache.Indexers{byService: indexByService}),
		allNodes: cache.NewSharedIndexInformer(src.Nodes, &corev1.Node{}, 0, cache.Indexers{}),
	}
	for _, w := range []struct {
		informer  cache.SharedIndexInformer
		transform cache.TransformFunc
		handler   cache.ResourceEventHandler
	}{
		{i.services, trim, counting(on.services, names(func(svc *corev1.Service) {
			on.service(types.NamespacedName{Namespace: svc.Namespace, Name: svc.Name})
		}))},
		{i.slices, read, counting(on.endpoints, triggers(on.triggered, names(func(s *slice) {
			if s.service.Name != "" {
				on.service(s.service)
			}
		})))},
		{i.allNodes, trimNodes(nodeName), facts(on.node)},
	} {
		if err := w.informer.SetTransform(w.transform); err != nil {
			return nil, fmt.Errorf("set up informer: %w", err)
		}
		registration, err := w.informer.AddEventHandler(w.handler)
		if err != nil {
			return nil, fmt.Errorf("set up informer: %w", err)
		}
		i.registrations = append(i.registrations, registration)
	}
	return i, nil
}

// names makes an event handler that hands on the objects before and after an event, and nothing
// about the event.
func names[T any](react func(T)) cache.ResourceEventHandler {
	handle := func(object any) {
		if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = gone.Obj
		}
		if o, ok := object.(T); ok {
			react(o)
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    handle,
		UpdateFunc: func(before, after any) { handle(before); handle(after) },
		DeleteFunc: handle,
	}
}

// triggers makes an event handler that hands on when what an EndpointSlice tells happened, before the other
// handler hears of it.
func triggers(react func(types.NamespacedName, time.Time), then cache.ResourceEventHandler) cache.ResourceEventHandler {
	tell := func(object any, known int64) {
		if s, ok := object.(*slice); ok && s.Triggered != 0 && s.Triggered != known {
			react(s.service, time.Unix(0, s.Triggered))
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) { tell(object, 0); then.OnAdd(object, false) },
		UpdateFunc: func(before, after any) {
			if old, ok := before.(*slice); ok {
				tell(after, old.Triggered)
			}
			then.OnUpdate(before, after)
		},
		DeleteFunc: then.OnDelete,
	}
}

// counting makes an event handler that counts events before the other handler hears of them.
func counting(counts *changeCounts, then cache.ResourceEventHandler) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { counts.count(); then.OnAdd(object, false) },
		UpdateFunc: func(before, after any) { counts.count(); then.OnUpdate(before, after) },
		DeleteFunc: func(object any) { counts.count(); then.OnDelete(object) },
	}
}

// facts makes an event handler that tells of Nodes that come, go, or are not what they were: a Node is
// written every few minutes for nothing that concerns Fairlead.
func facts(changed func()) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { changed() },
		UpdateFunc: func(before, after any) {
			old, ok1 := before.(*corev1.Node)
			now, ok2 := after.(*corev1.Node)
			if !ok1 || !ok2 || !nodeOf(old, nil).equal(nodeOf(now, nil)) {
				changed()
			}
		},
		DeleteFunc: func(any) { changed() },
	}
}

func indexByService(object any) ([]string, error) {
	s, ok := object.(*slice)
	if !ok {
		return nil, fmt.Errorf("index EndpointSlices: got %T", object)
	}
	if s.service.Name == "" {
		return nil, nil
	}
	return []string{s.service.String()}, nil
}

// run runs the informers until ctx ends.
func (i *informers) run(ctx context.Context) {
	for _, informer := range []cache.SharedIndexInformer{i.allNodes, i.services, i.slices} {
		go informer.RunWithContext(ctx)
	}
}

// wait returns when every object listed at the start has been handed to the handlers.
func (i *informers) wait(ctx context.Context) error {
	for _, r := range i.registrations {
		select {
		case <-r.HasSyncedChecker().Done():
		case <-ctx.Done():
			return errors.New("stopped before the first list was complete")
		}
	}
	return nil
}

func (i *informers) service(name types.NamespacedName) *corev1.Service {
	object, exists, err := i.services.GetIndexer().GetByKey(name.String())
	if err != nil || !exists {
		return nil
	}
	return object.(*corev1.Service)
}

func (i *informers) endpointSlices(name types.NamespacedName) []*render.Slice {
	found, err := i.slices.GetIndexer().ByIndex(byService, name.String())
	if err != nil {
		return nil
	}
	list := make([]*render.Slice, 0, len(found))
	for _, object := range found {
		list = append(list, &object.(*slice).Slice)
	}
	return list
}

func (i *informers) node() *corev1.Node {
	object, exists, err := i.allNodes.GetIndexer().GetByKey(i.nodeName)
	if err != nil || !exists {
		return nil
	}
	return object.(*corev1.Node)
}

func (i *informers) nodes() (list []*corev1.Node) {
	for _, object := range i.allNodes.GetIndexer().List() {
		list = append(list, object.(*corev1.Node))
	}
	return list
}

func (i *informers) names() (list []types.NamespacedName) {
	for _, object := range i.services.GetIndexer().List() {
		svc := object.(*corev1.Service)
		list = append(list, types.NamespacedName{Namespace: svc.Namespace, Name: svc.Name})
	}
	return list
}

func (i *informers) count() int { return len(i.services.GetIndexer().ListKeys()) }

// trimNodes trims Nodes, and of others than this one keeps only the addresses: there may be thousands.
func trimNodes(self string) cache.TransformFunc {
	return func(object any) (any, error) {
		if n, ok := object.(*corev1.Node); ok && n.Name != self {
			return &corev1.Node{
				ObjectMeta: metav1.ObjectMeta{Name: n.Name, UID: n.UID, ResourceVersion: n.ResourceVersion},
				Status:     corev1.NodeStatus{Addresses: n.Status.Addresses},
			}, nil
		}
		return trim(object)
	}
}

// trim drops what no part of Fairlead reads before an object is cached: at 50,000 Services the
// caches are most of the memory.
func trim(object any) (any, error) {
	o, ok := object.(metav1.Object)
	if !ok {
		return object, nil
	}
	o.SetManagedFields(nil)
	o.SetOwnerReferences(nil)
	o.SetFinalizers(nil)
	annotations := o.GetAnnotations()
	for key := range annotations {
		if !strings.HasPrefix(key, "fairlead.io/") && key != corev1.EndpointsLastChangeTriggerTime {
			delete(annotations, key)
		}
	}
	switch o := object.(type) {
	case *corev1.Service:
		o.Spec.Selector = nil
		o.Status.Conditions = nil
	case *corev1.Node:
		o.Status = corev1.NodeStatus{Addresses: o.Status.Addresses}
	}
	return object.(runtime.Object), nil
}

// slice is an EndpointSlice as it is cached: read, and what the cache itself wants to know of it.
type slice struct {
	render.Slice
	service types.NamespacedName // whose it is
	version string
}

var _ metav1.ObjectMetaAccessor = (*slice)(nil)

// GetObjectMeta implements metav1.ObjectMetaAccessor.
func (s *slice) GetObjectMeta() metav1.Object {
	_, name, _ := strings.Cut(s.Name, "/")
	return &metav1.ObjectMeta{Namespace: s.service.Namespace, Name: name, ResourceVersion: s.version}
}

// read replaces EndpointSlices by what they say. client-go may hand it what it has replaced already.
func read(object any) (any, error) {
	o, ok := object.(*discoveryv1.EndpointSlice)
	if !ok {
		return object, nil
	}
	return &slice{
		Slice:   *render.NewSlice(o),
		service: types.NamespacedName{Namespace: o.Namespace, Name: o.Labels[discoveryv1.LabelServiceName]},
		version: o.ResourceVersion,
	}, nil
}
