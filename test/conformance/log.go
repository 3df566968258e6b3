package main

import (
	"bufio"
	"io"
	"maps"
	"regexp"
)

// outcome is how a test went for one proxy.
type outcome string

const (
	pass     outcome = "pass"
	fail     outcome = "fail"
	failTime outcome = "fail: time" // it was under way when the time limit struck
	notRun   outcome = "not run"    // skipped: nothing that this proxy promises
)

var (
	verdict = regexp.MustCompile(`^ *--- (PASS|FAIL|SKIP): (\S+)`)
	running = regexp.MustCompile(`^=== (?:RUN|NAME|CONT) +(\S+)`)
)

// parse reads the output of one proxy's run. Tests without a verdict did not end: the time limit is the only reason.
// Tests with parts are left out: their parts say it.
func parse(log io.Reader) (map[string]outcome, error) {
	results := make(map[string]outcome)
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if m := running.FindStringSubmatch(lines.Text()); m != nil {
			if _, ok := results[m[1]]; !ok {
				results[m[1]] = failTime
			}
		}
		if m := verdict.FindStringSubmatch(lines.Text()); m != nil {
			results[m[2]] = map[string]outcome{"PASS": pass, "FAIL": fail, "SKIP": notRun}[m[1]]
		}
	}
	return leaves(results), lines.Err()
}

// leaves leaves out the tests that have parts.
func leaves(results map[string]outcome) map[string]outcome {
	parents := make(map[string]bool)
	for name := range results {
		for i, c := range name {
			if c == '/' {
				parents[name[:i]] = true
			}
		}
	}
	maps.DeleteFunc(results, func(name string, _ outcome) bool { return parents[name] })
	return results
}
