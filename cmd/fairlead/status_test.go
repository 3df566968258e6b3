package main

import (
	"strings"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/view"
)

// TestStatusTellsOfDrainsAndSilence looks at lines that only show when something goes on.
func TestStatusTellsOfDrainsAndSilence(t *testing.T) {
	at := time.Date(2026, 11, 25, 3, 21, 29, 0, time.Local)
	screen := func(s view.Status) string {
		var out strings.Builder
		if err := writeStatus(&out, s); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	quiet := view.Status{VirtualServers: view.Count{Total: 3, Pending: 1}, Source: "the API server", Phase: view.PhaseRunning}
	draining := quiet
	draining.Draining, draining.DrainedBy = 2, &at
	endless := draining
	endless.DrainedBy = nil
	silent := quiet
	silent.Contacts = []view.Contact{{Kind: "Service", Connected: true, Answered: &at}, {Kind: "Node", Since: &at, Error: "i/o timeout"}}
	for _, c := range []struct {
		name        string
		status      view.Status
		words, none string
	}{
		{"nothing drains", quiet, "3 (1 not yet as desired), with", "DOES NOT TELL"},
		{"drains", draining, "2 real servers removed, with open connections, gone by 03:21:29 at the latest: fairlead get endpoints --state draining", "DOES NOT TELL"},
		{"drains are pending", draining, "3 (1 not yet as desired, those that drain included), with", "1 not yet as desired)"},
		{"drains without a deadline", endless, "with open connections, until the last connection ends: fairlead get", "gone by"},
		{"silence", silent, "running; Services come from the API server, WHICH DOES NOT TELL OF CHANGES (see Note)", "gone by"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := screen(c.status); !strings.Contains(got, c.words) || strings.Contains(got, c.none) {
				t.Errorf("no %q, or %q, in\n%s", c.words, c.none, got)
			}
		})
	}
}
