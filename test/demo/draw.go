package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// barWidth is the length of the longest bar.
const barWidth = 30

// bar is one line of a bar chart.
type bar struct {
	label string
	value int
}

// bars draws a chart. The longest bar fills the width; a value that is not zero is never invisible.
func bars(all []bar) string {
	most, widest := 0, 0
	for _, b := range all {
		most, widest = max(most, b.value), max(widest, len(b.label))
	}
	var out strings.Builder
	for _, b := range all {
		length := 0
		if b.value > 0 {
			length = max(1, b.value*barWidth/most)
		}
		fmt.Fprintf(&out, "%-*s  %-*s  %d\n", widest, b.label, barWidth, strings.Repeat("#", length), b.value)
	}
	return strings.TrimRight(out.String(), "\n")
}

// grid aligns the columns of rows, of which the first is the head. Rows may be short.
func grid(rows [][]string) string {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], len(cell))
		}
	}
	var out []string
	for i, row := range rows {
		var line, rule strings.Builder
		for column, cell := range row {
			fmt.Fprintf(&line, "%-*s  ", widths[column], cell)
			rule.WriteString(strings.Repeat("-", widths[column]) + "  ")
		}
		out = append(out, strings.TrimRight(line.String(), " "))
		if i == 0 {
			out = append(out, strings.TrimRight(rule.String(), " "))
		}
	}
	return strings.Join(out, "\n")
}

// seconds prints a time the way that people say it.
func seconds(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// thousands prints a number with separators: 4,008.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// firstDifference describes the first line that only one of two texts has.
func firstDifference(a, b string) string {
	first, second := strings.Split(a, "\n"), strings.Split(b, "\n")
	for _, line := range first {
		if !slices.Contains(second, line) {
			return fmt.Sprintf("%q is gone", line)
		}
	}
	for _, line := range second {
		if !slices.Contains(first, line) {
			return fmt.Sprintf("%q is new", line)
		}
	}
	return "the same lines in another order"
}
