package main

import (
	"slices"
	"testing"
)

func TestParseBenchmark(t *testing.T) {
	got := parseBenchmark("BenchmarkSyncOne/10000-2  \t   50000\t     15064 ns/op\t    4111 B/op\t      32 allocs/op\n")
	if len(got) != 3 || got[0].Subject != "SyncOne" || got[0].Services != 10_000 || got[0].Value != 15064 || got[2].Unit != "allocs/op" {
		t.Errorf("%+v", got)
	}
	if got := parseBenchmark("PASS"); got != nil {
		t.Errorf("%+v", got)
	}
}

func TestPlan(t *testing.T) {
	p := plan{sizes: []int{100, 50_000}}
	if got := p.parts(); !slices.Equal(got, []part{{100, 0}, {50_000, 0}, {wideServices, wideEndpoints}}) {
		t.Errorf("parts %v", got)
	}
	for _, c := range []struct {
		part
		subject, row string
		want         bool
	}{
		{part{100, 0}, "kube-proxy-ipvs", "change", true},
		{part{50_000, 0}, "kube-proxy-ipvs", "change", false},
		{part{100, 0}, "fairlead-address", "cold", true},
		{part{100, 0}, "fairlead-address", "change", false},
		{part{100, 0}, "fairlead-route", "wide", false},
		{part{100, 10_000}, "fairlead-route", "wide", true},
		{part{100, 10_000}, "fairlead-route", "cold", false},
	} {
		if got := c.has(p, c.subject, c.row); got != c.want {
			t.Errorf("%v, %s, %s: %v", c.part, c.subject, c.row, got)
		}
	}
	peers := part{services: 100}.order(p, "kube-proxy-ipvs")
	if peers[len(peers)-1] != "restart" {
		t.Errorf("a peer's rows are %v", peers)
	}
	if err := (plan{rows: []string{"cold", "nonsense"}}).check(); err == nil {
		t.Error("an unknown row is no error")
	}
}
