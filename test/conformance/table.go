package main

import (
	"fmt"
	"regexp"
	"strings"
)

const beginMark, endMark = "<!-- results: begin -->", "<!-- results: end -->"

// proxies are the columns, in their order.
var proxies = []string{"fairlead", "kube-proxy-iptables", "kube-proxy-nftables", "kube-proxy-ipvs"}

// results are the outcomes by proxy and test.
type results map[string]map[string]outcome

var quoted = regexp.MustCompile("`([^`]+)`")

// fill writes the columns of every table row between the markers.
func fill(doc string, r results) string {
	var out strings.Builder
	inside := false
	for line := range strings.Lines(doc) {
		text := strings.TrimRight(line, "\n")
		switch {
		case text == beginMark:
			inside = true
		case text == endMark:
			inside = false
		case inside && strings.HasPrefix(text, "| "):
			if cells := strings.Split(strings.Trim(text, "|"), "|"); len(cells) >= 2 && quoted.MatchString(cells[1]) {
				line = r.row(cells[0], cells[1]) + "\n"
			}
		}
		out.WriteString(line)
	}
	return out.String()
}

// row is one line of a table.
func (r results) row(contract, tests string) string {
	cells := []string{strings.TrimSpace(contract), strings.TrimSpace(tests)}
	for _, proxy := range proxies {
		cells = append(cells, r.cell(proxy, tests))
	}
	return "| " + strings.Join(cells, " | ") + " |"
}

// cell sums up the named tests of one proxy. What was not measured is left empty.
func (r results) cell(proxy, tests string) string {
	counts := make(map[outcome]int)
	sum := 0
	for _, name := range quoted.FindAllStringSubmatch(tests, -1) {
		for test, result := range r[proxy] {
			if covers(name[1], test) {
				counts[result]++
				sum++
			}
		}
	}
	failed := counts[fail] + counts[failTime]
	switch {
	case sum == 0:
		return ""
	case counts[notRun] == sum:
		return "not promised"
	case failed == 0:
		return "pass"
	case counts[failTime] == failed && failed == sum:
		return string(failTime)
	case failed == sum:
		return "**fail**"
	default:
		return fmt.Sprintf("**fail** %d of %d", failed, sum)
	}
}

// covers tells whether a name in the document means a test: itself, or all below it. Spaces read better than the
// underscores that go test makes of them.
func covers(name, test string) bool {
	name = strings.ReplaceAll(name, " ", "_")
	rest, ok := strings.CutPrefix(test, name)
	return ok && (rest == "" || rest[0] == '/')
}

// unknown lists the names in the document that no result of any proxy belongs to: a test was renamed.
func unknown(doc string, r results) []string {
	var list []string
	for line := range strings.Lines(doc) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 2+len(proxies) {
			continue
		}
		for _, name := range quoted.FindAllStringSubmatch(cells[1], -1) {
			if strings.HasPrefix(name[1], "TestConformance") && !r.has(name[1]) {
				list = append(list, name[1])
			}
		}
	}
	return list
}

func (r results) has(name string) bool {
	for _, tests := range r {
		for test := range tests {
			if covers(name, test) {
				return true
			}
		}
	}
	return false
}
