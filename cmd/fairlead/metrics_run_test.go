package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"

	"github.com/fairlead-lb/fairlead/controller"
	"github.com/fairlead-lb/fairlead/controller/source"
	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
	"github.com/fairlead-lb/fairlead/meter"
)

// runTraffic is what a kernel would count: the more, the higher the number of the Service.
type runTraffic struct {
	run   *metricsRun
	since time.Time
}

func (t runTraffic) Counters() (map[ipvs.Key]ipvs.Counters, error) {
	all := make(map[ipvs.Key]ipvs.Counters)
	for service := range runServices {
		all[t.run.key(service)] = t.counted(service)
	}
	return all, nil
}

func (t runTraffic) RealCounters(k ipvs.Key) (map[netip.AddrPort]ipvs.Counters, error) {
	service := int(k.Addr.Addr().As4()[3]) - 10
	return map[netip.AddrPort]ipvs.Counters{t.run.real(service, 1): t.counted(service)}, nil
}

// counted grows by (1 + service) * 10 connections a second, of 8 packets and 4,000 bytes one way and twice that the other.
func (t runTraffic) counted(service int) ipvs.Counters {
	n := uint64(time.Since(t.since).Seconds() * 10 * float64(1+service))
	return ipvs.Counters{Connections: n, InPackets: 8 * n, OutPackets: 16 * n, InBytes: 4000 * n, OutBytes: 8000 * n}
}

// metricsRun is a run of all of the daemon but the kernel, to look at its metrics.
type metricsRun struct {
	t         *testing.T
	manifests string // a directory
	config    string // a file
	health    string // http://IP:PORT
	metrics   string
	servers   *ipvs.Shared
	refuse    bool // the table refuses writes; changed by Touch only
	changes   int
}

// newMetricsRun starts the daemon. It ends with the test.
func newMetricsRun(t *testing.T) *metricsRun {
	ports := freePorts(t, 2)
	r := &metricsRun{t: t, manifests: t.TempDir(), servers: ipvs.NewShared()}
	r.health, r.metrics = "http://"+ports[0].String(), "http://"+ports[1].String()
	r.servers.Touch(func(f *ipvs.Fake) {
		f.Fail = func(ipvs.Op) error {
			if r.refuse {
				return errors.New("cannot allocate memory")
			}
			return nil
		}
	})
	for i := range runServices {
		r.serve(i, 1, 2, 3)
	}
	r.write(filepath.Join(r.manifests, "local.yaml"), runLocal)
	text := fmt.Sprintf("source: {kind: directory, directory: %s}\nsocketPath: \"\"\nhealthzBindAddress: %s\nmetricsBindAddress: %s\nipvs: {syncPeriod: 2s}\nmetrics: {perEndpoint: true}\n",
		r.manifests, ports[0], ports[1])
	r.config = writeFile(t, text)
	from := configOrigin{path: r.config}
	cfg, _, err := from.load()
	if err != nil {
		t.Fatal(err)
	}
	log, setLogging := newLogger(cfg.Logging, io.Discard)
	src, err := source.Directory(r.manifests, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	src.Contacts = new(source.Contacts) // as with an API server, which is what the metric is about
	answers := &cache.ListWatch{ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) { return nil, nil }}
	src.Contacts.Observe("Service", answers)
	if _, err := answers.ListWithContextFunc(t.Context(), metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	options, err := controllerOptions(cfg, "node-1")
	if err != nil {
		t.Fatal(err)
	}
	options.Host = controller.Host{}
	kernel := controller.Kernel{IPVS: r.servers, Dummyif: dummyif.NewFake(), Masq: masq.NewFake()}
	d := &daemon{
		from: from, file: []byte(text), name: "node-1", log: log, setLogging: setLogging, probe: r.servers.ProbeScheduler,
		meter:      meter.New(runTraffic{r, time.Now()}),
		controller: controller.New(src, kernel, options, log),
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.serve(ctx, cfg) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	page(t, r.metrics+"/metrics", "fairlead_services") // it listens
	r.wait("the first round", func(m map[string]float64) bool { return m["fairlead_services"] == runServices+1 })
	return r
}

const runServices = 12

// runLocal is a Service with a Local policy whose endpoint is on another node.
const runLocal = `{apiVersion: v1, kind: Service, metadata: {name: local, namespace: ns}, spec: {clusterIP: 10.96.1.1, clusterIPs: [10.96.1.1], internalTrafficPolicy: Local, ports: [{port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: local-1, namespace: ns, labels: {kubernetes.io/service-name: local}}, addressType: IPv4, ports: [{port: 80}], endpoints: [{addresses: [10.244.9.9], nodeName: node-9}]}
`

// write replaces a file as a whole, so that nobody reads half of it.
func (r *metricsRun) write(path, text string) {
	r.t.Helper()
	temporary := filepath.Join(r.t.TempDir(), "new")
	if err := os.WriteFile(temporary, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Rename(temporary, path); err != nil {
		r.t.Fatal(err)
	}
}

// serve gives a Service these endpoints, just now.
func (r *metricsRun) serve(service int, endpoints ...int) { r.annotated(service, "", endpoints...) }

func (r *metricsRun) annotated(service int, annotations string, endpoints ...int) {
	r.t.Helper()
	var list []string
	for _, n := range endpoints {
		list = append(list, fmt.Sprintf("{addresses: [10.244.%d.%d]}", service, n))
	}
	r.write(filepath.Join(r.manifests, fmt.Sprintf("%d.yaml", service)), fmt.Sprintf(
		`{apiVersion: v1, kind: Service, metadata: {name: web-%[1]d, namespace: ns, annotations: {%[2]s}}, spec: {clusterIP: 10.96.0.%[3]d, clusterIPs: [10.96.0.%[3]d], ports: [{port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-%[1]d, namespace: ns, labels: {kubernetes.io/service-name: web-%[1]d}, annotations: {endpoints.kubernetes.io/last-change-trigger-time: %[4]q}}, addressType: IPv4, ports: [{port: 80}], endpoints: [%[5]s]}
`, service, annotations, service+10, time.Now().UTC().Format(time.RFC3339Nano), strings.Join(list, ", ")))
}

// key and real are a Service's virtual server, and one of its real servers.
func (*metricsRun) key(service int) ipvs.Key {
	return ipvs.Key{Addr: netip.MustParseAddrPort(fmt.Sprintf("10.96.0.%d:80", service+10)), Protocol: ipvs.TCP}
}

func (*metricsRun) real(service, endpoint int) netip.AddrPort {
	return netip.MustParseAddrPort(fmt.Sprintf("10.244.%d.%d:80", service, endpoint))
}

// get returns a page.
func (r *metricsRun) get(url string) (string, error) {
	client := &http.Client{Timeout: 10 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

// scrape returns the value of each series, as the daemon writes it, in the daemon's order.
func (r *metricsRun) scrape() (names []string, values map[string]float64, text string) {
	text, err := r.get(r.metrics + "/metrics")
	if err != nil {
		r.t.Error(err)
	}
	values = make(map[string]float64)
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		i := strings.LastIndexByte(lines.Text(), ' ')
		value, err := strconv.ParseFloat(lines.Text()[i+1:], 64)
		if err != nil {
			r.t.Error(err)
		}
		names = append(names, lines.Text()[:i])
		values[lines.Text()[:i]] = value
	}
	return names, values, text
}

// wait waits until the metrics show something.
func (r *metricsRun) wait(what string, shown func(map[string]float64) bool) {
	r.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		_, values, text := r.scrape()
		if shown(values) {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("no sign of %s in\n%s", what, text)
		}
	}
}
