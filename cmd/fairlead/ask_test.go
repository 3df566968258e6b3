package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/controller"
	"github.com/fairlead-lb/fairlead/controller/source"
	"github.com/fairlead-lb/fairlead/dummyif"
	"github.com/fairlead-lb/fairlead/internal/kerneltest"
	"github.com/fairlead-lb/fairlead/ipvs"
	"github.com/fairlead-lb/fairlead/masq"
	"github.com/fairlead-lb/fairlead/view"
)

// shop are Services of which one is served, one has nobody, one wants what another has, and one has names and an
// annotation that would clear the screen or forge a line.
const shop = `{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop, creationTimestamp: "2020-01-01T00:00:00Z"}, spec: {clusterIP: 10.96.0.10, externalIPs: [203.0.113.10], ports: [{name: http, port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}, addressType: IPv4, ports: [{name: http, port: 8080}],
  endpoints: [{addresses: [10.244.1.5], nodeName: node-1}, {addresses: [10.244.2.6], nodeName: node-2}, {addresses: [10.244.2.7], nodeName: node-2, conditions: {ready: false}}]}
---
{apiVersion: v1, kind: Service, metadata: {name: empty, namespace: shop, creationTimestamp: "2020-01-01T00:00:00Z"}, spec: {clusterIP: 10.96.0.11, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: late, namespace: other, creationTimestamp: "2021-01-01T00:00:00Z"}, spec: {clusterIP: 10.96.0.12, externalIPs: [203.0.113.10], ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: hostile, namespace: other, creationTimestamp: "2020-01-01T00:00:00Z", annotations: {fairlead.io/scheduler: "\e[2J\e[31mrr\nHealth healthy\u202e"}}, spec: {clusterIP: 10.96.0.13, ports: [{name: "p\e[1m", port: 80}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: hostile-1, namespace: other, labels: {kubernetes.io/service-name: hostile}}, addressType: IPv4, ports: [{name: "p\e[1m", port: 8080}],
  endpoints: [{addresses: [10.244.2.8], nodeName: "node\n  tcp 10.244.2.9:8080\e[2K"}]}
`

// asked is a daemon without a kernel, that commands can ask.
type asked struct {
	t      *testing.T
	socket string
	ipvs   *ipvs.Fake
}

// newAsked runs all of the daemon but the kernel until the test ends, over these manifests.
func newAsked(t *testing.T, manifests string) *asked {
	t.Helper()
	// The directory of the test itself may be too long for a socket's name, which has room for 108 bytes.
	short, err := os.MkdirTemp("", "fl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(short) })
	dir := filepath.Join(short, "m")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(manifests), 0o600)); err != nil {
		t.Fatal(err)
	}
	a := &asked{t: t, socket: filepath.Join(short, "s"), ipvs: ipvs.NewFake()}
	text := fmt.Sprintf("source: {kind: directory, directory: %s}\nhealthzBindAddress: \"\"\nmetricsBindAddress: \"\"\nsocketPath: %s\nclusterCIDR: 10.244.0.0/16\n", dir, a.socket)
	a.serve(dir, text)
	a.wait()
	return a
}

// serve begins to run the daemon, which ends with the test.
func (a *asked) serve(dir, text string) {
	a.t.Helper()
	from := configOrigin{path: writeFile(a.t, text)}
	cfg, _, err := from.load()
	if err != nil {
		a.t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	src, err := source.Directory(dir, log)
	if err != nil {
		a.t.Fatal(err)
	}
	options, err := controllerOptions(cfg, "node-1")
	if err != nil {
		a.t.Fatal(err)
	}
	options.Host = controller.Host{}
	d := &daemon{
		from: from, file: []byte(text), name: "node-1", log: log, setLogging: func(LoggingConfig) {}, probe: a.ipvs.ProbeScheduler,
		controller: controller.New(src, controller.Kernel{IPVS: a.ipvs, Dummyif: dummyif.NewFake(), Masq: masq.NewFake()}, options, log),
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.serve(ctx, cfg) }()
	a.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			a.t.Error(err)
		}
	})
}

// wait waits until the daemon has served all there is.
func (a *asked) wait() {
	a.t.Helper()
	var s view.Status
	var err error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		s, err = view.NewClient(a.socket).Status(a.t.Context())
		if err == nil && s.Healthy && s.Phase == view.PhaseRunning && s.VirtualServers.Pending+s.Addresses.Pending+s.Entries.Pending == 0 && s.Audit.Ended != nil {
			return
		}
	}
	a.t.Fatalf("the daemon does not come to rest: %v, %+v", err, s)
}

// changing is what differs from run to run: times, releases, the directory.
var changing = []struct {
	pattern *regexp.Regexp
	by      string
}{
	{regexp.MustCompile(`(now|\d+(\.\d+)?(ms|m?s|min|h| min| h| days)) ago|\bnow\b`), "AGO"},
	{regexp.MustCompile(`in \d+(\.\d+)?(µs|ms|s)\b|in 0s`), "in TIME"},
	{regexp.MustCompile(`Fairlead +\S+ on node node-1, Linux \S*`), "Fairlead         VERSION on node node-1, Linux RELEASE"},
	{regexp.MustCompile(`directory /\S+`), "directory DIRECTORY"},
}

// says runs a command that asks the daemon, and returns what it prints without what changes.
func (a *asked) says(wantStatus int, args ...string) string {
	a.t.Helper()
	status, stdout, stderr := command(append(args, "--socket", a.socket)...)
	if status != wantStatus {
		a.t.Errorf("%s: exit status %d, not %d: %s", strings.Join(args, " "), status, wantStatus, stderr)
	}
	text := stdout + stderr
	for _, c := range changing {
		text = c.pattern.ReplaceAllString(text, c.by)
	}
	return text
}

// TestWhatTheCommandsSay holds the text of the commands that ask the daemon to what was agreed on.
func TestWhatTheCommandsSay(t *testing.T) {
	a := newAsked(t, shop)
	var all strings.Builder
	for _, line := range []string{
		"status",
		"get services", "get services --namespace shop", "get services --name empty", "get services --state lost", "get services --address 203.0.113.10:80",
		"get endpoints", "get endpoints --state draining", "get addresses", "get addresses --address 10.96.0.11", "get sets",
		"get services --state impaired", "explain shop/web", "explain shop/empty", "explain 203.0.113.10:80", "explain other/hostile",
	} {
		text := a.says(0, strings.Fields(line)...)
		if strings.ContainsFunc(strings.ReplaceAll(text, "\n", ""), hidden) {
			t.Errorf("%s: something is not printable: %q", line, text)
		}
		fmt.Fprintf(&all, "$ fairlead %s\n%s\n", line, text)
	}
	kerneltest.Golden(t, "ask.txt", all.String())
}

// TestWhatNobodyKnows has exit status 1 and one clear sentence.
func TestWhatNobodyKnows(t *testing.T) {
	a := newAsked(t, aService)
	for what, want := range map[string]string{
		"ns/nobody":        "fairlead: the source knows no Service ns/nobody\n",
		"10.96.0.1:81":     "fairlead: no Service has 10.96.0.1:81: packets to it are not Fairlead's business here\n",
		"web":              `fairlead: "web" is neither namespace/name nor an address, with or without a port` + "\n",
		"ns/\x1b[31m\nred": `fairlead: the source knows no Service ns/\x1b[31m`, // quoted by Go's own notation
	} {
		if got := a.says(1, "explain", what); !strings.HasPrefix(got, want) || strings.Contains(got, "\x1b") {
			t.Errorf("explain %q: %q, want %q", what, got, want)
		}
	}
}

// TestWithoutADaemon the commands say where they have asked, and what to do. What the kernel has is another matter: see
// TestKernelView.
func TestWithoutADaemon(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	for _, line := range []string{"status", "get services", "get endpoints", "get addresses", "get sets", "explain ns/web"} {
		status, _, stderr := command(append(strings.Fields(line), "--socket", socket)...)
		if !strings.Contains(stderr, "no daemon answers") || !strings.Contains(stderr, socket) || !strings.Contains(stderr, "fairlead doctor") {
			t.Errorf("%s: status %d, stderr %q", line, status, stderr)
		}
		if status != 1 && !strings.HasPrefix(line, "get ") {
			t.Errorf("%s: status %d", line, status)
		}
	}
}

// TestJSONIsWhatTheDaemonSaid reads what the commands print back into the types of package view, and loses nothing.
func TestJSONIsWhatTheDaemonSaid(t *testing.T) {
	a := newAsked(t, shop)
	client := view.NewClient(a.socket)
	roundTrip(a, "get services", func() (any, error) {
		services, err := client.Services(t.Context(), view.Filter{})
		return services.Items, err
	}, new([]view.Service))
	roundTrip(a, "get endpoints", func() (any, error) { return client.Endpoints(t.Context(), view.Filter{}) }, new([]view.Endpoint))
	roundTrip(a, "get addresses", func() (any, error) { return client.Addresses(t.Context(), view.Filter{}) }, new([]view.Address))
	roundTrip(a, "get sets", func() (any, error) { return client.Sets(t.Context(), view.Filter{}) }, new([]view.Entry))
	roundTrip(a, "explain other/hostile", func() (any, error) { return client.Explain(t.Context(), "other/hostile") }, new([]view.Explanation))
	_, stdout, _ := command("status", "-o", "json", "--socket", a.socket)
	var s view.Status
	if err := strictly(stdout, &s); err != nil || s.Node != "node-1" || s.Services != 4 || !s.Healthy {
		t.Errorf("status: %v, %+v", err, s)
	}
}

// roundTrip compares what a command prints as JSON with what the daemon answers.
func roundTrip[T any](a *asked, line string, answer func() (any, error), into *T) {
	a.t.Helper()
	status, stdout, stderr := command(append(strings.Fields(line), "-o", "json", "--socket", a.socket)...)
	want, err := answer()
	if err := errors.Join(err, strictly(stdout, into)); err != nil || status != 0 || stderr != "" {
		a.t.Fatalf("%s: status %d, %v, stderr %q:\n%s", line, status, err, stderr, stdout)
	}
	if diff := cmp.Diff(want, any(*into)); diff != "" {
		a.t.Errorf("%s (-daemon +command):\n%s", line, diff)
	}
}

// strictly decodes JSON that has no other fields than those of into.
func strictly(text string, into any) error {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}
