package controller

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// dirty is the set of Services to look at. Event handlers add to it from any goroutine; the
// controller takes from it.
type dirty struct {
	mu    sync.Mutex
	names map[types.NamespacedName]struct{}
	since time.Time                          // when the oldest name came in
	last  time.Time                          // when the latest one did
	begin time.Time                          // what happened before is not this daemon's to answer for
	when  map[types.NamespacedName]time.Time // when something happened that is told since, the oldest of each Service
	wake  chan struct{}                      // has room for one; a value means: there is work
}

func newDirty() *dirty {
	return &dirty{
		names: make(map[types.NamespacedName]struct{}), when: make(map[types.NamespacedName]time.Time),
		begin: time.Now(), wake: make(chan struct{}, 1),
	}
}

// add puts a name into the set.
func (d *dirty) add(name types.NamespacedName) {
	d.mu.Lock()
	d.last = time.Now()
	if len(d.names) == 0 {
		d.since = d.last
	}
	d.names[name] = struct{}{}
	d.mu.Unlock()
	d.poke()
}

// poke wakes the controller without a name.
func (d *dirty) poke() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// take removes and returns up to limit names, those that everything else in the cluster depends
// on first, and the time when the oldest of all came in.
func (d *dirty) take(limit int) (names []types.NamespacedName, since time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	pick := func(name types.NamespacedName) {
		names = append(names, name)
		delete(d.names, name)
	}
	for _, name := range first() {
		if _, ok := d.names[name]; ok {
			pick(name)
		}
	}
	for name := range d.names {
		if len(names) >= limit {
			break
		}
		pick(name)
	}
	if len(d.names) == 0 && len(names) > 0 {
		d.names = make(map[types.NamespacedName]struct{}) // the old one keeps the size that it had at the start
	}
	return names, d.since
}

// first lists the Services without which a cluster cannot even start its pods: the API server and
// the cluster DNS by its customary names.
func first() []types.NamespacedName {
	return []types.NamespacedName{
		{Namespace: "default", Name: "kubernetes"},
		{Namespace: "kube-system", Name: "kube-dns"},
		{Namespace: "kube-system", Name: "coredns"},
		{Namespace: "openshift-dns", Name: "dns-default"},
	}
}

// oldest returns when the oldest name still in the set came in.
func (d *dirty) oldest() (since time.Time, any bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.since, len(d.names) > 0
}

// len is how many names are in the set.
func (d *dirty) len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.names)
}

// latest returns when a name came in for the last time.
func (d *dirty) latest() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}

// trigger notes when something happened that makes a name dirty next.
func (d *dirty) trigger(name types.NamespacedName, at time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if at.Before(d.begin) {
		return
	}
	if old, there := d.when[name]; !there || at.Before(old) {
		d.when[name] = at
	}
}

// happened removes and returns when what is not dirty any more happened, unless it is not in force yet.
func (d *dirty) happened(inForce func(types.NamespacedName) bool) (times []time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, at := range d.when {
		if _, waits := d.names[name]; !waits && inForce(name) {
			times = append(times, at)
			delete(d.when, name)
		}
	}
	return times
}
