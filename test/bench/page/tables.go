package page

import (
	"fmt"
	"slices"

	"github.com/fairlead-lb/fairlead/test/bench/result"
)

// sections are what the markers stand for, besides setup.
var sections = map[string]func(result.Result) string{
	"targets":     targets,
	"cold":        table("cold", cell{"last", 0.5}),
	"quiet":       table("cold", cell{"quiet", 0.5}),
	"first":       first,
	"programming": programming,
	"change":      table("change", cell{"latency", 0.5}, cell{"latency", 0.99}),
	"change-cpu":  table("change", cell{"cpu", 0.5}),
	"burst":       table("burst", cell{"last", 0.5}),
	"burst-floor": burstFloor,
	"restart":     table("restart", cell{"change-served", 0.5}),
	"unchanged":   columns("restart", ours, "writes", "messages", "healthy", "informers-synced"),
	"memory":      table("idle", cell{"rss", 0.5}, cell{"peak-rss", 0.5}),
	"idle":        table("idle", cell{"cpu", 0.5}),
	"wide":        columns("wide", ours, "writes", "cpu", "rss"),
	"datapath":    table("datapath", cell{"rate-relative", 0.5}, cell{"rate", 0.5}),
	"duel":        table("datapath", cell{"fairlead-time", 0.1}, cell{"fairlead-time", 0.5}, cell{"fairlead-time", 0.9}),
	"guard":       columns("datapath", ours, "rate-relative", "rate-without-guard-relative", "rate", "rate-without-guard"),
	"estimation":  columns("estimation", floor, "p50-on", "p50-off", "p999-on", "p999-off", "max-on", "max-off"),
	"native":      native,
}

// cell is one quantile of one metric.
type cell struct {
	metric string
	q      float64
}

// table has a line for each number of Services and a column for each subject. Several cells are separated by slashes.
func table(row string, cells ...cell) func(result.Result) string {
	return func(r result.Result) string {
		subjects := known(r, row, cells[0].metric)
		rows := [][]string{append([]string{"Services"}, subjects...)}
		for _, n := range r.Sizes(row, cells[0].metric) {
			line := []string{thousands(n)}
			for _, subject := range subjects {
				text := ""
				for i, c := range cells {
					if i > 0 {
						text += " / "
					}
					text += quantile(r, row, subject, n, c.metric, c.q).String()
				}
				line = append(line, text)
			}
			rows = append(rows, line)
		}
		return grid(rows)
	}
}

// columns has a line for each number of Services and a column for each metric of one subject.
func columns(row, subject string, metrics ...string) func(result.Result) string {
	return func(r result.Result) string {
		head := []string{"Services"}
		for _, m := range metrics {
			head = append(head, fmt.Sprintf("%s (%s)", m, unitOf(r, row, m)))
		}
		rows := [][]string{head}
		for _, n := range r.Sizes(row, metrics[0]) {
			line := []string{thousands(n)}
			for _, m := range metrics {
				line = append(line, median(r, row, subject, n, m).String())
			}
			rows = append(rows, line)
		}
		return grid(rows)
	}
}

func unitOf(r result.Result, row, metric string) string {
	i := slices.IndexFunc(r.Samples, func(s result.Sample) bool { return s.Row == row && s.Metric == metric })
	if i < 0 {
		return "-"
	}
	return r.Samples[i].Unit
}

// first is when the API server's VIP and the DNS were served, and for Fairlead how long after its informers had synced.
func first(r result.Result) string {
	subjects := known(r, "cold", "apiserver")
	rows := [][]string{append([]string{"Services"}, subjects...)}
	rows[0] = append(rows[0], ours+", after its informers' sync")
	for _, n := range r.Sizes("cold", "apiserver") {
		line := []string{thousands(n)}
		for _, s := range subjects {
			line = append(line, median(r, "cold", s, n, "apiserver").String()+" / "+median(r, "cold", s, n, "dns").String())
		}
		line = append(line, median(r, "cold", ours, n, "apiserver-after-sync").String()+" / "+median(r, "cold", ours, n, "dns-after-sync").String())
		rows = append(rows, line)
	}
	return grid(rows)
}

// programming compares how long the kernel is written to with the floor.
func programming(r result.Result) string {
	rows := [][]string{{"Services", "virtual servers", "set entries", "routes", "addresses",
		"floor, route", ours, "ratio", "floor, address", "fairlead-address", "ratio"}}
	for _, n := range r.Sizes("cold", "programming-route") {
		line := []string{thousands(n)}
		for _, part := range []string{"servers", "sets", "route", "address"} {
			line = append(line, median(r, "cold", floor, n, part).String())
		}
		for _, bind := range []string{"route", "address"} {
			least := median(r, "cold", floor, n, "programming-"+bind)
			took := median(r, "cold", "fairlead-"+bind, n, "programming")
			line = append(line, least.String(), took.String(), ratio(took, least).String())
		}
		rows = append(rows, line)
	}
	return grid(rows)
}

// ratio is a / b, where both are known; "more than" as far as a is.
func ratio(a, b value) value {
	if !a.ok || !b.ok || b.v == 0 || b.more {
		return value{}
	}
	return value{a.v / b.v, a.more, true}
}

// burstFloor is what a burst needs at least, and how Fairlead went about it.
func burstFloor(r result.Result) string {
	rows := [][]string{{"Services", "changes", "floor: messages (s)", "floor: the watch (s)", "rounds, at most", "largest round (messages)", "its time (s)", "all visible (s)"}}
	for _, n := range r.Sizes("burst", "rounds") {
		rows = append(rows, []string{
			thousands(n), median(r, "burst", ours, n, "changes").String(),
			median(r, "burst", floor, n, "programming").String(), median(r, "burst", floor, n, "watch").String(),
			quantile(r, "burst", ours, n, "rounds", 1).String(), median(r, "burst", ours, n, "largest-round").String(),
			median(r, "burst", ours, n, "programming").String(), median(r, "burst", ours, n, "last").String(),
		})
	}
	return grid(rows)
}

// native are the micro-benchmarks.
func native(r result.Result) string {
	rows := [][]string{{"benchmark", "Services", "time", "memory allocated (KiB)", "allocations"}}
	for _, name := range r.Subjects("native", "ns/op") {
		for _, n := range r.Sizes("native", "ns/op") {
			took := median(r, "native", name, n, "ns/op")
			bytes := median(r, "native", name, n, "B/op")
			bytes.v /= 1024
			rows = append(rows, []string{name, thousands(n), duration(took), bytes.String(), median(r, "native", name, n, "allocs/op").String()})
		}
	}
	return grid(rows)
}

// duration writes nanoseconds in a unit that fits.
func duration(v value) string {
	switch {
	case !v.ok:
		return "-"
	case v.v < 1e6:
		return number(v.v/1e3) + " µs"
	case v.v < 1e9:
		return number(v.v/1e6) + " ms"
	}
	return number(v.v/1e9) + " s"
}
