package ipvs

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-lb/fairlead/internal/kerneltest"
)

// The tests of this package say what they do, and what they expect, in ipvsadm's words.

// parse reads one line of ipvsadm arguments.
func parse(t testing.TB, line string) Op {
	t.Helper()
	verbs := map[string]Verb{
		"-A": AddServer, "-E": EditServer, "-D": DeleteServer, "-a": AddReal, "-e": EditReal, "-d": DeleteReal,
	}
	protocols := map[string]Protocol{"-t": TCP, "-u": UDP, "--sctp-service": SCTP}
	var op Op
	words := strings.Fields(line)
	for i := 0; i < len(words); i++ {
		word := words[i]
		argument := func() string { i++; return words[i] }
		switch {
		case verbs[word] != 0:
			op.Verb = verbs[word]
		case protocols[word] != 0:
			op.Key = Key{Addr: netip.MustParseAddrPort(argument()), Protocol: protocols[word]}
		case word == "-f":
			op.Key = MarkKey(uint32(number(t, argument())), false)
		case word == "-6":
			op.Key = MarkKey(op.Key.Mark, true)
		case word == "-s":
			op.Server.Scheduler = argument()
		case word == "-p":
			op.Server.Persistence = time.Duration(number(t, argument())) * time.Second
		case word == "-o":
			op.Server.Flags |= OnePacket
		case word == "-b":
			op.Server.Flags |= flagsOf(argument())
		case word == "-r":
			op.Real = netip.MustParseAddrPort(argument())
		case word == "-m":
		case word == "-w":
			op.Value.Weight = uint16(number(t, argument()))
		default:
			t.Fatalf("%q: do not know %q", line, word)
		}
	}
	return op
}

func number(t testing.TB, word string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(word, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func flagsOf(names string) (flags Flags) {
	for name := range strings.SplitSeq(names, ",") {
		_, what, _ := strings.Cut(name, "-")
		flags |= map[string]Flags{"fallback": SchedFallback, "1": SchedFallback, "port": SchedPort, "2": SchedPort, "3": schedThird}[what]
	}
	return flags
}

var lines = kerneltest.Lines

// script reads one operation from each line.
func script(t testing.TB, text string) (ops []Op) {
	t.Helper()
	for _, line := range lines(text) {
		ops = append(ops, parse(t, line))
	}
	return ops
}

// sorted returns the lines of a text in an order of their own, to compare tables.
func sorted(text string) string {
	all := lines(text)
	slices.Sort(all)
	return strings.Join(all, "\n")
}
