package takeover

import (
	"errors"
	"slices"
	"time"
)

// How long Watch waits between looks.
const (
	firstRetry  = time.Second
	running     = 5 * time.Second // a kube-proxy that can be seen: until it is gone
	period      = 30 * time.Second
	seldom      = 5 * time.Minute // nothing has been found for a while
	mostPatient = 30 * time.Minute
)

// Watch decides when to remove. It removes once what is there, and looks now and then whether it has come
// back. It never fights: while a kube-proxy is seen to run it waits for its end. One that cannot be seen,
// as from another PID namespace, shows by bringing its state back: then Watch lets it be for a time that
// doubles with each return, before it tries again. It is not safe for concurrent use.
type Watch struct {
	left  *Leftovers
	adopt func() error // what must have happened before the first thing is removed

	gone     map[string]bool // what has been removed: when it is found, it has come back
	hold     time.Time
	patience time.Duration
	retry    time.Duration
	idle     time.Duration
}

// NewWatch returns a watch that has not looked yet.
func NewWatch(left *Leftovers, adopt func() error) *Watch {
	return &Watch{left: left, adopt: adopt, gone: make(map[string]bool)}
}

// Report is what came of one look.
type Report struct {
	Running []Process // kube-proxies that run; nothing was removed
	Back    bool      // what was removed is there again; nothing was removed
	Removed []string
	Stay    []string      // chains that a rule of somebody else leads to
	Next    time.Duration // when to look again
}

// Look looks once and removes what is due. After an error it is to be called again, after Next.
func (w *Watch) Look(now time.Time) (r Report, err error) {
	r.Running, err = w.left.kernel.Processes()
	if err != nil {
		return w.failed(r, err)
	}
	if len(r.Running) > 0 {
		r.Next = running
		return r, nil
	}
	found, err := w.left.Find()
	r.Stay = found.Stay
	if !found.Any() {
		if err != nil {
			return w.failed(r, err)
		}
		w.retry, w.idle = 0, min(max(2*w.idle, period), seldom)
		r.Next = w.idle
		return r, nil
	}
	w.idle = 0
	if w.back(now, found) {
		r.Back, r.Next = true, period
		return r, nil
	}
	return w.remove(r, found, err)
}

// back reports whether something has come back that is to be let be for now.
func (w *Watch) back(now time.Time, found Found) bool {
	if !slices.ContainsFunc(found.keys(), func(key string) bool { return w.gone[key] }) {
		return false
	}
	if w.hold.IsZero() {
		w.patience = min(max(2*w.patience, 2*period), mostPatient)
		w.hold = now.Add(w.patience)
	}
	if now.Before(w.hold) {
		return true
	}
	w.hold = time.Time{}
	return false
}

// remove removes what was found, although something else may have been unreadable.
func (w *Watch) remove(r Report, found Found, unreadable error) (Report, error) {
	if err := w.adopt(); err != nil {
		return w.failed(r, errors.Join(unreadable, err))
	}
	gone, err := w.left.Remove(found)
	for _, key := range gone.keys() {
		w.gone[key] = true
	}
	r.Removed = gone.Names()
	if err = errors.Join(unreadable, err); err != nil {
		return w.failed(r, err)
	}
	w.retry, r.Next = 0, period
	return r, nil
}

// failed has the next try wait, ever longer.
func (w *Watch) failed(r Report, err error) (Report, error) {
	w.retry = min(max(2*w.retry, firstRetry), period)
	r.Next = w.retry
	return r, err
}
