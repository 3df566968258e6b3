package controller

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-lb/fairlead/masq"
)

// kubeProxyMetrics are those of kube-proxy's metrics (pkg/proxy/metrics/metrics.go, v1.37) that mean the same here, by
// its names and labels, so that dashboards and alerts go on working. A round writes both families at once: what
// kube-proxy counts for each family has the same value for each that the node has.
type kubeProxyMetrics struct {
	families []string

	duration    *prometheus.HistogramVec
	programming *prometheus.HistogramVec
	last        *prometheus.GaugeVec
	queued      *prometheus.GaugeVec
	noLocal     *prometheus.GaugeVec
	healthz     *prometheus.CounterVec
	livez       *prometheus.CounterVec
}

// changeCounts are how many events of one kind came in, and how many of them rounds have taken.
type changeCounts struct{ in, taken atomic.Uint64 }

func (c *changeCounts) count() { c.in.Add(1) }

func newKubeProxyMetrics(registry *prometheus.Registry, families []masq.Family, feed *Feed) *kubeProxyMetrics {
	m := &kubeProxyMetrics{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "kubeproxy_sync_proxy_rules_duration_seconds", Help: "Duration of a round of synchronization.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 15),
		}, []string{"ip_family"}),
		programming: prometheus.NewHistogramVec(prometheus.HistogramOpts{ // it is an SLI of Kubernetes
			Name: "kubeproxy_network_programming_duration_seconds",
			Help: "Time from a change of a Service or its pods until the kernel has acknowledged what follows, for EndpointSlices that tell when it was.",
			Buckets: slices.Concat(prometheus.LinearBuckets(0.25, 0.25, 2), prometheus.LinearBuckets(1, 1, 59),
				prometheus.LinearBuckets(60, 5, 12), prometheus.LinearBuckets(120, 30, 7)),
		}, []string{"ip_family"}),
		last: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "kubeproxy_sync_proxy_rules_last_timestamp_seconds", Help: "When the last round ended well, as Unix time.",
		}, []string{"ip_family"}),
		queued: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds", Help: "When the last change came in that a round has taken, as Unix time.",
		}, []string{"ip_family"}),
		noLocal: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "kubeproxy_sync_proxy_rules_no_local_endpoints_total",
			Help: "Services with a Local traffic policy that have endpoints, but none on this node.",
		}, []string{"traffic_policy", "ip_family"}),
		healthz: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kubeproxy_proxy_healthz_total", Help: "Answers of /healthz, by status."}, []string{"code"}),
		livez:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kubeproxy_proxy_livez_total", Help: "Answers of /livez, by status."}, []string{"code"}),
	}
	for _, f := range families {
		m.families = append(m.families, f.String())
		m.duration.WithLabelValues(f.String())
		m.programming.WithLabelValues(f.String())
	}
	for _, code := range []string{"200", "503"} {
		m.healthz.WithLabelValues(code)
		m.livez.WithLabelValues(code)
	}
	registry.MustRegister(m.duration, m.programming, m.last, m.queued, m.noLocal, m.healthz, m.livez)
	for name, c := range map[string]*changeCounts{"service": &feed.services, "endpoint": &feed.endpoints} {
		registry.MustRegister(
			prometheus.NewCounterFunc(prometheus.CounterOpts{
				Name: "kubeproxy_sync_proxy_rules_" + name + "_changes_total", Help: "Changes that came in.",
			}, func() float64 { return float64(c.in.Load()) }),
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "kubeproxy_sync_proxy_rules_" + name + "_changes_pending", Help: "Changes that no round has taken yet.",
			}, func() float64 { return max(float64(c.in.Load())-float64(c.taken.Load()), 0) }))
	}
	return m
}

// synced records a round.
func (m *kubeProxyMetrics) synced(took time.Duration, queued time.Time, noLocalInternal, noLocalExternal int, err error) {
	for _, family := range m.families {
		m.duration.WithLabelValues(family).Observe(took.Seconds())
		m.noLocal.WithLabelValues("internal", family).Set(float64(noLocalInternal))
		m.noLocal.WithLabelValues("external", family).Set(float64(noLocalExternal))
		if err == nil {
			m.last.WithLabelValues(family).SetToCurrentTime()
		}
		if !queued.IsZero() {
			m.queued.WithLabelValues(family).Set(float64(queued.UnixNano()) / 1e9)
		}
	}
}

// programmed records that what happened at these times is in force now.
func (m *kubeProxyMetrics) programmed(happened []time.Time, now time.Time) {
	for _, at := range happened {
		for _, family := range m.families {
			m.programming.WithLabelValues(family).Observe(now.Sub(at).Seconds())
		}
	}
}
