package main

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
	"github.com/fairlead-lb/fairlead/test/bench/result"
	"github.com/fairlead-lb/fairlead/test/lab"
)

// TestQuick runs a little of every row, with Fairlead and the floor, so that the benchmark does not rot between two
// measurements. The numbers are not looked at, but that they are there.
func TestQuick(t *testing.T) {
	m, samples := smoke(t, plan{quick: true}.parts()[0])
	m.subjects = []string{floorName, "fairlead-route"} // the other way to bind is in the other test
	check(t, m.measure(t.Context()))

	r := result.Result{Samples: samples(t)}
	for _, want := range []struct{ row, subject, metric string }{
		{"cold", "floor", "programming-route"}, {"cold", "floor", "programming-address"},
		{"cold", "fairlead-route", "last"},
		{"cold", "fairlead-route", "apiserver-after-sync"}, {"cold", "fairlead-route", "programming"},
		{"idle", "fairlead-route", "cpu"}, {"idle", "fairlead-route", "rss"},
		{"change", "floor", "latency"}, {"change", "fairlead-route", "latency"}, {"change", "fairlead-route", "cpu"}, {"change", "fairlead-route", "writes"},
		{"burst", "fairlead-route", "last"}, {"burst", "fairlead-route", "rounds"}, {"burst", "floor", "programming"}, {"burst", "floor", "watch"},
		{"restart", "fairlead-route", "change-served"}, {"restart", "fairlead-route", "writes"}, {"restart", "floor", "read"}, {"restart", "floor", "list"},
		{"wide", "fairlead-route", "cpu"}, {"wide", "fairlead-route", "writes"},
		{"datapath", "fairlead-route", "rate"}, {"datapath", "fairlead-route", "rate-without-guard"}, {"datapath", "floor", "rate"},
	} {
		list := r.Of(want.row, want.subject, m.services, want.metric)
		if len(list) == 0 {
			t.Errorf("%s: %s has no %s", want.row, want.subject, want.metric)
		}
		if i := slices.IndexFunc(list, func(s result.Sample) bool { return s.More }); i >= 0 {
			t.Errorf("met its time limit: %s", list[i])
		}
	}
	if v, _, _ := r.Of("restart", "fairlead-route", m.services, "writes").Quantile(0.5); v != 0 {
		t.Errorf("a restart with nothing changed wrote %v times", v)
	}
}

// TestTheFloorWritesTheSame holds the floor to what it is compared with: after a cold start, Fairlead and the floor have
// left the same virtual servers, bound VIPs and set entries.
func TestTheFloorWritesTheSame(t *testing.T) {
	m, _ := smoke(t, part{services: 20})
	m.effort = m.plan.effort()
	var err error
	m.cluster, err = newCluster(m.services)
	check(t, err)
	for i, bind := range []string{"route", "address"} {
		f, err := m.openFloor(t.Context())
		check(t, err)
		check(t, f.cold(bind))
		want := kernelOf(t, f.site)
		check(t, f.close())

		s := &session{measurement: m, subject: subjects()[i]}
		s.site, err = newSite(t.Context(), m.cluster)
		check(t, err)
		check(t, s.measure(t.Context(), "cold"))
		if diff := cmp.Diff(want, kernelOf(t, s.site)); diff != "" {
			t.Errorf("%s: what the floor left (-) is not what Fairlead left (+):\n%s", bind, diff)
		}
		check(t, s.site.close())
	}
}

// kernelOf is what a proxy left in the near node's kernel. Fairlead has more sets than it needs for these Services; only
// entries are compared. One entry more is right: the API server's endpoint has no node, so it may be on this one,
// and may need masquerading.
func kernelOf(t *testing.T, s *site) string {
	t.Helper()
	dump, err := s.near.Dump(t.Context())
	check(t, err)
	lines := strings.SplitAfter(dump.IPVS+dump.Ipset+dump.Addrs+dump.Routes, "\n")
	return strings.Join(slices.DeleteFunc(lines, func(line string) bool {
		return !strings.HasPrefix(line, "-") && !strings.HasPrefix(line, "add ") && !strings.Contains(line, "kube-ipvs0") ||
			strings.HasPrefix(line, "add FAIRLEAD-HAIRPIN ")
	}), "")
}

// smoke prepares a quick measurement and fills the API server for it.
func smoke(t *testing.T, pt part) (*measurement, func(*testing.T) []result.Sample) {
	t.Helper()
	kerneltest.Want(t)
	lab.NeedIPVS(t)
	var buffer bytes.Buffer
	m := &measurement{plan: plan{quick: true}, part: pt, dir: t.TempDir()}
	m.record = &record{samples: &buffer, say: t.Logf}
	c, err := newCluster(pt.services)
	check(t, err)
	t.Cleanup(func() {
		if err := c.clear(context.Background()); err != nil {
			t.Error(err)
		}
	})
	check(t, c.seed(t.Context(), pt.wide, t.Logf))
	return m, func(t *testing.T) (list []result.Sample) {
		for line := range bytes.Lines(buffer.Bytes()) {
			var s result.Sample
			check(t, json.Unmarshal(line, &s))
			list = append(list, s)
		}
		return list
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
