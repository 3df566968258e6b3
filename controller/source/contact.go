package source

import (
	"context"
	"errors"
	"net/url"
	"reflect"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// Contact is how the API server has answered last when it was asked for objects of one kind.
type Contact struct {
	Kind     string
	Answered time.Time // when a list or a watch last began well; zero: never
	Since    time.Time // when the first one after that failed; zero: none has
	Err      error     // of the last one; nil: it went well
	Asked    time.Time // when the one began that is not answered yet; zero: there is none
}

// unanswered is how long an answer may take without being missed.
const unanswered = 10 * time.Second

// Silent returns since when nothing is heard of the kind, and why: an error, or a request that is not answered yet, as
// where somebody drops packets. ok is false while all is well.
func (c Contact) Silent(now time.Time) (since time.Time, why string, ok bool) {
	switch {
	case c.Err != nil:
		return c.Since, c.Err.Error(), true
	case !c.Asked.IsZero() && now.Sub(c.Asked) > unanswered:
		return c.Asked, "there is no answer yet", true
	}
	return time.Time{}, "", false
}

// Connected reports whether the objects of the kind are listed and watched.
func (c Contact) Connected() bool { return !c.Answered.IsZero() && c.Err == nil }

// Answers reports whether the API server does answer, with an error such as a refusal.
func (c Contact) Answers() bool {
	var status apierrors.APIStatus
	return errors.As(c.Err, &status)
}

// Contacts are those of all kinds. It sees every list and watch, and not only the errors that a reflector hands on:
// that tries a refused connection again and again without a word. It is safe for concurrent use.
type Contacts struct {
	mu      sync.Mutex
	list    []Contact
	changed func(before, now Contact)
}

// Watch has changed called, by whoever asked, when a kind is connected that was not, or is not any more. Call it before
// the first list.
func (c *Contacts) Watch(changed func(before, now Contact)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed = changed
}

// List returns all of them.
func (c *Contacts) List() []Contact {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.list)
}

// Observe makes lw tell what came of its lists and watches.
func (c *Contacts) Observe(kind string, lw *cache.ListWatch) {
	c.mu.Lock()
	c.list = append(c.list, Contact{Kind: kind})
	c.mu.Unlock()
	ask, follow := lw.ListWithContextFunc, lw.WatchFuncWithContext
	lw.ListWithContextFunc = func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		c.asks(kind)
		list, err := ask(ctx, o)
		c.heard(ctx, kind, err)
		return list, err
	}
	lw.WatchFuncWithContext = func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
		c.asks(kind)
		w, err := follow(ctx, o)
		if err == nil && reflect.TypeOf(w) == reflect.TypeOf(watch.NewEmptyWatch()) {
			c.heard(ctx, kind, errEnded)
		} else {
			c.heard(ctx, kind, err)
		}
		return w, err
	}
}

func (c *Contacts) asks(kind string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of(kind).Asked = time.Now()
}

// of returns the contact of a kind that is observed.
func (c *Contacts) of(kind string) *Contact {
	return &c.list[slices.IndexFunc(c.list, func(one Contact) bool { return one.Kind == kind })]
}

// errEnded is why a client hands out an empty watch in place of an error.
var errEnded = errors.New("the connection ended, or timed out, before there was an answer")

// heard records what came of a list or a watch.
func (c *Contacts) heard(ctx context.Context, kind string, err error) {
	c.mu.Lock()
	now, changed := c.of(kind), c.changed
	now.Asked = time.Time{}
	if ctx.Err() != nil || passing(err) {
		c.mu.Unlock()
		return
	}
	before := *now
	now.Err = plain(err)
	switch at := time.Now(); {
	case err == nil:
		now.Answered, now.Since = at, time.Time{}
	case now.Since.IsZero():
		now.Since = at
	}
	after := *now
	c.mu.Unlock()
	if changed != nil && (before.Err == nil) != (after.Err == nil) {
		changed(before, after)
	}
}

// passing reports that the reflector only has to ask in another way: from now on, or by a list in place of a watch,
// which old API servers want.
func passing(err error) bool {
	return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || apierrors.IsInvalid(err)
}

// plain takes the request off an error: it is long, and another one for each kind.
func plain(err error) error {
	var request *url.Error
	if errors.As(err, &request) {
		return request.Err
	}
	return err
}
