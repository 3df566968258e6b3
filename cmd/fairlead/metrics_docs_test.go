package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
)

// metricsPage is docs/metrics.md, made of a scrape of the daemon: what a metric means is said where it is made.
func metricsPage(scrape string) string {
	var page strings.Builder
	page.WriteString(metricsIntroduction)
	for _, part := range []struct{ title, prefix, about string }{
		{"Fairlead's own", "fairlead_", ""},
		{"By kube-proxy's names", "kubeproxy_", metricsOfKubeProxy},
	} {
		fmt.Fprintf(&page, "\n## %s\n\n%s| metric | type | labels | what it says |\n|---|---|---|---|\n", part.title, part.about)
		for _, m := range metricsIn(scrape) {
			if strings.HasPrefix(m.name, part.prefix) {
				fmt.Fprintf(&page, "| `%s` | %s | %s | %s |\n", m.name, m.kind, strings.Join(m.labels, ", "), m.help)
			}
		}
	}
	page.WriteString(metricsOfOthers)
	return page.String()
}

type metric struct {
	name, kind, help string
	labels           []string
}

// metricsIn reads the metrics and their labels out of a scrape.
func metricsIn(scrape string) (list []metric) {
	for line := range strings.Lines(scrape) {
		line = strings.TrimSpace(line)
		if text, is := strings.CutPrefix(line, "# HELP "); is {
			name, help, _ := strings.Cut(text, " ")
			list = append(list, metric{name: name, help: help})
			continue
		}
		m := &list[len(list)-1]
		if text, is := strings.CutPrefix(line, "# TYPE "); is {
			_, m.kind, _ = strings.Cut(text, " ")
			continue
		}
		_, labels, _ := strings.Cut(line, "{")
		for label := range strings.SplitSeq(strings.TrimSuffix(labels, "}"), ",") {
			name, _, is := strings.Cut(label, "=")
			if is && name != "le" && !slices.Contains(m.labels, "`"+name+"`") {
				m.labels = append(m.labels, "`"+name+"`")
			}
		}
	}
	return list
}

// TestMetricsPageIsReadFromAScrape: name, type, labels and text of each metric.
func TestMetricsPageIsReadFromAScrape(t *testing.T) {
	page := metricsPage("# HELP fairlead_a Something.\n# TYPE fairlead_a histogram\nfairlead_a_bucket{lane=\"x\",le=\"+Inf\"}\nfairlead_a_sum{lane=\"x\"}\n# HELP go_x Y.\n# TYPE go_x gauge\ngo_x\n")
	if !strings.Contains(page, "| `fairlead_a` | histogram | `lane` | Something. |\n") || strings.Contains(page, "go_x") {
		t.Error(page)
	}
}

// holdMetricsPage holds docs/metrics.md to what the daemon exposes.
func holdMetricsPage(t *testing.T, scrape string) {
	t.Helper()
	kerneltest.Golden(t, "../../../docs/metrics.md", metricsPage(scrape))
}

const metricsIntroduction = `# Metrics

All that the daemon exposes at ` + "`/metrics`" + ` of ` + "`metricsBindAddress`" + `. This page is made of a scrape of the daemon by
` + "`go test ./cmd/fairlead -run '^TestMetrics$' -update`" + `, and a test holds it to what the daemon exposes.
[monitoring.md](monitoring.md) has the dashboard and the alerts.

A scrape costs as much as there are virtual servers with series of their own (` + "`metrics.maxVirtualServers`" + `): one request to
the kernel, on a socket of its own, and one question to the controller. All other figures are kept, none is counted at
the time of the scrape.

The kernel sums the counters of Services and endpoints up every two seconds, in its rate estimators, and keeps them as
long as the virtual server is there. Of one that is made again while the daemon runs, and is the
same Service's, they go on where they were. A restart of the daemon forgets what was before: then such a counter begins
anew, as Prometheus expects it of counters. While the estimators are stopped (` + "`net.ipv4.vs.run_estimation`" + `
is 0, which [` + "`ipvs.estimation: auto`" + `](configuration.md#ipvsestimation) does on Linux before 6.2 while there are more
than 10,000 virtual and real servers) these counters stand still. They catch up when the estimators run again.
`

const metricsOfKubeProxy = `These mean what they mean in kube-proxy 1.37. A round writes both families at once, so where kube-proxy has a value for
each family both have the same one here.

`

const metricsOfOthers = `
Besides there are the usual ` + "`go_`" + ` and ` + "`process_`" + ` metrics.

## What kube-proxy has and Fairlead has not

| metric of kube-proxy | why not |
|---|---|
| ` + "`kubeproxy_sync_full_proxy_rules_duration_seconds`, `kubeproxy_sync_partial_proxy_rules_duration_seconds`" + ` | there is one kind of round; ` + "`kubeproxy_sync_proxy_rules_duration_seconds`" + ` has them all |
| ` + "`kubeproxy_sync_proxy_rules_iptables_*`, `kubeproxy_sync_proxy_rules_nftables_*`" + ` | the number of rules does not depend on the number of Services; ` + "`fairlead_kernel_write_errors_total`" + ` counts what is refused |
| ` + "`kubeproxy_nftables_localhost_nodeport_*`" + ` | the relay on the loopback tells of a taken port in the log |
| ` + "`kubeproxy_conntrack_reconciler_*`" + ` | stale flows are deleted in the round that makes them stale: ` + "`fairlead_stale_flows_deleted_total`" + ` |
| ` + "`kubeproxy_iptables_ct_state_invalid_dropped_packets_total` and others that read packet counters of rules" + ` | Fairlead has no such rules |
`
