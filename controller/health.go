package controller

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-lb/fairlead/masq"
)

// Health says whether the kernel keeps up with the cluster. It is safe for concurrent use.
//
// Unhealthy means that a change has waited longer than twice the sync period, or that the kernel
// could not be read for as long as two audits take. A Service that the kernel refuses is an error in the log and the
// metrics but no reason to take the whole node out of service. Whether the node is eligible for
// traffic of load balancers is another question, which only Healthz asks, too.
type Health struct {
	families []masq.Family
	since    func() (time.Time, bool) // when the oldest waiting change came in

	healthz, livez func(status int) // count answers

	mu      sync.Mutex
	limit   time.Duration
	leaving bool      // the node is about to go
	working time.Time // when the oldest change that a round has taken came in; zero: none
	updated time.Time // when the last round ended
	blind   time.Time // when the kernel will have been unreadable for too long; zero: it can be read
}

func newHealth(limit time.Duration, families []masq.Family) *Health {
	ignore := func(int) {}
	return &Health{limit: limit, families: families, healthz: ignore, livez: ignore}
}

// answered has answers counted from now on.
func (h *Health) answered(m *Metrics) {
	count := func(counter *prometheus.CounterVec) func(int) {
		return func(status int) { counter.WithLabelValues(strconv.Itoa(status)).Inc() }
	}
	h.healthz, h.livez = count(m.kubeProxy.healthz), count(m.kubeProxy.livez)
	m.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "fairlead_healthy", Help: "Whether the kernel keeps up with the cluster, as /livez says: 1, or 0.",
	}, func() float64 {
		if h.Healthy() {
			return 1
		}
		return 0
	}))
}

// setLimit changes how long a change may wait.
func (h *Health) setLimit(limit time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.limit = limit
}

// SetNodeEligible says whether load balancers should send traffic to this node. Until it is called,
// they should.
func (h *Health) SetNodeEligible(eligible bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.leaving = !eligible
}

// nodeEligible returns what was last set.
func (h *Health) nodeEligible() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.leaving
}

func (h *Health) started(since time.Time, any bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if any && h.working.IsZero() {
		h.working = since
	}
}

// finished records the end of a round. What it took does not wait any more, whether the kernel can be read or not.
func (h *Health) finished(now time.Time, readable bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.working = time.Time{}
	if readable {
		h.updated, h.blind = now, time.Time{}
	}
}

// unreadable records that a read has failed. All is well again when a whole audit has not: for that long it may last.
func (h *Health) unreadable(limit time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.blind.IsZero() {
		h.blind = time.Now().Add(limit)
	}
}

// Check returns when the last round ended and whether all is well.
func (h *Health) Check(now time.Time) (updated time.Time, healthy bool) {
	waiting, any := h.since()
	h.mu.Lock()
	defer h.mu.Unlock()
	late := func(since time.Time) bool { return !since.IsZero() && now.Sub(since) > h.limit }
	blind := !h.blind.IsZero() && now.After(h.blind)
	if any && late(waiting) || late(h.working) || blind {
		return h.updated, false
	}
	return h.updated, !h.updated.IsZero()
}

// Healthy reports whether all is well now, the node's eligibility aside.
func (h *Health) Healthy() bool {
	_, healthy := h.Check(time.Now())
	return healthy
}
