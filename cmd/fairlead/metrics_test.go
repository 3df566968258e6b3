package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
	"github.com/fairlead-lb/fairlead/ipvs"
)

var sceneLasts = flag.Duration("record", 0, "how long each scene of TestMetrics lasts; other than 0s: write what was scraped meanwhile, for test/tools/prometheus")

// TestMetrics lets everything happen that the metrics tell of, and holds testdata/metrics.txt to the daemon: it lists every
// series. With -record it also writes what a Prometheus would see.
func TestMetrics(t *testing.T) {
	r := newMetricsRun(t)
	var tape tape
	stop := tape.start(r)
	for _, scene := range r.scenes() {
		scene.act()
		r.wait(scene.name, scene.shown)
		for end := time.Now().Add(*sceneLasts); time.Now().Before(end); time.Sleep(300 * time.Millisecond) {
			r.roll()
		}
	}
	stop()
	if *sceneLasts != 0 {
		if err := os.WriteFile("../../test/tools/prometheus/testdata/run.txt", []byte(tape.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, _, text := r.scrape()
	kerneltest.Golden(t, "metrics.txt", withoutValues(text))
	holdMetricsPage(t, withoutValues(text))
}

// roll replaces an endpoint of one Service after the other.
func (r *metricsRun) roll() {
	r.changes++
	r.serve(2+r.changes%(runServices-2), 1, 2, 3+r.changes/runServices%100)
}

type scene struct {
	name  string
	act   func()
	shown func(map[string]float64) bool
}

// scenes lists what happens, and what shows that it has.
func (r *metricsRun) scenes() []scene {
	config, err := os.ReadFile(r.config)
	if err != nil {
		r.t.Fatal(err)
	}
	positive := func(series string) func(map[string]float64) bool {
		return func(m map[string]float64) bool { return m[series] > 0 }
	}
	zero := func(series string) func(map[string]float64) bool {
		return func(m map[string]float64) bool { value, is := m[series]; return is && value == 0 }
	}
	return []scene{
		{"changes", r.roll, positive(`kubeproxy_network_programming_duration_seconds_count{ip_family="IPv4"}`)},
		{"a question about health", func() {
			for _, path := range []string{"/healthz", "/livez"} {
				if body, err := r.get(r.health + path); err != nil || !strings.Contains(body, "lastUpdated") {
					r.t.Errorf("%s: %q, error %v", path, body, err)
				}
			}
		}, func(map[string]float64) bool { return true }},
		{"a bad annotation", func() { r.annotated(0, "fairlead.io/scheduler: worst", 1, 2, 3) }, positive(`fairlead_problems{reason="BadAnnotation"}`)},
		{"its repair", func() { r.serve(0, 1, 2, 3) }, zero(`fairlead_problems{reason="BadAnnotation"}`)},
		{"a drain", func() {
			r.servers.Touch(func(f *ipvs.Fake) { f.SetConnections(r.key(1), r.real(1, 3), 5) })
			r.serve(1, 1, 2)
		}, positive("fairlead_draining_real_servers")},
		{"its end", func() {
			r.servers.Touch(func(f *ipvs.Fake) { f.SetConnections(r.key(1), r.real(1, 3), 0) })
		}, zero("fairlead_draining_real_servers")},
		{"drift", func() {
			r.servers.Touch(func(f *ipvs.Fake) { f.Apply([]ipvs.Op{{Verb: ipvs.DeleteReal, Key: r.key(0), Real: r.real(0, 1)}}) })
		}, positive(`fairlead_drift_total{package="ipvs"}`)},
		{"refused writes", func() {
			r.servers.Touch(func(*ipvs.Fake) { r.refuse = true })
			r.serve(0, 1, 2, 3, 4)
		}, positive(`fairlead_syncs_total{result="error"}`)},
		{"their end", func() { r.servers.Touch(func(*ipvs.Fake) { r.refuse = false }) }, zero(`fairlead_pending{package="ipvs"}`)},
		{"a good configuration", func() { r.write(r.config, string(config)+"logging: {level: debug}\n") }, positive(`fairlead_config_reloads_total{result="applied"}`)},
		{"a wrong configuration", func() { r.write(r.config, string(config)+"clusterCIDR: nowhere\n") }, positive(`fairlead_config_error{key="clusterCIDR"}`)},
	}
}

// withoutValues leaves of a scrape what does not change from run to run: names, labels, types and helps. Of a histogram's
// buckets and of the Services one is enough, and of the versions none.
func withoutValues(scrape string) string {
	var text strings.Builder
	for line := range strings.Lines(scrape) {
		line = strings.TrimSuffix(line, "\n")
		if !strings.HasPrefix(line, "#") {
			line = line[:strings.LastIndexByte(line, ' ')]
		}
		if strings.Contains(line, `le="`) && !strings.Contains(line, `le="+Inf"`) || strings.Contains(line, `service="web-`) && !strings.Contains(line, `service="web-0"`) {
			continue
		}
		for _, label := range []string{"version", "go_version"} {
			line = emptied(line, label)
		}
		text.WriteString(line + "\n")
	}
	return text.String()
}

// emptied takes the value of a label away. Without any, it would be no label to Prometheus.
func emptied(series, label string) string {
	for _, before := range []string{"{", ","} {
		head, rest, found := strings.Cut(series, before+label+`="`)
		if found {
			_, tail, _ := strings.Cut(rest, `"`)
			return head + before + label + `="any"` + tail
		}
	}
	return series
}

// tape is what a Prometheus would have got, one scrape a second.
type tape struct {
	mu     sync.Mutex
	names  []string
	values map[string][]string // "_": the series was not there
	length int
	began  time.Time
}

// start records until stop is called. Without -record it does nothing.
func (p *tape) start(r *metricsRun) (stop func()) {
	p.values = make(map[string][]string)
	if *sceneLasts == 0 {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for tick := time.NewTicker(time.Second); ; {
			select {
			case <-done:
				tick.Stop()
				return
			case <-tick.C:
				_, _ = r.get(r.health + "/healthz")
				_, _ = r.get(r.health + "/livez")
				p.take(r.scrape())
			}
		}
	}()
	return func() { close(done); <-ended }
}

func (p *tape) take(names []string, values map[string]float64, _ string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range names {
		if strings.HasPrefix(name, "fairlead_endpoint_") && !strings.Contains(name, `service="web-0"`) {
			continue // too much, and all alike
		}
		if p.values[name] == nil {
			p.names = append(p.names, name)
			for range p.length {
				p.values[name] = append(p.values[name], "_")
			}
		}
		p.values[name] = append(p.values[name], fmt.Sprintf("%g", values[name]))
	}
	if p.length == 0 {
		p.began = time.Now()
	}
	p.length++
	for name, list := range p.values {
		if len(list) < p.length {
			p.values[name] = append(list, "_")
		}
	}
}

// String writes the tape in the notation of Prometheus' rule tests, one series a line, one value a second.
func (p *tape) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "# Written by go test ./cmd/fairlead -run '^TestMetrics$' -record %s\n# began %d, in Unix milliseconds\n", *sceneLasts, p.began.UnixMilli())
	for _, name := range p.names {
		text.WriteString(name)
		for list := p.values[name]; len(list) > 0; {
			n := 1
			for n < len(list) && list[n] == list[0] {
				n++
			}
			switch {
			case n == 1:
				text.WriteString(" " + list[0])
			case list[0] == "_":
				fmt.Fprintf(&text, " _x%d", n)
			default:
				fmt.Fprintf(&text, " %sx%d", list[0], n-1)
			}
			list = list[n:]
		}
		text.WriteString("\n")
	}
	return text.String()
}
