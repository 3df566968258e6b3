package controller

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/controller/source"
)

// Feed is what a source tells: the objects, and which of them changed. It can be followed before there is
// a Controller, so that objects come in while the kernel is made ready.
type Feed struct {
	log        *slog.Logger
	reflectors *reflectors
	dirty      *dirty
	factsStale atomic.Bool // node, host addresses or owners are to be looked at again
	started    sync.Once

	services, endpoints changeCounts
}

// NewFeed returns what the source tells the named node, of which nothing comes in yet.
func NewFeed(src source.Source, nodeName string, log *slog.Logger) *Feed {
	f := &Feed{log: log, dirty: newDirty()}
	f.factsStale.Store(true)
	f.reflectors = newReflectors(src, nodeName, changes{
		service: f.serviceChanged, triggered: f.dirty.trigger, node: f.factsChanged,
		services: &f.services, endpoints: &f.endpoints,
	})
	if src.Contacts != nil {
		src.Contacts.Watch(f.contactChanged)
	}
	return f
}

// Follow has objects come in until ctx ends. A Controller does it, too, unless it has been done.
func (f *Feed) Follow(ctx context.Context) {
	f.started.Do(func() { f.reflectors.start(ctx) })
}

// serviceChanged puts a name into the dirty set. It is what every event about a Service or one of its
// slices comes to.
func (f *Feed) serviceChanged(name types.NamespacedName) {
	f.dirty.add(name)
	if name == apiServer() {
		f.factsChanged() // nobody may take the API server's addresses
	}
}

// factsChanged notes that a fact about this node, the host or who owns an address may have changed. It
// is safe for concurrent use, as the event handlers that call it.
func (f *Feed) factsChanged() {
	f.factsStale.Store(true)
	f.dirty.poke()
}

// contactChanged logs that a kind of objects is not heard of any more, or again. It is called from other goroutines.
func (f *Feed) contactChanged(before, now source.Contact) {
	switch {
	case now.Err == nil:
		f.log.Info("the API server answers again", "kind", now.Kind, "after", now.Answered.Sub(before.Since).Round(time.Second))
	case now.Answers():
		f.log.Warn("the API server answers with an error; the kernel keeps serving what it has", "kind", now.Kind, "err", now.Err)
	default:
		f.log.Warn("the API server does not answer; the kernel keeps serving what it has", "kind", now.Kind, "err", now.Err)
	}
}

// take records that a round takes what has come in so far.
func (f *Feed) take() {
	f.services.taken.Store(f.services.in.Load())
	f.endpoints.taken.Store(f.endpoints.in.Load())
}
