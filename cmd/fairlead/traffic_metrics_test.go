package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-lb/fairlead/controller"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/meter"
)

// metered is a kernel that has counted something for each of n Services, and a controller that has them.
type metered struct {
	kernel    meter.Fake
	owners    map[ipvs.Key]controller.Owner
	questions int
	copies    int
}

func newMetered(n int) *metered {
	m := &metered{owners: make(map[ipvs.Key]controller.Owner)}
	m.kernel.Servers = make(map[ipvs.Key]ipvs.Counters)
	m.kernel.Reals = make(map[ipvs.Key]map[netip.AddrPort]ipvs.Counters)
	for i := range n {
		k := ipvs.Key{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 96, byte(i >> 8), byte(i)}), 80), Protocol: ipvs.TCP}
		m.owners[k] = controller.Owner{Service: types.NamespacedName{Namespace: "ns", Name: fmt.Sprintf("web-%d", i)}, Kind: "ClusterIP"}
		m.kernel.Servers[k] = ipvs.Counters{Connections: uint64(i), InPackets: 5, OutPackets: 4, InBytes: 300, OutBytes: 1 << 40}
		m.kernel.Reals[k] = map[netip.AddrPort]ipvs.Counters{netip.MustParseAddrPort("10.1.0.1:8080"): {Connections: uint64(i)}}
	}
	return m
}

func (m *metered) ask(_ context.Context, known uint64) (map[ipvs.Key]controller.Owner, uint64, error) {
	m.questions++
	if known == 1 {
		return nil, 1, nil
	}
	m.copies++
	return m.owners, 1, nil
}

func (m *metered) traffic() *traffic { return &traffic{meter: meter.New(&m.kernel), ask: m.ask} }

func (m *metered) collector(o MetricsConfig) *trafficMetrics {
	return newTrafficMetrics(m.traffic(), func() MetricsConfig { return o }, slog.New(slog.DiscardHandler))
}

func TestTrafficOfServices(t *testing.T) {
	m := newMetered(2)
	m.kernel.Servers[ipvs.Key{Addr: netip.MustParseAddrPort("192.0.2.1:80"), Protocol: ipvs.TCP}] = ipvs.Counters{Connections: 99} // somebody else's
	mark := ipvs.MarkKey(0x50000001, true)
	m.owners[mark] = controller.Owner{Service: types.NamespacedName{Namespace: "ns", Name: "dns"}, Kind: controller.LocalKind, Port: "dns", Protocol: ipvs.UDP}
	m.kernel.Servers[mark] = ipvs.Counters{Connections: 7}
	m.kernel.Reals[mark] = map[netip.AddrPort]ipvs.Counters{netip.MustParseAddrPort("[fd00::1]:53"): {Connections: 7}}
	want := `
# HELP fairlead_service_connections_total Connections begun, of each virtual server of a Service. Kind Local is that by firewall mark, where port is the name of the Service port and address only tells the family.
# TYPE fairlead_service_connections_total counter
fairlead_service_connections_total{address="10.96.0.0",kind="ClusterIP",namespace="ns",port="80",protocol="tcp",service="web-0"} 0
fairlead_service_connections_total{address="10.96.0.1",kind="ClusterIP",namespace="ns",port="80",protocol="tcp",service="web-1"} 1
fairlead_service_connections_total{address="::",kind="Local",namespace="ns",port="dns",protocol="udp",service="dns"} 7
`
	if err := testutil.CollectAndCompare(m.collector(MetricsConfig{MaxVirtualServers: 10}), strings.NewReader(want), "fairlead_service_connections_total"); err != nil {
		t.Error(err)
	}
	busiest := m.collector(MetricsConfig{MaxVirtualServers: 1, PerEndpoint: true})
	if n := testutil.CollectAndCount(busiest, "fairlead_service_outgoing_bytes_total"); n != 1 {
		t.Errorf("%d series where 1 is allowed", n)
	}
	for name, want := range map[string]string{
		"fairlead_service_metrics_left_out":   "fairlead_service_metrics_left_out 2\n",
		"fairlead_endpoint_connections_total": `endpoint="[fd00::1]:53",kind="Local",namespace="ns",port="dns",protocol="udp",service="dns"} 7`,
	} {
		text, err := testutil.CollectAndFormat(busiest, expfmt.TypeTextPlain, name)
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
	if got := testutil.CollectAndCount(m.collector(MetricsConfig{})); got != 0 {
		t.Errorf("%d series where none are wanted", got)
	}
}

// TestCountersOfOneServiceAreNotToldOfTheNext that has its virtual server, be it that nobody had it in between.
func TestCountersOfOneServiceAreNotToldOfTheNext(t *testing.T) {
	m := newMetered(1)
	generation := uint64(0)
	counted := &traffic{meter: meter.New(&m.kernel), ask: func(context.Context, uint64) (map[ipvs.Key]controller.Owner, uint64, error) {
		generation++
		return maps.Clone(m.owners), generation, nil
	}}
	var k ipvs.Key
	for k = range m.owners {
	}
	connections := func(want string, n uint64) {
		t.Helper()
		counted.at = time.Time{}
		list, _, err := counted.read(t.Context())
		if err != nil || len(list) != 1 || list[0].owner.Service.Name != want || list[0].counters.Connections != n {
			t.Errorf("%+v, %v; want %d connections of %s", list, err, n, want)
		}
	}
	m.kernel.Servers[k] = ipvs.Counters{Connections: 1000}
	connections("web-0", 1000)
	before := m.owners
	m.owners, m.kernel.Servers = map[ipvs.Key]controller.Owner{}, nil
	counted.at = time.Time{}
	_, _, _ = counted.read(t.Context())
	m.owners = before
	m.kernel.Servers = map[ipvs.Key]ipvs.Counters{k: {Connections: 3}}
	connections("web-0", 1003) // the same one again
	m.owners = map[ipvs.Key]controller.Owner{k: {Service: types.NamespacedName{Namespace: "other", Name: "new"}}}
	m.kernel.Servers = map[ipvs.Key]ipvs.Counters{k: {Connections: 2}}
	connections("new", 2)
}

// TestAStuckControllerDelaysNoScrape for long: the last owners have what is counted.
func TestAStuckControllerDelaysNoScrape(t *testing.T) {
	m := newMetered(3)
	stuck := false
	counted := &traffic{meter: meter.New(&m.kernel), ask: func(ctx context.Context, known uint64) (map[ipvs.Key]controller.Owner, uint64, error) {
		if stuck {
			<-ctx.Done()
			return nil, 0, ctx.Err()
		}
		return m.ask(ctx, known)
	}}
	for _, stuck = range []bool{false, true} {
		counted.at = time.Time{}
		started := time.Now()
		list, _, err := counted.read(t.Context())
		if took := time.Since(started); len(list) != 3 || err != nil || took > 5*patience {
			t.Errorf("stuck %t: %d virtual servers after %v, %v", stuck, len(list), took, err)
		}
	}
}

// TestAScrapeIsOneRequestAndOneQuestion, and takes the list of owners over only when it has changed. Those who scrape at
// once share it.
func TestAScrapeIsOneRequestAndOneQuestion(t *testing.T) {
	m := newMetered(10_000)
	registry := prometheus.NewPedanticRegistry()
	collector := m.collector(MetricsConfig{MaxVirtualServers: 10_000})
	registry.MustRegister(collector)
	for scrape := 1; scrape <= 3; scrape++ {
		collector.traffic.at = time.Time{}
		families, err := registry.Gather()
		if err != nil || len(families) != 7 || len(families[1].GetMetric()) != 10_000 {
			t.Fatalf("%d families, %v", len(families), err)
		}
		if m.kernel.Requests != scrape || m.questions != scrape || m.copies != 1 {
			t.Errorf("after %d scrapes: %d requests, %d questions, %d copies", scrape, m.kernel.Requests, m.questions, m.copies)
		}
	}
}

// BenchmarkScrape is a whole scrape at 10,000 Services as Prometheus asks for it, compressed. Only the kernel is missing.
func BenchmarkScrape(b *testing.B) {
	m := newMetered(10_000)
	registry := prometheus.NewRegistry()
	collector := m.collector(MetricsConfig{MaxVirtualServers: 10_000})
	registry.MustRegister(collector)
	handler := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	b.ReportAllocs()
	for b.Loop() {
		collector.traffic.at = time.Time{} // nobody has just asked
		request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		request.Header.Set("Accept-Encoding", "gzip")
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		if answer.Code != http.StatusOK || answer.Body.Len() == 0 {
			b.Fatalf("%d, %d bytes", answer.Code, answer.Body.Len())
		}
	}
}
