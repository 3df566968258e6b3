package controller

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

// Health says whether the kernel keeps up with the cluster. It is safe for concurrent use.
//
// Unhealthy means that a change has waited longer than twice the sync period, or that the kernel
// could not be read for as long. A Service that the kernel refuses is an error in the log and the
// metrics but no reason to take the whole node out of service.
type Health struct {
	limit time.Duration
	since func() (time.Time, bool) // when the oldest waiting change came in

	mu      sync.Mutex
	working time.Time // when the oldest change that a round has taken came in; zero: none
	updated time.Time // when the last round ended
	blind   time.Time // since when the kernel cannot be read; zero: it can
}

func newHealth(limit time.Duration) *Health { return &Health{limit: limit} }

func (h *Health) started(since time.Time, any bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if any && h.working.IsZero() {
		h.working = since
	}
}

func (h *Health) finished(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.updated, h.working, h.blind = now, time.Time{}, time.Time{}
}

func (h *Health) unreadable() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.blind.IsZero() {
		h.blind = time.Now()
	}
}

// Check returns when the last round ended and whether all is well.
func (h *Health) Check(now time.Time) (updated time.Time, healthy bool) {
	waiting, any := h.since()
	h.mu.Lock()
	defer h.mu.Unlock()
	late := func(since time.Time) bool { return !since.IsZero() && now.Sub(since) > h.limit }
	if any && late(waiting) || late(h.working) || late(h.blind) {
		return h.updated, false
	}
	return h.updated, !h.updated.IsZero()
}

// ServeHTTP answers in JSON, in kube-proxy's words, with status 200 or 503.
func (h *Health) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	now := time.Now()
	updated, healthy := h.Check(now)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if !healthy {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	// The client may have gone; nobody is left to tell.
	_ = json.NewEncoder(w).Encode(map[string]any{
		"lastUpdated": updated.UTC(), "currentTime": now.UTC(), "healthy": healthy,
	})
}
