package controller

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics are the controller's Prometheus metrics. Their cost does not depend on the number of
// Services: every figure is kept, none is counted at the time of the scrape.
type Metrics struct {
	Registry *prometheus.Registry

	renders  prometheus.Counter
	rounds   *prometheus.CounterVec
	duration prometheus.Histogram
	last     prometheus.Gauge
	messages *prometheus.CounterVec
	counted  map[string]uint64 // of messages, by package
	pending  *prometheus.GaugeVec
	services prometheus.Gauge
	servers  prometheus.Gauge
	draining prometheus.Gauge
	audit    prometheus.Gauge
	drift    *prometheus.CounterVec
	flows    prometheus.Counter
	problems *prometheus.GaugeVec
	noLocal  *prometheus.GaugeVec
	complete prometheus.Gauge

	programming prometheus.Histogram
}

func newMetrics() *Metrics {
	name := func(s string) prometheus.Opts { return prometheus.Opts{Namespace: "fairlead", Name: s} }
	counter := func(s, help string) prometheus.CounterOpts {
		o := prometheus.CounterOpts(name(s))
		o.Help = help
		return o
	}
	gauge := func(s, help string) prometheus.GaugeOpts {
		o := prometheus.GaugeOpts(name(s))
		o.Help = help
		return o
	}
	m := &Metrics{
		Registry: prometheus.NewRegistry(),
		renders:  prometheus.NewCounter(counter("renders_total", "Services rendered.")),
		rounds:   prometheus.NewCounterVec(counter("syncs_total", "Rounds of synchronization, by result."), []string{"result"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "fairlead", Name: "sync_duration_seconds", Help: "Duration of a round of synchronization.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 18),
		}),
		last:     prometheus.NewGauge(gauge("last_sync_timestamp_seconds", "When the last round ended, as Unix time.")),
		messages: prometheus.NewCounterVec(counter("kernel_messages_total", "Netlink messages, reads included, by package."), []string{"package"}),
		counted:  make(map[string]uint64),
		pending:  prometheus.NewGaugeVec(gauge("pending", "Objects whose kernel state is not the desired one, by package; drains included."), []string{"package"}),
		services: prometheus.NewGauge(gauge("services", "Services that are served.")),
		servers:  prometheus.NewGauge(gauge("virtual_servers", "Virtual servers that are desired.")),
		draining: prometheus.NewGauge(gauge("draining_real_servers", "Removed real servers whose connections have not ended.")),
		audit:    prometheus.NewGauge(gauge("audit_duration_seconds", "Duration of the first step of the last audit of the kernel.")),
		drift:    prometheus.NewCounterVec(counter("drift_total", "Kernel objects found other than Fairlead left them, by package."), []string{"package"}),
	}
	m.flows = prometheus.NewCounter(counter("stale_flows_deleted_total", "UDP flows deleted because their endpoint serves no more."))
	m.problems = prometheus.NewGaugeVec(gauge("problems", "What is wrong with Services at present, by reason: see their Events."), []string{"reason"})
	m.noLocal = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "kubeproxy_sync_proxy_rules_no_local_endpoints_total", // kube-proxy's name, which dashboards know
		Help: "Services with a Local traffic policy that have endpoints, but none on this node.",
	}, []string{"traffic_policy"})
	m.complete = prometheus.NewGauge(gauge("source_complete", "Whether the source knows all objects: 1, or 0 as long as a file has never been good. Until then nothing is deleted."))
	m.programming = prometheus.NewHistogram(prometheus.HistogramOpts{ // kube-proxy's name and buckets: it is an SLI of Kubernetes
		Name: "kubeproxy_network_programming_duration_seconds",
		Help: "Time from a change of a Service or its pods until the kernel has acknowledged what follows, for EndpointSlices that tell when it was.",
		Buckets: slices.Concat(prometheus.LinearBuckets(0.25, 0.25, 2), prometheus.LinearBuckets(1, 1, 59),
			prometheus.LinearBuckets(60, 5, 12), prometheus.LinearBuckets(120, 30, 7)),
	})
	m.Registry.MustRegister(m.programming)
	m.Registry.MustRegister(m.flows, m.problems, m.noLocal, m.complete)
	m.Registry.MustRegister(m.renders, m.rounds, m.duration, m.last, m.messages, m.pending, m.services, m.servers,
		m.draining, m.audit, m.drift, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, result := range []string{"success", "error"} {
		m.rounds.WithLabelValues(result)
	}
	m.found(map[string]int{"masq": 0, "ipvs": 0, "dummyif": 0})
	return m
}

// synced records a round.
func (m *Metrics) synced(c *Controller, took time.Duration, err error) {
	result := "success"
	if err != nil {
		result = "error"
	}
	m.rounds.WithLabelValues(result).Inc()
	m.duration.Observe(took.Seconds())
	m.last.SetToCurrentTime()
	m.services.Set(float64(len(c.claims.names)))
	m.servers.Set(float64(len(c.claims.servers)))
	m.draining.Set(float64(c.ipvs.Draining()))
	m.noLocal.WithLabelValues("internal").Set(float64(c.claims.noLocalInternal))
	m.noLocal.WithLabelValues("external").Set(float64(c.claims.noLocalExternal))
	for reason, n := range c.problems.counts {
		m.problems.WithLabelValues(reason).Set(float64(n))
	}
	for name, p := range map[string]interface {
		Messages() uint64
		Pending() int
	}{"masq": c.masq, "ipvs": c.ipvs, "dummyif": c.dummyif} {
		m.messages.WithLabelValues(name).Add(float64(p.Messages() - m.counted[name]))
		m.counted[name] = p.Messages()
		m.pending.WithLabelValues(name).Set(float64(p.Pending()))
	}
}

// programmed records that what happened at these times is in force now.
func (m *Metrics) programmed(happened []time.Time, now time.Time) {
	for _, at := range happened {
		m.programming.Observe(now.Sub(at).Seconds())
	}
}

// sourceComplete records whether the source knows all objects.
func (m *Metrics) sourceComplete(complete bool) {
	m.complete.Set(0)
	if complete {
		m.complete.Set(1)
	}
}

// found records what a read of the kernel showed to be other than Fairlead left it.
func (m *Metrics) found(drift map[string]int) {
	for name, n := range drift {
		m.drift.WithLabelValues(name).Add(float64(n))
	}
}
