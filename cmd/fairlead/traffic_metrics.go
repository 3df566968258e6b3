package main

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/fairlead-lb/fairlead/ipvs"
)

// trafficMetrics exports what goes through the virtual servers of Services. Each scrape is one request to the kernel,
// on a socket of its own, and one question to the controller, which answers with nothing where nothing has changed.
// Scrapes wait for each other.
type trafficMetrics struct {
	mu      sync.Mutex
	traffic *traffic
	options func() MetricsConfig
	log     *slog.Logger

	service, endpoint [5]*prometheus.Desc // in the order of counted
	leftOut, took     *prometheus.Desc
}

func newTrafficMetrics(counted *traffic, options func() MetricsConfig, log *slog.Logger) *trafficMetrics {
	t := &trafficMetrics{traffic: counted, options: options, log: log}
	labels := []string{"namespace", "service", "kind", "address", "port", "protocol"}
	for i, c := range [5]struct{ name, help string }{
		{"connections_total", "Connections begun"},
		{"incoming_packets_total", "Packets from clients"},
		{"outgoing_packets_total", "Packets to clients"},
		{"incoming_bytes_total", "Bytes from clients"},
		{"outgoing_bytes_total", "Bytes to clients"},
	} {
		t.service[i] = prometheus.NewDesc("fairlead_service_"+c.name,
			c.help+", of each virtual server of a Service. Kind Local is that by firewall mark, where port is the name of the Service port and address only tells the family.", labels, nil)
		t.endpoint[i] = prometheus.NewDesc("fairlead_endpoint_"+c.name,
			c.help+", of each real server, with metrics.perEndpoint.", append(slices.Clone(labels), "endpoint"), nil)
	}
	t.leftOut = prometheus.NewDesc("fairlead_service_metrics_left_out", "Virtual servers without series of their own: those with least traffic, beyond metrics.maxVirtualServers.", nil, nil)
	t.took = prometheus.NewDesc("fairlead_meter_duration_seconds", "How long it took to read the counters for this scrape.", nil, nil)
	return t
}

// Describe implements prometheus.Collector.
func (t *trafficMetrics) Describe(out chan<- *prometheus.Desc) {
	for i := range t.service {
		out <- t.service[i]
		out <- t.endpoint[i]
	}
	out <- t.leftOut
	out <- t.took
}

// Collect implements prometheus.Collector.
func (t *trafficMetrics) Collect(out chan<- prometheus.Metric) {
	t.mu.Lock()
	defer t.mu.Unlock()
	options, started := t.options(), time.Now()
	if options.MaxVirtualServers == 0 {
		return
	}
	list, _, err := t.traffic.read(context.Background())
	if err != nil {
		t.log.Warn("this scrape has no counters of Services", "err", err)
		return
	}
	shown := min(len(list), options.MaxVirtualServers)
	for _, s := range list[:shown] {
		labels := s.labels()
		t.send(out, t.service, s.counters, labels)
		if options.PerEndpoint {
			t.sendEndpoints(out, s, labels)
		}
	}
	t.traffic.meter.Forget()
	out <- prometheus.MustNewConstMetric(t.leftOut, prometheus.GaugeValue, float64(len(list)-shown))
	out <- prometheus.MustNewConstMetric(t.took, prometheus.GaugeValue, time.Since(started).Seconds())
}

func (o owned) labels() []string {
	protocol, port := o.key.Protocol, strconv.Itoa(int(o.key.Addr.Port()))
	if o.key.Mark != 0 {
		protocol, port = o.owner.Protocol, o.owner.Port
	}
	return []string{o.owner.Service.Namespace, o.owner.Service.Name, o.owner.Kind, o.key.Addr.Addr().String(), port, protocol.String()}
}

func (t *trafficMetrics) send(out chan<- prometheus.Metric, descs [5]*prometheus.Desc, c ipvs.Counters, labels []string) {
	for i, value := range [5]uint64{c.Connections, c.InPackets, c.OutPackets, c.InBytes, c.OutBytes} {
		out <- prometheus.MustNewConstMetric(descs[i], prometheus.CounterValue, float64(value), labels...)
	}
}

func (t *trafficMetrics) sendEndpoints(out chan<- prometheus.Metric, s owned, labels []string) {
	reals, err := t.traffic.meter.Reals(s.key)
	if err != nil {
		t.log.Warn("this scrape lacks counters of endpoints", "server", s.key.String(), "err", err)
		return
	}
	for addr, c := range sorted(reals) {
		t.send(out, t.endpoint, c, append(slices.Clone(labels), addr.String()))
	}
}

// sorted yields what belongs to addresses in their order.
func sorted[V any](m map[netip.AddrPort]V) func(yield func(netip.AddrPort, V) bool) {
	addrs := make([]netip.AddrPort, 0, len(m))
	for addr := range m {
		addrs = append(addrs, addr)
	}
	slices.SortFunc(addrs, netip.AddrPort.Compare)
	return func(yield func(netip.AddrPort, V) bool) {
		for _, addr := range addrs {
			if !yield(addr, m[addr]) {
				return
			}
		}
	}
}
