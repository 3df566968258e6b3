package controller

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/fwmark"
)

var (
	testMarks  = fwmark.Range{Base: 0x50000000, Mask: 0x0ff0307f}
	serverMark = regexp.MustCompile(` -f (\d+)`)
	entryMark  = regexp.MustCompile(` skbmark (0x[0-9a-f]+)`)
)

// renamed replaces the firewall marks in a dump by names: M1, M2, ... in the order of what has them, a
// U before it if they are for datagrams, and DROP. Which numbers are given out is a matter of history
// that is no difference.
func renamed(dump string) string {
	type text struct{ entries, servers []string }
	of := make(map[uint32]*text)
	var before, behind []string
	for line := range strings.Lines(dump) {
		mark, isServer := markIn(line)
		if mark == 0 && strings.HasPrefix(line, "-") {
			before = append(before, line)
			continue
		}
		if mark != 0 && of[mark] == nil {
			of[mark] = new(text)
		}
		switch {
		case mark != 0 && isServer:
			of[mark].servers = append(of[mark].servers, serverMark.ReplaceAllString(line, " -f NAME"))
			continue
		case mark != 0:
			of[mark].entries = append(of[mark].entries, entryMark.ReplaceAllString(line, ""))
		}
		behind = append(behind, line)
	}
	var marks []uint32
	for mark := range of {
		marks = append(marks, mark)
	}
	sortText := func(mark uint32) string {
		return strings.Join(of[mark].entries, "") + "\xff" + strings.Join(of[mark].servers, "") + "\xff" + nameOf(mark, 0)
	}
	slices.SortFunc(marks, func(a, b uint32) int { return strings.Compare(sortText(a), sortText(b)) })
	names := make(map[uint32]string)
	out := strings.Join(before, "")
	n := 0
	for _, mark := range marks {
		if mark != testMarks.Drop() {
			n++
		}
		names[mark] = nameOf(mark, n)
		out += strings.ReplaceAll(strings.Join(of[mark].servers, ""), "NAME", names[mark])
	}
	for _, line := range behind {
		if mark, _ := markIn(line); mark != 0 {
			line = entryMark.ReplaceAllString(line, " skbmark "+names[mark])
		}
		out += line
	}
	return out
}

func nameOf(mark uint32, n int) string {
	switch {
	case mark == testMarks.Drop():
		return "DROP"
	case testMarks.Datagram(mark):
		return fmt.Sprint("UM", n)
	}
	return fmt.Sprint("M", n)
}

// markIn returns the mark in a line of a dump, and whether it is that of a virtual server.
func markIn(line string) (mark uint32, isServer bool) {
	if match := serverMark.FindStringSubmatch(line); match != nil {
		n, _ := strconv.ParseUint(match[1], 10, 32)
		return uint32(n), true
	}
	if match := entryMark.FindStringSubmatch(line); match != nil {
		n, _ := strconv.ParseUint(match[1], 0, 32)
		return uint32(n), false
	}
	return 0, false
}

// withMarks puts numbers in the place of M1 to M9, and UM1 to UM9 for datagrams, as they are given out
// one after the other.
func withMarks(op string) string {
	for n := 1; n <= 9; n++ {
		for _, kind := range []string{"UM", "M"} {
			mark := testMarks.Nth(n, kind == "UM")
			op = strings.ReplaceAll(op, fmt.Sprint("-f ", kind, n), fmt.Sprint("-f ", mark))
			op = strings.ReplaceAll(op, fmt.Sprint("skbmark ", kind, n), fmt.Sprintf("skbmark %#x", mark))
		}
	}
	return strings.ReplaceAll(op, "skbmark DROP", fmt.Sprintf("skbmark %#x", testMarks.Drop()))
}
