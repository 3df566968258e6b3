package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/controller"
	"github.com/fairlead-lb/fairlead/controller/source"
	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/internal/listen"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
	"github.com/fairlead-lb/fairlead/meter"
)

// aService is a Service with an endpoint, as a manifest.
const aService = `{apiVersion: v1, kind: Service, metadata: {name: web, namespace: ns}, spec: {clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1], ports: [{port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-1, namespace: ns, labels: {kubernetes.io/service-name: web}}, addressType: IPv4, ports: [{port: 80}], endpoints: [{addresses: [10.244.1.5]}]}
`

// freePorts returns addresses that nobody listens at.
func freePorts(t *testing.T, n int) (addrs []netip.AddrPort) {
	t.Helper()
	for range n {
		l, err := listen.TCP(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addrs = append(addrs, netip.MustParseAddrPort(l.Addr().String()))
	}
	return addrs
}

// page waits until a page has this text.
func page(t *testing.T, url, want string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}
	body := ""
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		response, err := client.Get(url)
		if err != nil {
			body = err.Error()
			continue
		}
		data, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if body = string(data); strings.Contains(body, want) {
			return
		}
	}
	t.Fatalf("%s has no %s:\n%s", url, want, body)
}

// lockedText is a log that one goroutine writes and another reads.
type lockedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestTheDaemonFollowsItsFile runs all of the daemon but the kernel, and changes its file three times.
func TestTheDaemonFollowsItsFile(t *testing.T) {
	manifests := t.TempDir()
	if err := os.WriteFile(filepath.Join(manifests, "a.yaml"), []byte(aService), 0o600); err != nil {
		t.Fatal(err)
	}
	ports := freePorts(t, 4)
	text := func(metrics netip.AddrPort, more string) string {
		return fmt.Sprintf("source: {kind: directory, directory: %s}\nhealthzBindAddress: %s\nmetricsBindAddress: %s\n%s\n", manifests, ports[0], metrics, more)
	}
	path := writeFile(t, text(ports[1], ""))
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	from := configOrigin{path: path}
	cfg, _, err := from.load()
	if err != nil {
		t.Fatal(err)
	}
	var output lockedText
	log, setLogging := newLogger(cfg.Logging, &output)
	src, err := source.Directory(manifests, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	servers := ipvs.NewFake()
	options, err := controllerOptions(cfg, "node-1")
	if err != nil {
		t.Fatal(err)
	}
	options.Host = controller.Host{}
	d := &daemon{
		meter: meter.New(&meter.Fake{}),
		from:  from, file: []byte(text(ports[1], "")), name: "node-1", log: log, setLogging: setLogging, probe: servers.ProbeScheduler,
		controller: controller.New(src, controller.Kernel{IPVS: servers, Dummyif: dummyif.NewFake(), Masq: masq.NewFake()}, options, log),
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.serve(ctx, cfg) }()
	page(t, "http://"+ports[1].String()+"/metrics", "fairlead_services 1")

	write(text(ports[2], "ipvs: {scheduler: wlc}\nlogging: {level: debug, format: json}"))
	page(t, "http://"+ports[2].String()+"/metrics", `fairlead_config_reloads_total{result="applied"} 1`)
	write(text(ports[2], "ipvs: {scheduler: worst}"))
	page(t, "http://"+ports[2].String()+"/metrics", `fairlead_config_error{key="ipvs.scheduler"} 1`)
	write(text(ports[2], "ipvs: {scheduler: wlc}\nenableProfiling: true\nlogging: {level: debug, format: json}"))
	page(t, "http://"+ports[2].String()+"/debug/pprof/cmdline", "fairlead")
	page(t, "http://"+ports[0].String()+"/healthz", "lastUpdated")
	write(text(ports[2], "ipvs: {scheduler: wlc}\nlogging: {level: debug, format: json}\nstatusBindAddress: "+ports[3].String()))
	page(t, "http://"+ports[3].String()+"/", "<title>Fairlead</title>")
	page(t, "http://"+ports[3].String()+"/v1/services", `"name":"tcp 10.96.0.1:80"`)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if !strings.Contains(servers.Dump(), "-A -t 10.96.0.1:80 -s wlc") {
		t.Errorf("the table is\n%s", servers.Dump())
	}
	if !strings.Contains(output.String(), `"msg":"the configuration file is taken over"`) {
		t.Errorf("the log is not JSON:\n%s", output.String())
	}
}
