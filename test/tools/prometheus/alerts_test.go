package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/rules"
)

// node is what the scrape job adds to every series.
const node = `job="fairlead",instance="node-1"`

// situation is what an alert is for: what is other than at rest, one value a minute, and which alerts fire in the end.
type situation struct {
	name   string
	other  series
	firing []string
}

// situations has each alert in the list of firing ones at least once, and besides what must not fire.
var situations = []situation{
	{"at rest", nil, nil},
	{"the daemon does not answer", series{`up{` + node + `}`: "1x10 0x200"}, []string{"FairleadDown"}},
	{"it restarts", series{`up{` + node + `}`: "1x10 0x2 1x200"}, nil},
	{"the job has another name", series{`up{` + node + `}`: "_x200"}, []string{"FairleadAbsent"}},
	{"not healthy", series{`fairlead_healthy{` + node + `}`: "1x10 0x200"}, []string{"FairleadUnhealthy"}},
	{"no round ends", series{`fairlead_last_sync_timestamp_seconds{` + node + `}`: "0+60x10 600x200"}, []string{"FairleadNoSync"}},
	{"each round fails", series{`fairlead_syncs_total{` + node + `,result="error"}`: "0x10 0+2x200"}, []string{"FairleadSyncErrors"}},
	{"one round fails", series{`fairlead_syncs_total{` + node + `,result="error"}`: "0x100 1x100"}, nil},
	{"drift at each audit", series{`fairlead_drift_total{` + node + `,package="ipvs"}`: "0x10 0+1x200"}, []string{"FairleadDrift"}},
	{"drift once", series{`fairlead_drift_total{` + node + `,package="ipvs"}`: "0x100 9x100"}, nil},
	{"no audit ends", series{`fairlead_audit_age_seconds{` + node + `}`: "0+60x200"}, []string{"FairleadAuditOld"}},
	{"a drain without an end", series{`fairlead_draining_real_servers{` + node + `}`: "0x10 1x500"}, []string{"FairleadDrainsStuck"}},
	{"drains that end", series{`fairlead_draining_real_servers{` + node + `}`: strings.Repeat("0x5 3x200 ", 3)}, nil},
	{"a drain that is cut", series{`fairlead_drains_forced_total{` + node + `}`: "0x150 3x50"}, []string{"FairleadDrainsForced"}},
	{"a file that was never good", series{`fairlead_source_complete{` + node + `}`: "0x200"}, []string{"FairleadSourceIncomplete"}},
	{"no API server", series{`fairlead_source_connected{` + node + `,kind="Service"}`: "1x10 0x200"}, []string{"FairleadSourceDisconnected"}},
	{"changes take a minute", series{
		`kubeproxy_network_programming_duration_seconds_bucket{` + node + `,ip_family="IPv4",le="10"}`:   "0x200",
		`kubeproxy_network_programming_duration_seconds_bucket{` + node + `,ip_family="IPv4",le="60"}`:   "0+5x200",
		`kubeproxy_network_programming_duration_seconds_bucket{` + node + `,ip_family="IPv4",le="+Inf"}`: "0+5x200",
	}, []string{"FairleadProgrammingSlow"}},
	{"an annotation is wrong", series{`fairlead_problems{` + node + `,reason="BadAnnotation"}`: "0x10 2x200"}, []string{"FairleadServiceProblems"}},
	{"a configuration is refused", series{`fairlead_config_error{` + node + `,key="clusterCIDR"}`: "_x10 1x200"}, []string{"FairleadConfigRefused"}},
	{"and repaired", series{`fairlead_config_error{` + node + `,key="clusterCIDR"}`: "_x10 1x50 _x140"}, nil},
	{"no local endpoint for pods", series{`kubeproxy_sync_proxy_rules_no_local_endpoints_total{` + node + `,ip_family="IPv4",traffic_policy="internal"}`: "0x10 1x200"}, []string{"FairleadNoLocalEndpoints"}},
	{"no local endpoint for load balancers", series{`kubeproxy_sync_proxy_rules_no_local_endpoints_total{` + node + `,ip_family="IPv4",traffic_policy="external"}`: "0x10 1x200"}, nil},
	{"memory grows", series{`process_resident_memory_bytes{` + node + `}`: "40e6+2e6x200"}, []string{"FairleadMemory"}},
}

// rest is the daemon at rest: the recording's last values, each counter still, what follows the clock on time, and nothing
// wrong.
func rest(t *testing.T, minutes int) series {
	t.Helper()
	recorded, _, err := readRecording()
	if err != nil {
		t.Fatal(err)
	}
	s := series{}
	for name, values := range recorded {
		_, list, err := promQL.ParseSeriesDesc(name + " " + values)
		if err != nil {
			t.Fatal(err)
		}
		if last := list[len(list)-1]; !last.Omitted {
			s[name] = fmt.Sprintf("%gx%d", last.Value, minutes)
		}
	}
	s[`up{`+node+`}`] = fmt.Sprintf("1x%d", minutes)
	s[`fairlead_last_sync_timestamp_seconds{`+node+`}`] = fmt.Sprintf("0+60x%d", minutes)
	s[`fairlead_audit_age_seconds{`+node+`}`] = fmt.Sprintf("20x%d", minutes)
	s[`fairlead_draining_real_servers{`+node+`}`] = fmt.Sprintf("0x%d", minutes)
	s[`kubeproxy_sync_proxy_rules_no_local_endpoints_total{`+node+`,ip_family="IPv4",traffic_policy="internal"}`] = fmt.Sprintf("0x%d", minutes)
	s[`kubeproxy_sync_proxy_rules_no_local_endpoints_total{`+node+`,ip_family="IPv6",traffic_policy="internal"}`] = fmt.Sprintf("0x%d", minutes)
	delete(s, `fairlead_config_error{`+node+`,key="clusterCIDR"}`)
	return s
}

// alerts makes Prometheus' rules of the file.
func alerts(t *testing.T) (list []*rules.AlertingRule) {
	t.Helper()
	groups, err := readRules()
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		for _, r := range g.Rules {
			expr, err := promQL.ParseExpr(r.Expr)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, rules.NewAlertingRule(r.Alert, expr, time.Duration(r.For), 0, labels.FromMap(r.Labels),
				labels.FromMap(r.Annotations), labels.EmptyLabels(), "", true, slog.New(slog.DiscardHandler)))
		}
	}
	return list
}

// TestEachAlertFiresInItsSituation, no other does, and none at rest.
func TestEachAlertFiresInItsSituation(t *testing.T) {
	fired := map[string]bool{}
	for _, s := range situations {
		t.Run(s.name, func(t *testing.T) {
			minutes, err := s.other.length()
			if err != nil {
				t.Fatal(err)
			}
			minutes = max(minutes, 200)
			all := rest(t, minutes)
			maps.Copy(all, s.other)
			start := time.Unix(0, 0)
			d, err := load(all, start, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			list := alerts(t)
			for minute := range minutes {
				for _, r := range list {
					if _, err := r.Eval(context.Background(), 0, start.Add(time.Duration(minute)*time.Minute), d.query(), &url.URL{}, 0); err != nil {
						t.Fatalf("%s: %v", r.Name(), err)
					}
				}
			}
			var firing []string
			for _, r := range list {
				for _, a := range r.ActiveAlerts() {
					if a.State == rules.StateFiring {
						firing = append(firing, r.Name())
						fired[r.Name()] = true
						readable(t, a)
					}
				}
			}
			if !slices.Equal(firing, s.firing) {
				t.Errorf("firing %v, want %v", firing, s.firing)
			}
		})
	}
	for _, r := range alerts(t) {
		if !fired[r.Name()] {
			t.Errorf("%s has fired in no situation", r.Name())
		}
	}
}

// readable complains about annotations whose templates came to nothing.
func readable(t *testing.T, a *rules.Alert) {
	t.Helper()
	a.Annotations.Range(func(l labels.Label) {
		if strings.Contains(l.Value, "<no value>") || strings.Contains(l.Value, "<error") || strings.Contains(l.Value, "()") {
			t.Errorf("%s: %s", l.Name, l.Value)
		}
		t.Logf("%s: %s", l.Name, l.Value)
	})
}
