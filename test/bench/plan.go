package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/test/bench/dataset"
)

// Names of rows, in the order in which they are measured. Restart comes before anything has changed, so that nothing
// drains. The last one ends Fairlead.
var rowNames = []string{"cold", "idle", "restart", "change", "burst", "wide", "datapath", "estimation"}

const (
	floorName = "floor"
	ipvsPeer  = "kube-proxy-ipvs"

	peersUpTo     = 10_000 // Services; beyond, the peers do not come up in a bearable time
	changesUpTo   = 5_000  // beyond, a change takes them longer than anybody waits
	addressesUpTo = 10_000 // binding addresses is quadratic
	wideServices  = 100    // beside the wide one
	wideEndpoints = 10_000 // of the wide one

	quickServices, quickEndpoints = 50, 200 // of a quick run
)

// plan says what is measured: sizes, subjects and rows, and how long and how often.
type plan struct {
	sizes    []int
	subjects []string // empty: all
	rows     []string // empty: all
	quick    bool
}

// part is what is measured in one boot of the VM: everything at one size.
type part struct {
	services int
	wide     int // endpoints of the wide Service; 0: there is none
}

// parts lists the parts, smallest first: what takes long comes last.
func (p plan) parts() (list []part) {
	if p.quick {
		return []part{{quickServices, quickEndpoints}}
	}
	for _, n := range p.sizes {
		list = append(list, part{services: n})
	}
	if p.wants("wide") && p.wantsSubject("fairlead-route") {
		list = append(list, part{wideServices, wideEndpoints})
	}
	return list
}

func (p plan) wants(row string) bool { return len(p.rows) == 0 || slices.Contains(p.rows, row) }

// wantsSubject takes the beginning of a name, too: "fairlead" is both of its ways to bind.
func (p plan) wantsSubject(name string) bool {
	return len(p.subjects) == 0 || slices.ContainsFunc(p.subjects, func(s string) bool {
		return strings.HasPrefix(name, s)
	})
}

// has tells whether the row is measured for the subject at that size.
func (pt part) has(p plan, subject, row string) bool {
	switch {
	case !p.wants(row) || !p.wantsSubject(subject):
		return false
	case row == "wide":
		return pt.wide > 0 && subject == "fairlead-route"
	case row == "estimation": // the floor's alone
		return false
	case pt.wide > 0 && !p.quick: // the wide Service has a cluster to itself
		return false
	case subject == "fairlead-address": // as fairlead-route but for the binding
		return pt.services <= addressesUpTo && row == "cold"
	case isPeer(subject):
		slow := row == "change" || row == "burst" || row == "restart"
		return pt.services <= peersUpTo && !p.quick && (!slow || pt.services <= changesUpTo)
	}
	return true
}

// order returns the rows of a subject at that size. The peers' restart comes last: for as long as they are not back, what
// else is measured says nothing.
func (pt part) order(p plan, subject string) (list []string) {
	for _, row := range rowNames {
		if pt.has(p, subject, row) {
			list = append(list, row)
		}
	}
	if i := slices.Index(list, "restart"); i >= 0 && isPeer(subject) {
		list = append(slices.Delete(list, i, i+1), "restart")
	}
	return list
}

func isPeer(subject string) bool { return strings.HasPrefix(subject, "kube-proxy") }

// peers tells whether any peer is measured.
func (p plan) peers() bool {
	return !p.quick && slices.ContainsFunc([]string{"ipvs", "nftables", "iptables"},
		func(mode string) bool { return p.wantsSubject("kube-proxy-" + mode) })
}

// effort is how often and how long things are done.
type effort struct {
	warm     bool          // load tools and modules first
	floor    int           // runs of the floor
	samples  int           // VIPs that stand for all at a cold start; a quarter as many endpoints for all of a burst
	quiet    time.Duration // window, see process.quiet
	idle     time.Duration
	changes  int                      // at most
	changing time.Duration            // none begins later than that
	gap      time.Duration            // between two changes
	burst    int                      // changes at once
	times    int                      // as many changes and bursts are made with Fairlead, which is done with one soon, and bursts with the floor
	wide     int                      // endpoints of the wide Service that go and come back
	windows  int                      // of the data path
	slices   int                      // of a window
	slice    time.Duration            // twice: the reference, then the subject
	warmUp   time.Duration            // before a window, when rules have been changed
	limits   map[string]time.Duration // of a row, for each subject
}

// effort returns the effort of a full run, or of a quick one that only shows that all works.
func (p plan) effort() effort {
	if p.quick {
		e := effort{
			floor: 1, samples: 8, quiet: 200 * time.Millisecond, idle: 2 * time.Second,
			changes: 5, changing: 30 * time.Second, gap: 20 * time.Millisecond, burst: 20, times: 2, wide: 2,
			windows: 1, slices: 2, slice: 200 * time.Millisecond, warmUp: 200 * time.Millisecond, limits: make(map[string]time.Duration),
		}
		for _, row := range rowNames {
			e.limits[row] = time.Minute
		}
		return e
	}
	return effort{
		warm: true, floor: 3, samples: 64, quiet: time.Second, idle: 35 * time.Second,
		changes: 400, changing: 40 * time.Second, gap: 100 * time.Millisecond, burst: 1000, times: 3, wide: 20,
		windows: 5, slices: 16, slice: 125 * time.Millisecond, warmUp: 2 * time.Second,
		limits: map[string]time.Duration{
			"cold": 6 * time.Minute, "idle": 3 * time.Minute, "restart": 4 * time.Minute, "change": 90 * time.Second,
			"burst": time.Minute, "wide": 3 * time.Minute, "datapath": 6 * time.Minute, "estimation": 3 * time.Minute,
		},
	}
}

// check refuses what nothing is known about.
func (p plan) check() error {
	for _, row := range p.rows {
		if !slices.Contains(rowNames, row) {
			return fmt.Errorf("no row %q; there are %s", row, strings.Join(rowNames, ", "))
		}
	}
	names := []string{floorName, "fairlead-route", "fairlead-address", ipvsPeer, "kube-proxy-nftables", "kube-proxy-iptables"}
	for _, s := range p.subjects {
		if !slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, s) }) {
			return fmt.Errorf("no subject %q; there are %s", s, strings.Join(names, ", "))
		}
	}
	for _, n := range p.sizes {
		if n < 1 || n > dataset.MaxServices {
			return fmt.Errorf("%d Services: from 1 to %d fit into the service range", n, dataset.MaxServices)
		}
	}
	return nil
}

// spread picks at most k of n numbers, evenly spread, with the first and the last.
func spread(n, k int) (list []int) {
	k = min(n, k)
	for i := range k {
		list = append(list, i*(n-1)/max(k-1, 1))
	}
	return list
}
