package controller

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/fairlead-lb/fairlead/controller/source"
	"github.com/fairlead-lb/fairlead/masq"
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
	complete prometheus.Gauge

	lanes       *prometheus.HistogramVec
	writes      *prometheus.CounterVec
	written     map[string]uint64 // of writes, by package
	writeErrors *prometheus.CounterVec
	reals       prometheus.Gauge
	connections prometheus.Gauge
	forced      prometheus.Counter
	forcedSeen  uint64
	audited     atomic.Int64 // when the last whole audit ended, as Unix time in nanoseconds; 0: none has

	kubeProxy *kubeProxyMetrics
}

// The lanes of programming: what is written by one package, on the way up and on the way down.
const (
	laneServers   = "servers"
	laneEntries   = "entries"
	laneAddresses = "addresses"
	laneRules     = "rules"
)

func newMetrics(families []masq.Family, feed *Feed) *Metrics {
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
		audit:    prometheus.NewGauge(gauge("audit_duration_seconds", "Time that the last audit of the kernel took to read all but real servers, and virtual servers where they are very many.")),
		drift:    prometheus.NewCounterVec(counter("drift_total", "Kernel objects found other than Fairlead left them, by package."), []string{"package"}),
	}
	m.flows = prometheus.NewCounter(counter("stale_flows_deleted_total", "UDP flows deleted because their endpoint serves no more."))
	m.problems = prometheus.NewGaugeVec(gauge("problems", "What is wrong with Services at present, by reason: see their Events."), []string{"reason"})
	m.complete = prometheus.NewGauge(gauge("source_complete", "Whether the source knows all objects: 1, or 0 as long as a file has never been good. Until then nothing is deleted."))
	m.addProgramming(counter, gauge)
	m.kubeProxy = newKubeProxyMetrics(m.Registry, families, feed)
	m.Registry.MustRegister(m.flows, m.problems, m.complete)
	m.Registry.MustRegister(m.renders, m.rounds, m.duration, m.last, m.messages, m.pending, m.services, m.servers,
		m.draining, m.audit, m.drift, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, result := range []string{"success", "error"} {
		m.rounds.WithLabelValues(result)
	}
	m.found(map[string]int{"masq": 0, "ipvs": 0, "dummyif": 0})
	return m
}

// addProgramming makes the metrics of what is written.
func (m *Metrics) addProgramming(counter func(name, help string) prometheus.CounterOpts, gauge func(name, help string) prometheus.GaugeOpts) {
	m.lanes = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "fairlead", Name: "programming_duration_seconds",
		Help:    "Time that the writes of a round took, by lane: rules, entries of sets, servers (virtual and real), addresses. Rounds without any do not count.",
		Buckets: prometheus.ExponentialBuckets(0.0001, 2, 18),
	}, []string{"lane"})
	m.writes = prometheus.NewCounterVec(counter("kernel_writes_total", "Messages that write, by package; those of the rules are rules."), []string{"package"})
	m.writeErrors = prometheus.NewCounterVec(counter("kernel_write_errors_total", "Writes that the kernel refused, by lane."), []string{"lane"})
	m.written = make(map[string]uint64)
	m.reals = prometheus.NewGauge(gauge("real_servers", "Real servers in the kernel, of virtual servers of Fairlead's."))
	m.connections = prometheus.NewGauge(gauge("connections", "Connections of any state, as of the last whole audit."))
	m.forced = prometheus.NewCounter(counter("drains_forced_total", "Drains that ended at their deadline, with connections left."))
	age := prometheus.NewGaugeFunc(gauge("audit_age_seconds", "Time since the last whole audit of the kernel ended; NaN: none has."), func() float64 {
		at := m.audited.Load()
		if at == 0 {
			return math.NaN()
		}
		return time.Since(time.Unix(0, at)).Seconds()
	})
	for _, lane := range []string{laneServers, laneEntries, laneAddresses, laneRules} {
		m.lanes.WithLabelValues(lane)
		m.writeErrors.WithLabelValues(lane)
	}
	for _, name := range []string{"masq", "ipvs", "dummyif"} {
		m.writes.WithLabelValues(name)
	}
	m.Registry.MustRegister(m.lanes, m.writes, m.writeErrors, m.reals, m.connections, m.forced, age)
}

// wrote records what the lanes took, and begins anew.
func (m *Metrics) wrote(l *lanes) {
	for name, one := range map[string]lane{laneServers: l.servers, laneEntries: l.entries, laneAddresses: l.addresses, laneRules: l.rules} {
		if one.took > 0 {
			m.lanes.WithLabelValues(name).Observe(one.took.Seconds())
		}
		m.writeErrors.WithLabelValues(name).Add(float64(one.failed))
	}
	*l = lanes{}
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
	m.reals.Set(float64(c.ipvs.Size().RealServers))
	m.connections.Set(float64(c.ipvs.Size().Connections))
	m.forced.Add(float64(c.ipvs.Forced() - m.forcedSeen))
	m.forcedSeen = c.ipvs.Forced()
	m.kubeProxy.synced(took, c.dirty.latest(), c.claims.noLocalInternal, c.claims.noLocalExternal, err)
	for reason, n := range c.problems.counts {
		m.problems.WithLabelValues(reason).Set(float64(n))
	}
	for name, p := range map[string]interface {
		Messages() uint64
		Writes() uint64
		Pending() int
	}{"masq": c.masq, "ipvs": c.ipvs, "dummyif": c.dummyif} {
		m.messages.WithLabelValues(name).Add(float64(p.Messages() - m.counted[name]))
		m.counted[name] = p.Messages()
		m.writes.WithLabelValues(name).Add(float64(p.Writes() - m.written[name]))
		m.written[name] = p.Writes()
		m.pending.WithLabelValues(name).Set(float64(p.Pending()))
	}
}

// sourceComplete records whether the source knows all objects.
func (m *Metrics) sourceComplete(complete bool) {
	m.complete.Set(0)
	if complete {
		m.complete.Set(1)
	}
}

// connected shows, at every scrape, whether each kind of objects is watched.
func (m *Metrics) connected(contacts *source.Contacts) {
	for i, one := range contacts.List() {
		m.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "fairlead", Name: "source_connected",
			Help:        "Whether the API server answered when last asked for objects of a kind: 1, or 0 as long as it does not; the kernel keeps what it has.",
			ConstLabels: prometheus.Labels{"kind": one.Kind},
		}, func() float64 {
			if heardOf(contacts.List()[i], time.Now()) {
				return 1
			}
			return 0
		}))
	}
}

// found records what a read of the kernel showed to be other than Fairlead left it.
func (m *Metrics) found(drift map[string]int) {
	for name, n := range drift {
		m.drift.WithLabelValues(name).Add(float64(n))
	}
}
