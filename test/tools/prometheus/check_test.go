package main

import (
	"errors"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func mustRead(t *testing.T) (*board, known) {
	t.Helper()
	b, err := readBoard()
	if err != nil {
		t.Fatal(err)
	}
	k, err := readKnown()
	if err != nil {
		t.Fatal(err)
	}
	return b, k
}

// checked parses an expression and complains about what the daemon does not have.
func (k known) checked(t *testing.T, where, expr string) {
	t.Helper()
	parsed, err := promQL.ParseExpr(expr)
	if err != nil {
		t.Errorf("%s: %s: %v", where, expr, err)
		return
	}
	for _, complaint := range k.wrong(parsed) {
		t.Errorf("%s: %s", where, complaint)
	}
}

func TestTheDashboardAsksForWhatThereIs(t *testing.T) {
	b, k := mustRead(t)
	for _, p := range b.Panels {
		for _, q := range p.Targets {
			k.checked(t, p.Title, filled(q.Expr, "1m"))
			for _, label := range regexp.MustCompile(`{{(.*?)}}`).FindAllStringSubmatch(q.LegendFormat, -1) {
				if parsed, err := promQL.ParseExpr(filled(q.Expr, "1m")); err == nil {
					for _, complaint := range k.lacking(parsed, label[1:]) {
						t.Errorf("%s: the legend: %s", p.Title, complaint)
					}
				}
			}
		}
	}
	values := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)
	for _, v := range b.Templating.List {
		if v.Type != "query" {
			continue
		}
		parts := values.FindStringSubmatch(v.Definition)
		if parts == nil {
			t.Errorf("variable %s: %q is not label_values(...)", v.Name, v.Definition)
			continue
		}
		k.checked(t, "variable "+v.Name, "count by ("+parts[2]+") ("+filled(parts[1], "1m")+")")
	}
}

func TestTheAlertsAskForWhatThereIs(t *testing.T) {
	_, k := mustRead(t)
	groups, err := readRules()
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		for _, r := range g.Rules {
			k.checked(t, r.Alert, r.Expr)
		}
	}
}

// TestWrongQueriesAreFound shows that the checks above find what they are for.
func TestWrongQueriesAreFound(t *testing.T) {
	_, k := mustRead(t)
	for expr, want := range map[string]string{
		`fairlead_service`: "there is no metric fairlead_service",
		`rate(fairlead_syncs_total{results="error"}[5m])`:               "fairlead_syncs_total has no label results",
		`sum by (lane) (fairlead_pending)`:                              "nothing below has a label lane",
		`fairlead_pending / on (instance, lane) fairlead_services`:      "nothing below has a label lane",
		`count by (job, instance, package) (fairlead_pending{job="a"})`: "",
	} {
		parsed, err := promQL.ParseExpr(expr)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(k.wrong(parsed), "\n")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: complaints %q, want %q", expr, got, want)
		}
	}
}

// units are those of Grafana that a panel may have: its names, not ours, so a mistake would show as text behind the number.
var units = []string{"short", "s", "bytes", "ops", "reqps", "wps", "pps", "cps", "Bps"}

// TestTheDashboardIsComplete: every panel says what it shows and in which unit, none lies on another, and all ask the data
// source that is chosen above.
func TestTheDashboardIsComplete(t *testing.T) {
	b, _ := mustRead(t)
	var rows []string
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range b.Panels {
		if ids[p.ID] {
			t.Errorf("%s: another panel has id %d", p.Title, p.ID)
		}
		ids[p.ID] = true
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other, taken := cells[at]; taken || at[0] >= 24 {
					t.Errorf("%s lies on %q or over the edge at %v", p.Title, other, at)
				}
				cells[at] = p.Title
			}
		}
		if p.Type == "row" {
			rows = append(rows, p.Title)
			continue
		}
		if p.Description == "" || !slices.Contains(units, p.FieldConfig.Defaults.Unit) || len(p.Targets) == 0 || len(p.FieldConfig.Defaults.Thresholds.Steps) == 0 {
			t.Errorf("%s lacks a description, a unit, a query or thresholds", p.Title)
		}
		for _, q := range p.Targets {
			if q.Datasource.UID != "${datasource}" || !strings.Contains(q.Expr, `job=~"$job",instance=~"$instance"`) || q.Instant == q.Range {
				t.Errorf("%s: %s: want the chosen data source, jobs and nodes, and either instant or range", p.Title, q.Expr)
			}
		}
	}
	if want := []string{"Health", "Programming", "Kernel and drift", "Traffic per Service", "Resources"}; !slices.Equal(rows, want) {
		t.Errorf("rows %q, want %q", rows, want)
	}
	if b.SchemaVersion < 41 || b.UID != "fairlead" {
		t.Errorf("schema version %d, uid %q", b.SchemaVersion, b.UID)
	}
}

// TestTheAlertsSayWhatToDo: how bad it is, what it means, the first command, and where to read on.
func TestTheAlertsSayWhatToDo(t *testing.T) {
	groups, err := readRules()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(root + "docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	capitals := regexp.MustCompile(`([a-z])([A-Z])`)
	commands := regexp.MustCompile("`(fairlead|kubectl get) ")
	n := 0
	for _, g := range groups {
		for _, r := range g.Rules {
			n++
			severity, about := r.Labels["severity"], r.Annotations
			if !slices.Contains([]string{"critical", "warning", "info"}, severity) || about["summary"] == "" || !commands.MatchString(about["description"]) {
				t.Errorf("%s lacks a severity, a summary or a command", r.Alert)
			}
			anchor := strings.ToLower(capitals.ReplaceAllString(r.Alert, "$1-$2"))
			if want := "https://github.com/fairlead-lb/fairlead/blob/main/docs/troubleshooting.md#" + anchor; about["runbook_url"] != want {
				t.Errorf("%s: runbook %s, want %s", r.Alert, about["runbook_url"], want)
			}
			if row := "| `" + r.Alert + "` | " + severity + " | " + hold(r.For.String()) + " | "; !strings.Contains(string(page), row) {
				t.Errorf("docs/monitoring.md has no row %q", row)
			}
		}
	}
	if rows := strings.Count(string(page), "\n| `Fairlead"); rows != n {
		t.Errorf("docs/monitoring.md has %d alerts, rules.yaml %d", rows, n)
	}
}

// TestTheRunbooksAreThere: docs/troubleshooting.md has a heading for each alert.
func TestTheRunbooksAreThere(t *testing.T) {
	page, err := os.ReadFile(root + "docs/troubleshooting.md")
	if errors.Is(err, fs.ErrNotExist) {
		t.Log("docs/troubleshooting.md is not written yet")
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	anchors := map[string]bool{}
	other := regexp.MustCompile(`[^a-z0-9 _-]`)
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(string(page), -1) {
		anchors[strings.ReplaceAll(other.ReplaceAllString(strings.ToLower(heading[1]), ""), " ", "-")] = true // as GitHub does
	}
	groups, err := readRules()
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		for _, r := range g.Rules {
			if _, anchor, _ := strings.Cut(r.Annotations["runbook_url"], "#"); !anchors[anchor] {
				t.Errorf("docs/troubleshooting.md has no heading for #%s", anchor)
			}
		}
	}
}

// hold is how the page says for how long something has to be so.
func hold(text string) string {
	if d, err := time.ParseDuration(text); err == nil && d == 0 {
		return "at once"
	}
	return text
}
