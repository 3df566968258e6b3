package controller

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/fairlead-lb/fairlead/controller/render"
	"github.com/fairlead-lb/fairlead/controller/source"
)

// objects is the controller's view of the cluster: what has been listed and watched, read and never changed.
type objects interface {
	service(types.NamespacedName) *corev1.Service
	endpointSlices(types.NamespacedName) []*render.Slice
	node() *corev1.Node    // this one
	nodes() []*corev1.Node // all, as far as the source tells
	names() []types.NamespacedName
	count() int // of Services

	// changedLast returns the Services with EndpointSlices, that of the slice that has changed last first, maybe more than once.
	changedLast() []types.NamespacedName
}

// reflectors keep what a source has, and put the names of what changed into the dirty set.
type reflectors struct {
	services  *store[*corev1.Service]
	slices    *store[*slice]
	allNodes  *store[*corev1.Node]
	byService map[types.NamespacedName][]*render.Slice // guarded by slices, each list replaced and never changed
	nodeName  string
	run       []func(context.Context)
}

var _ objects = (*reflectors)(nil)

// changes is what to call when objects change.
type changes struct {
	service   func(types.NamespacedName)
	triggered func(types.NamespacedName, time.Time) // what an EndpointSlice tells happened then
	node      func()

	services, endpoints *changeCounts // count what comes in
}

func newReflectors(src source.Source, nodeName string, on changes) *reflectors {
	r := &reflectors{nodeName: nodeName, byService: make(map[types.NamespacedName][]*render.Slice)}
	r.services = newStore(trimService, on.serviceChanged)
	r.slices = newStore(readSlice, on.sliceChanged)
	r.slices.index = r.indexSlice
	r.allNodes = newStore(trimNodes(nodeName), on.nodeChanged)
	for _, one := range []*cache.Reflector{
		reflector(src.Nodes, "Node", &corev1.Node{}, r.allNodes),
		reflector(src.Services, "Service", &corev1.Service{}, r.services),
		reflector(src.EndpointSlices, "EndpointSlice", &discoveryv1.EndpointSlice{}, r.slices),
	} {
		r.run = append(r.run, one.RunWithContext)
	}
	return r
}

func reflector(from cache.ListerWatcher, kind string, example any, into cache.ReflectorStore) *cache.Reflector {
	return cache.NewReflectorWithOptions(from, example, into, cache.ReflectorOptions{Name: kind, TypeDescription: kind})
}

func (on changes) serviceChanged(before, now *corev1.Service) {
	on.services.count()
	if now == nil {
		now = before
	}
	on.service(fullName(now))
}

// sliceChanged hands on whose the slice is and was, and, before that, when what it tells happened.
func (on changes) sliceChanged(before, now *slice) {
	on.endpoints.count()
	if now != nil && now.Triggered != 0 && (before == nil || now.Triggered != before.Triggered) {
		on.triggered(now.service, time.Unix(0, now.Triggered))
	}
	if before != nil && before.service.Name != "" && (now == nil || now.service != before.service) {
		on.service(before.service)
	}
	if now != nil && now.service.Name != "" {
		on.service(now.service)
	}
}

// nodeChanged tells of Nodes that come, go, or are not what they were: a Node is written every few minutes for nothing
// that concerns Fairlead.
func (on changes) nodeChanged(before, now *corev1.Node) {
	if before == nil || now == nil || !nodeOf(before, nil).equal(nodeOf(now, nil)) {
		on.node()
	}
}

// indexSlice keeps the slices of each Service.
func (r *reflectors) indexSlice(before, now *slice) {
	if before != nil && now != nil && before.service == now.service && now.service.Name != "" {
		list := slices.Clone(r.byService[now.service])
		list[slices.Index(list, &before.Slice)] = &now.Slice // in its place: a list that was sorted stays so
		r.byService[now.service] = list
		return
	}
	if before != nil && before.service.Name != "" {
		others := slices.DeleteFunc(slices.Clone(r.byService[before.service]), func(s *render.Slice) bool { return s == &before.Slice })
		if len(others) == 0 {
			delete(r.byService, before.service)
		} else {
			r.byService[before.service] = others
		}
	}
	if now != nil && now.service.Name != "" {
		r.byService[now.service] = append(slices.Clip(r.byService[now.service]), &now.Slice)
	}
}

// start runs the reflectors until ctx ends.
func (r *reflectors) start(ctx context.Context) {
	for _, run := range r.run {
		go run(ctx)
	}
}

// wait returns when every object listed at the start is here, and has been told.
func (r *reflectors) wait(ctx context.Context) error {
	for _, filled := range []chan struct{}{r.services.filled, r.slices.filled, r.allNodes.filled} {
		select {
		case <-filled:
		case <-ctx.Done():
			return errors.New("stopped before the first list was complete")
		}
	}
	return nil
}

func (r *reflectors) service(name types.NamespacedName) *corev1.Service {
	svc, _ := r.services.get(name)
	return svc
}

func (r *reflectors) endpointSlices(name types.NamespacedName) []*render.Slice {
	r.slices.mu.RLock()
	defer r.slices.mu.RUnlock()
	return r.byService[name]
}

func (r *reflectors) node() *corev1.Node {
	node, _ := r.allNodes.get(types.NamespacedName{Name: r.nodeName})
	return node
}

func (r *reflectors) nodes() []*corev1.Node { return r.allNodes.all() }

func (r *reflectors) names() []types.NamespacedName { return r.services.names() }

func (r *reflectors) count() int { return r.services.len() }

func (r *reflectors) changedLast() []types.NamespacedName {
	r.slices.mu.RLock()
	defer r.slices.mu.RUnlock()
	list := make([]sliceChange, 0, len(r.slices.kept))
	for _, s := range r.slices.kept {
		list = append(list, changedAt(s.service, s.version))
	}
	return latestFirst(list)
}

// sliceChange is a Service and when one of its slices has changed: the API server counts all changes.
type sliceChange struct {
	service types.NamespacedName
	version uint64
}

// changedAt reads a resource version. One that is no number, of whatever source, is the oldest.
func changedAt(service types.NamespacedName, version string) sliceChange {
	number, err := strconv.ParseUint(version, 10, 64)
	if err != nil {
		number = 0
	}
	return sliceChange{service, number}
}

func latestFirst(list []sliceChange) []types.NamespacedName {
	slices.SortFunc(list, func(a, b sliceChange) int { return cmp.Compare(b.version, a.version) })
	names := make([]types.NamespacedName, len(list))
	for i := range list {
		names[i] = list[i].service
	}
	return names
}

// trimNodes cuts Nodes down, and of others than this one keeps only the addresses: there may be thousands.
func trimNodes(self string) func(any) (*corev1.Node, error) {
	return func(object any) (*corev1.Node, error) {
		n, ok := object.(*corev1.Node)
		if !ok {
			return nil, notOfKind[*corev1.Node](object)
		}
		if n.Name != self {
			return &corev1.Node{
				ObjectMeta: metav1.ObjectMeta{Name: n.Name, UID: n.UID, ResourceVersion: n.ResourceVersion},
				Status:     corev1.NodeStatus{Addresses: n.Status.Addresses},
			}, nil
		}
		trim(n)
		n.Status = corev1.NodeStatus{Addresses: n.Status.Addresses}
		return n, nil
	}
}

func trimService(object any) (*corev1.Service, error) {
	svc, ok := object.(*corev1.Service)
	if !ok {
		return nil, notOfKind[*corev1.Service](object)
	}
	trim(svc)
	svc.Spec.Selector = nil
	svc.Status.Conditions = nil
	return svc, nil
}

// trim drops what no part of Fairlead reads before an object is kept: at 50,000 Services the objects are most of the
// memory.
func trim(o metav1.Object) {
	o.SetManagedFields(nil)
	o.SetOwnerReferences(nil)
	o.SetFinalizers(nil)
	annotations := o.GetAnnotations()
	for key := range annotations {
		if !source.KeepsAnnotation([]byte(key)) {
			delete(annotations, key)
		}
	}
}

// slice is an EndpointSlice as it is kept: read, and what the store itself wants to know of it.
type slice struct {
	render.Slice
	service types.NamespacedName // whose it is
	version string
}

// GetNamespace returns the namespace.
func (s *slice) GetNamespace() string { return s.service.Namespace }

// GetName returns the name.
func (s *slice) GetName() string {
	_, name, _ := strings.Cut(s.Name, "/")
	return name
}

// GetResourceVersion returns the version of what was read.
func (s *slice) GetResourceVersion() string { return s.version }

// readSlice replaces EndpointSlices by what they say.
func readSlice(object any) (*slice, error) {
	switch o := object.(type) {
	case *slice:
		return o, nil
	case *discoveryv1.EndpointSlice:
		return &slice{
			Slice:   *render.NewSlice(o),
			service: types.NamespacedName{Namespace: o.Namespace, Name: o.Labels[discoveryv1.LabelServiceName]},
			version: o.ResourceVersion,
		}, nil
	}
	return nil, notOfKind[*slice](object)
}
