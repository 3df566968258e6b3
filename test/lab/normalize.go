package lab

import (
	"regexp"
	"slices"
	"strings"
)

var (
	chainCounters = regexp.MustCompile(`^(:\S+ \S+) \[\d+:\d+\]$`)
	ruleCounters  = regexp.MustCompile(`^\[\d+:\d+\] `)
	builtinChain  = regexp.MustCompile(`^:(PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING) ACCEPT$`)
	setVolatile   = regexp.MustCompile(` (hashsize|initval|timeout) \S+`)
	addrIndex     = regexp.MustCompile(`^\d+: `)
)

// lines splits a program's output and drops blank lines and comments.
func lines(output string) []string {
	var all []string
	for line := range strings.Lines(output) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			all = append(all, line)
		}
	}
	return all
}

// text puts lines together again.
func text(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

// normalizeRules takes the output of iptables-save. Rules keep their order, which has meaning; tables and chain
// declarations are sorted. Counters go, and so do built-in chains with their default policy, and tables without anything
// else: the kernel keeps those after their last rule is gone, and they do nothing.
func normalizeRules(save string) string {
	tables := make(map[string]string)
	var name string
	var chains, rules []string
	for _, line := range lines(save) {
		line = chainCounters.ReplaceAllString(ruleCounters.ReplaceAllString(line, ""), "$1")
		switch {
		case strings.HasPrefix(line, "*"):
			name, chains, rules = line, nil, nil
		case line == "COMMIT":
			slices.Sort(chains)
			if len(chains)+len(rules) > 0 {
				tables[name] = text(slices.Concat([]string{name}, chains, rules, []string{line}))
			}
		case builtinChain.MatchString(line):
		case strings.HasPrefix(line, ":"):
			chains = append(chains, line)
		default:
			rules = append(rules, line)
		}
	}
	var out strings.Builder
	for _, name := range sortedKeys(tables) {
		out.WriteString(tables[name])
	}
	return out.String()
}

// countRules counts the rules in iptables-save's output.
func countRules(save string) int {
	var n int
	for _, line := range lines(save) {
		if strings.HasPrefix(line, "-A ") {
			n++
		}
	}
	return n
}

// normalizeServers takes the output of ipvsadm -Sn: each virtual server (-A) before its real servers (-a), all sorted.
func normalizeServers(save string) string {
	return text(sortGrouped(lines(save), func(f []string) string { return strings.Join(f[1:min(3, len(f))], " ") }))
}

// normalizeSets takes the output of ipset save: each set before its entries, all sorted. What depends on a set's past
// instead of its contents (hash size, seed, time left) goes.
func normalizeSets(save string) string {
	all := lines(save)
	for i, line := range all {
		all[i] = setVolatile.ReplaceAllString(line, "")
	}
	return text(sortGrouped(all, func(f []string) string { return f[1] }))
}

// normalizeAddrs takes the output of ip -o addr. Device numbers and lifetimes go; the flag "deprecated" stays.
func normalizeAddrs(output string) string {
	all := lines(output)
	for i, line := range all {
		line, _, _ = strings.Cut(addrIndex.ReplaceAllString(line, ""), `\`)
		all[i] = strings.Join(strings.Fields(line), " ")
	}
	slices.Sort(all)
	return text(all)
}

// normalizeRoutes takes the output of ip route.
func normalizeRoutes(output string) string {
	all := lines(output)
	for i, line := range all {
		all[i] = strings.Join(strings.Fields(line), " ")
	}
	slices.Sort(all)
	return text(all)
}

// sortGrouped sorts lines by what they belong to, declarations ("-A", "create") before what they contain ("-a", "add").
func sortGrouped(all []string, group func(fields []string) string) []string {
	slices.SortFunc(all, func(a, b string) int {
		fa, fb := strings.Fields(a), strings.Fields(b)
		if c := strings.Compare(group(fa), group(fb)); c != 0 {
			return c
		}
		if da, db := declares(fa[0]), declares(fb[0]); da != db {
			if da {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	return all
}

func declares(verb string) bool { return verb == "-A" || verb == "create" }

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
