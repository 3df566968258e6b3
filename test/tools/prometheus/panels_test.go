package main

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
)

// mayBeEmpty are panels of which some query has nothing to show in the recording, and why.
var mayBeEmpty = map[string]string{}

// TestEveryPanelShowsTheRecording evaluates all queries over what a real daemon exposed while everything that the metrics
// tell of happened.
func TestEveryPanelShowsTheRecording(t *testing.T) {
	b, k := mustRead(t)
	run, err := openRun()
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	for _, p := range b.Panels {
		for _, q := range p.Targets {
			shown, err := run.during(filled(q.Expr, rateInterval), run.from, run.to, time.Second)
			if err != nil {
				t.Errorf("%s: %v", p.Title, err)
				continue
			}
			_, excused := mayBeEmpty[p.Title]
			if n := points(shown); n == 0 && !excused && !k.asksPending(q.Expr) {
				t.Errorf("%s: nothing to show for %s", p.Title, q.Expr)
			}
			for _, s := range shown {
				if p.FieldConfig.Defaults.Unit != "short" && slices.ContainsFunc(s.Floats, func(f promql.FPoint) bool { return f.F < 0 }) {
					t.Errorf("%s: negative values of %s", p.Title, s.Metric)
				}
			}
		}
	}
}

// points counts the numbers of a result.
func points(m promql.Matrix) (n int) {
	for _, s := range m {
		for _, f := range s.Floats {
			if !math.IsNaN(f.F) && !math.IsInf(f.F, 0) {
				n++
			}
		}
	}
	return n
}

// TestTheRecordingHasEveryMetric: it is as new as the listing, which is held to the daemon.
func TestTheRecordingHasEveryMetric(t *testing.T) {
	_, k := mustRead(t)
	recorded, _, err := readRecording()
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{"up": true}
	for text := range recorded {
		series, err := promQL.ParseMetric(text)
		if err != nil {
			t.Fatal(err)
		}
		there[series.Get("__name__")] = true
	}
	for name := range k {
		if !there[name] {
			t.Errorf("%s has no %s: record again", recording, name)
		}
	}
}
