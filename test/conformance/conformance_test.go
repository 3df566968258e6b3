package main

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const log = `=== RUN   TestConformanceA
=== RUN   TestConformanceA/one_row
=== RUN   TestConformanceA/another
    x_test.go:1: no
=== RUN   TestConformanceB
=== RUN   TestConformanceC
=== RUN   TestConformanceC/hangs
--- FAIL: TestConformanceA (1.00s)
    --- PASS: TestConformanceA/one_row (0.50s)
    --- FAIL: TestConformanceA/another (0.50s)
--- SKIP: TestConformanceB (0.00s)
panic: test timed out after 1s
`

func TestParse(t *testing.T) {
	got, err := parse(strings.NewReader(log))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]outcome{
		"TestConformanceA/one_row": pass, "TestConformanceA/another": fail, "TestConformanceB": notRun, "TestConformanceC/hangs": failTime,
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestUpdateFillsTheTable(t *testing.T) {
	dir := t.TempDir()
	doc, data := filepath.Join(dir, "doc.md"), filepath.Join(dir, "results", "data.json")
	path := filepath.Join(dir, "conformance-fairlead.log")
	before := "| x | `TestConformanceA` | stays |\n" + beginMark + "\n| row | test | fairlead | iptables | nftables | ipvs |\n|---|---|---|---|---|---|\n" +
		"| all of A | `TestConformanceA` |\n" +
		"| one | `TestConformanceA/one row` | old | old | old | old |\n" +
		"| two tests | `TestConformanceB`, `TestConformanceC` | | | | |\n" +
		"| hangs | `TestConformanceC` |\n" +
		"| not measured | `TestOther` |\n" + endMark + "\n"
	for file, text := range map[string]string{doc: before, path: log} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second time from the JSON file alone
		if err := update(doc, data, []string{path}); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{
			"| x | `TestConformanceA` | stays |",
			"| all of A | `TestConformanceA` | **fail** 1 of 2 |  |  |  |",
			"| one | `TestConformanceA/one row` | pass |  |  |  |",
			"| two tests | `TestConformanceB`, `TestConformanceC` | **fail** 1 of 2 |  |  |  |",
			"| hangs | `TestConformanceC` | fail: time |  |  |  |",
			"| not measured | `TestOther` |  |  |  |  |",
		} {
			if !strings.Contains(string(got), line+"\n") {
				t.Errorf("no line %q in\n%s", line, got)
			}
		}
	}
}

func TestARenamedTestIsFound(t *testing.T) {
	doc := "| row | `TestConformanceGone` | | | | |\n"
	if got := unknown(doc, results{"fairlead": {"TestConformanceA": pass}}); len(got) != 1 {
		t.Errorf("%v", got)
	}
}
