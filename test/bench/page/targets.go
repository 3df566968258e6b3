package page

import (
	"fmt"
	"strings"

	"github.com/fairlead-lb/fairlead/test/bench/result"
)

// verdict is what a measurement says about a target.
type verdict struct {
	measured []string
	missed   bool
	unknown  bool // something that it takes was not measured
}

// within notes a value and whether it is at most the limit. A value that is only known to be more than something
// cannot be within.
func (v *verdict) within(what string, have value, limit float64) {
	if !have.ok {
		v.unknown = true
		return
	}
	v.measured = append(v.measured, strings.TrimSpace(what+" "+have.String()))
	v.missed = v.missed || have.v > limit || have.more
}

// below notes whether a is below b, by a factor. What is "more than" a number is not below anything, but anything that
// is below the number is below what is more.
func (v *verdict) below(what string, a, b value, factor float64) {
	if !a.ok || !b.ok {
		v.unknown = true
		return
	}
	if b.v <= 0 {
		v.unknown = true
		v.measured = append(v.measured, what+": nothing to compare with, for it was never idle")
		return
	}
	text := number(b.v / max(a.v, 0.001)) // a latency of nothing is a thousandth of its unit
	if b.more {
		text = "more than " + text
	}
	v.measured = append(v.measured, fmt.Sprintf("%s 1/%s", what, text))
	v.missed = v.missed || a.more || a.v*factor > b.v
}

// belowAtAll is below at every number of Services where the peer was measured; it notes where they are closest.
func (v *verdict) belowAtAll(r result.Result, what, row, metric string, q float64, peer string) {
	closest, at := value{}, 0
	for _, n := range r.Sizes(row, metric) {
		mine, theirs := quantile(r, row, ours, n, metric, q), quantile(r, row, peer, n, metric, q)
		if !theirs.ok {
			continue
		}
		var one verdict
		one.below("", mine, theirs, 1)
		v.missed, v.unknown = v.missed || one.missed, v.unknown || one.unknown
		if factor := ratio(theirs, mine); factor.ok && (!closest.ok || factor.v < closest.v) {
			closest, at = factor, n
		}
	}
	if !closest.ok {
		v.unknown = true
		return
	}
	text := number(closest.v)
	if closest.more {
		text = "more than " + text
	}
	v.measured = append(v.measured, fmt.Sprintf("%s 1/%s at %s", what, text, thousands(at)))
}

// limit notes what a limit was that is measured itself; where it was not, nothing is known.
func (v *verdict) limit(limit float64, parts ...value) {
	for _, p := range parts {
		v.unknown = v.unknown || !p.ok
	}
	if !v.unknown {
		v.measured = append(v.measured, "limit, s: "+number(limit))
	}
}

// target is one line of the table of targets. The lines, and the words, are those of the plan (issue 4).
type target struct {
	what, want string
	judge      func(result.Result, *verdict)
}

var allTargets = []target{
	{"cold start at 10,000 Services: kernel programming, `bind: route`", "at most 1.25 x floor", func(r result.Result, v *verdict) {
		v.within("ratio", ratio(median(r, "cold", ours, 10_000, "programming"), median(r, "cold", floor, 10_000, "programming-route")), 1.25)
	}},
	{"cold start, process start to the last Service served", "at most 1/20 of kube-proxy ipvs, below the others, at 1,000, 5,000 and 10,000 Services", func(r result.Result, v *verdict) {
		for _, n := range []int{1_000, 5_000, 10_000} {
			for _, peer := range peers {
				factor := 1.0
				if peer == ipvsPeer {
					factor = 20
				}
				v.below(thousands(n)+" "+short(peer), median(r, "cold", ours, n, "last"), median(r, "cold", peer, n, "last"), factor)
			}
		}
	}},
	{"the API server's own VIP and DNS served, cold start at 10,000", "within 1 s of the informers' sync", func(r result.Result, v *verdict) {
		v.within("API server, s:", median(r, "cold", ours, 10_000, "apiserver-after-sync"), 1)
		v.within("DNS, s:", median(r, "cold", ours, 10_000, "dns-after-sync"), 1)
	}},
	{"one endpoint changes: API response to first packet at the new endpoint", "at 50,000 at most 1.2 x that at 100; below every peer at every size", func(r result.Result, v *verdict) {
		for _, q := range []float64{0.5, 0.99} {
			name := fmt.Sprintf("p%g", 100*q)
			v.within(name+" ratio", ratio(quantile(r, "change", ours, 50_000, "latency", q), quantile(r, "change", ours, 100, "latency", q)), 1.2)
			for _, peer := range peers {
				v.belowAtAll(r, name+" "+short(peer), "change", "latency", q, peer)
			}
		}
	}},
	{"CPU per changed endpoint", "flat in the number of Services; at most 1/20 of kube-proxy ipvs at 5,000", func(r result.Result, v *verdict) {
		v.within("50,000 to 100, ratio", ratio(median(r, "change", ours, 50_000, "cpu"), median(r, "change", ours, 100, "cpu")), 1.2)
		v.below("5,000 ipvs", median(r, "change", ours, 5_000, "cpu"), median(r, "change", ipvsPeer, 5_000, "cpu"), 20)
	}},
	{"burst: 1,000 endpoint changes at once", "one batch; within 2 x the floor and the watch's own time", func(r result.Result, v *verdict) {
		n := 10_000
		least, watch := median(r, "burst", floor, n, "programming"), median(r, "burst", floor, n, "watch")
		v.within("rounds, at most:", quantile(r, "burst", ours, n, "rounds", 1), 1)
		last := median(r, "burst", ours, n, "last")
		v.within("visible, s:", last, 2*least.v+watch.v)
		v.limit(2*least.v+watch.v, least, watch)
	}},
	{"restart at 10,000 Services, nothing changed", "no kernel write; changes served within the informers' sync and one dump", func(r result.Result, v *verdict) {
		v.within("writes:", median(r, "restart", ours, 10_000, "writes"), 0)
		synced, read := median(r, "restart", ours, 10_000, "informers-synced"), median(r, "restart", floor, 10_000, "read")
		v.within("served, s:", median(r, "restart", ours, 10_000, "change-served"), synced.v+read.v)
		v.limit(synced.v+read.v, synced, read)
	}},
	{"resident memory", "at most 60 MiB + 4 KiB per Service; below every peer at 5,000 and 10,000", func(r result.Result, v *verdict) {
		for _, n := range r.Sizes("idle", "rss") {
			v.within(thousands(n)+", MiB:", median(r, "idle", ours, n, "rss"), 60+float64(n)*4/1024)
		}
		for _, n := range []int{5_000, 10_000} {
			for _, peer := range peers {
				v.below(thousands(n)+" "+short(peer), median(r, "idle", ours, n, "rss"), median(r, "idle", peer, n, "rss"), 1)
			}
		}
	}},
	{"idle CPU at 10,000 Services, audit included", "at most 0.5 % of a core of native time", func(r result.Result, v *verdict) {
		v.within("native, estimated, %:", natively(r, median(r, "idle", ours, 10_000, "cpu")), 0.5)
	}},
	{"one Service with 10,000 endpoints: one of them changes", "one kernel message; under 5 ms of daemon CPU natively", func(r result.Result, v *verdict) {
		v.within("writes:", median(r, "wide", ours, 100, "writes"), 1)
		v.within("native, estimated, ms:", natively(r, median(r, "wide", ours, 100, "cpu")), 5)
	}},
	{"data path: connection set-up through a VIP at 10,000 Services", "within 5 % of kube-proxy ipvs, below iptables; the guard and mark rules cost at most 5 %", func(r result.Result, v *verdict) {
		// Each at 10,000 Services, or else at the largest number where it was measured.
		compared := func(text string, limit float64, subjects []string, time func(n int) value) {
			n := at10000(r, "datapath", "rate", subjects...)
			v.within(text+" at "+thousands(n), time(n), limit)
		}
		duel := func(peer string) func(n int) value {
			return func(n int) value { return median(r, "datapath", peer, n, "fairlead-time") }
		}
		compared("time, to ipvs", 1.05, []string{ipvsPeer}, duel(ipvsPeer))
		compared("to iptables", 1, []string{"kube-proxy-iptables"}, duel("kube-proxy-iptables"))
		compared("to itself without the rules", 1.05, []string{ours}, func(n int) value { // the inverse of rates
			return ratio(median(r, "datapath", ours, n, "rate-without-guard-relative"), median(r, "datapath", ours, n, "rate-relative"))
		})
	}},
}

// at10000 is 10,000 if all of these were measured there, or else the largest number of Services where they were; 0 if
// there is none.
func at10000(r result.Result, row, metric string, subjects ...string) (n int) {
	for _, size := range r.Sizes(row, metric) {
		all := true
		for _, s := range subjects {
			all = all && median(r, row, s, size, metric).ok
		}
		switch {
		case all && size == 10_000:
			return size
		case all:
			n = max(n, size)
		}
	}
	return n
}

// natively estimates what processor time in the VM would be on the host.
func natively(r result.Result, v value) value {
	slow, ok := slowness(r)
	return ratio(v, value{slow, false, ok})
}

func short(peer string) string { return strings.TrimPrefix(peer, "kube-proxy-") }

// targets is the table of targets with what was measured.
func targets(r result.Result) string {
	rows := [][]string{{"what", "target", "measured", ""}}
	for _, t := range allTargets {
		var v verdict
		t.judge(r, &v)
		word := "met"
		switch {
		case v.missed:
			word = "**missed**"
		case v.unknown && len(v.measured) > 0:
			word = "met, as far as measured"
		case v.unknown:
			word = "not measured"
		}
		rows = append(rows, []string{t.what, t.want, strings.Join(v.measured, "; "), word})
	}
	return grid(rows)
}
