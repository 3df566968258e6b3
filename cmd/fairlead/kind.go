package main

import (
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// kind says what values a key takes and how text becomes such a value. A kind
// parses, it does not only check: what it returns has the type of the field of
// Config, so nothing past it needs to look at text again.
type kind struct {
	want  string // completes "VALUE is not ...", so it names what is allowed
	tags  string // YAML types that may hold it, space separated
	list  bool   // takes a list; want is about each of its items
	parse func(items []string) (value any, bad int)
}

const (
	tagString  = "!!str"
	tagBool    = "!!bool"
	tagInteger = "!!int"
	tagNumber  = "!!int !!float"
	tagAny     = "!!str !!int !!float !!bool"
)

// scalar makes the kind of a key that takes one value.
func scalar[T any](want, tags string, parse func(string) (T, bool)) kind {
	return kind{want: want, tags: tags, parse: func(items []string) (any, int) {
		value, ok := parse(items[0])
		if !ok {
			return nil, 0
		}
		return value, -1
	}}
}

// listOf makes the kind of a key that takes a list; an empty list is nil.
func listOf[T any](want string, parse func(string) (T, bool)) kind {
	return kind{want: want, tags: tagString, list: true, parse: func(items []string) (any, int) {
		var values []T
		for i, item := range items {
			value, ok := parse(item)
			if !ok {
				return nil, i
			}
			values = append(values, value)
		}
		return values, -1
	}}
}

// optional makes a kind of one string accept the empty string too.
func optional(k kind) kind {
	inner := k.parse
	k.want += ", or empty"
	k.parse = func(items []string) (any, int) {
		if items[0] == "" {
			return "", -1
		}
		return inner(items)
	}
	return k
}

func oneOf(words ...string) kind {
	last := len(words) - 1
	return scalar(strings.Join(words[:last], ", ")+" or "+words[last], tagString, func(s string) (string, bool) {
		return s, slices.Contains(words, s)
	})
}

func boolean() kind {
	return scalar("true or false", tagBool, func(s string) (bool, bool) {
		value, err := strconv.ParseBool(s)
		return value, err == nil
	})
}

func integer(low, high int) kind {
	return scalar(fmt.Sprintf("an integer from %d to %d", low, high), tagInteger, func(s string) (int, bool) {
		value, err := strconv.Atoi(s)
		return value, err == nil && low <= value && value <= high
	})
}

// mark is a firewall mark, or a mask for one: decimal or, as people write them, with 0x.
func mark() kind {
	return scalar("a firewall mark (such as 0x50000000)", tagInteger, func(s string) (uint32, bool) {
		value, err := strconv.ParseUint(s, 0, 32)
		return uint32(value), err == nil
	})
}

func number(low, high float64) kind {
	return scalar(fmt.Sprintf("a number from %.0f to %.0f", low, high), tagNumber, func(s string) (float64, bool) {
		value, err := strconv.ParseFloat(s, 64)
		return value, err == nil && low <= value && value <= high && !math.IsNaN(value)
	})
}

// duration is a time.Duration not below low. YAML numbers are let through to
// the parser, which wants a unit: "30" is the mistake, and the message says so.
func duration(low time.Duration) kind {
	want := "a duration of at least 0s, with a unit (such as 30s or 15m)"
	if low > 0 {
		want = "a duration of more than 0s, with a unit (such as 30s or 15m)"
	}
	return scalar(want, tagAny, func(s string) (time.Duration, bool) {
		value, err := time.ParseDuration(s)
		return value, err == nil && value >= low
	})
}

// maxKernelTimeout is the longest timeout that ip_vs (do_ip_vs_set_timeout) and
// the timeouts among the sysctls (proc_dointvec_jiffies) take at HZ=1000:
// INT_MAX/HZ seconds.
const maxKernelTimeout = math.MaxInt32 / 1000 * time.Second

// secondsUpTo is a duration in whole seconds, for timeouts that the kernel
// counts in seconds: 500ms would become 0, which means something else.
func secondsUpTo(high time.Duration) kind {
	want := fmt.Sprintf("a duration in whole seconds from 0s to %s", high)
	return scalar(want, tagAny, func(s string) (time.Duration, bool) {
		value, err := time.ParseDuration(s)
		return value, err == nil && 0 <= value && value <= high && value%time.Second == 0
	})
}

const wantCIDR = "a CIDR (such as 10.96.0.0/12 or fd00::/108)"

// parseCIDR reads a CIDR and clears its host bits, as kube-proxy does. IPv4 in
// IPv6 clothes is refused: it would match no packet.
func parseCIDR(s string) (netip.Prefix, bool) {
	prefix, err := netip.ParsePrefix(strings.TrimSpace(s))
	return prefix.Masked(), err == nil && !prefix.Addr().Is4In6()
}

func clusterCIDR() kind {
	want := "one CIDR, or two of different families (such as 10.0.0.0/8,fd00::/48), or empty"
	return scalar(want, tagString, func(s string) ([]netip.Prefix, bool) {
		items := splitList(s)
		var prefixes []netip.Prefix
		for _, item := range items {
			prefix, ok := parseCIDR(item)
			if !ok {
				return nil, false
			}
			prefixes = append(prefixes, prefix)
		}
		twoFamilies := len(items) == 2 && prefixes[0].Addr().Is4() != prefixes[1].Addr().Is4()
		return prefixes, len(items) < 2 || twoFamilies
	})
}

// splitList splits a list in one string at its commas; blank items are dropped,
// so that "$A,$B" works where B is empty.
func splitList(s string) []string {
	var items []string
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

func bindAddrPort() kind {
	want := `IP:PORT (such as 127.0.0.1:10249 or "[::]:10249"; empty disables it)`
	return scalar(want, tagString, func(s string) (netip.AddrPort, bool) {
		if s == "" {
			return netip.AddrPort{}, true
		}
		address, err := netip.ParseAddrPort(s)
		return address, err == nil && address.Port() != 0
	})
}

func logLevel() kind {
	levels := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}
	return scalar("debug, info, warn or error", tagString, func(s string) (slog.Level, bool) {
		level, ok := levels[s]
		return level, ok
	})
}

// mostCPUs is how many CPUs a kernel can have, CONFIG_NR_CPUS at its largest.
const mostCPUs = 8192

// cpuList is a list of CPUs. It becomes what the kernel makes of it, so that it can be compared with what the kernel says.
func cpuList() kind {
	want := fmt.Sprintf("a list of CPUs in quotes, such as \"0-3,8\", each from 0 to %d and no range backward", mostCPUs-1)
	return scalar(want, tagString, func(s string) (string, bool) {
		var has [mostCPUs + 1]bool
		for item := range strings.SplitSeq(s, ",") {
			first, last, isRange := strings.Cut(item, "-")
			if !isRange {
				last = first
			}
			low, errLow := strconv.ParseUint(first, 10, 32)
			high, errHigh := strconv.ParseUint(last, 10, 32)
			if errLow != nil || errHigh != nil || low > high || high >= mostCPUs {
				return "", false
			}
			for cpu := low; cpu <= high; cpu++ {
				has[cpu] = true
			}
		}
		return cpuRanges(has[:]), true
	})
}

// cpuRanges writes a set of CPUs as the kernel does. The last of has is false.
func cpuRanges(has []bool) string {
	var ranges []string
	for cpu := 0; cpu < len(has); cpu++ {
		first := cpu
		for has[cpu] {
			cpu++
		}
		switch cpu - first {
		case 0:
		case 1:
			ranges = append(ranges, strconv.Itoa(first))
		default:
			ranges = append(ranges, fmt.Sprintf("%d-%d", first, cpu-1))
		}
	}
	return strings.Join(ranges, ",")
}
