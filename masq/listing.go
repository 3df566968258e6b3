package masq

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// found is one of Fairlead's rules in a chain's listing.
type found struct {
	rule    string // the chain and the rule's arguments, as iptables prints and reads them
	comment string
}

var ourComment = regexp.MustCompile(`--comment "` + CommentPrefix + `([^"]*)"`)

// parseSave sorts the output of iptables-save. A chain without rules is there, too.
func parseSave(text string) listing {
	all := make(listing)
	var chains map[string][]string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if table, begins := strings.CutPrefix(line, "*"); begins {
			chains = make(map[string][]string)
			all[table] = chains
		}
		if rest, is := strings.CutPrefix(line, ":"); is && chains != nil {
			name, _, _ := strings.Cut(rest, " ")
			chains[name] = nil
		}
		if rest, is := strings.CutPrefix(line, "-A "); is && chains != nil {
			name, _, _ := strings.Cut(rest, " ")
			chains[name] = append(chains[name], line)
		}
	}
	return all
}

// ourRules finds Fairlead's rules in the rules of one chain as iptables-save prints them, and counts the others.
func ourRules(lines []string) (ours []found, others int) {
	for _, line := range lines {
		rule, is := strings.CutPrefix(line, "-A ")
		if !is {
			continue
		}
		if match := ourComment.FindStringSubmatch(line); match != nil {
			ours = append(ours, found{rule, match[1]})
		} else {
			others++
		}
	}
	return ours, others
}

// String returns the rules as iptables-save prints them.
func (l listing) String() string {
	var out strings.Builder
	for _, table := range slices.Sorted(maps.Keys(l)) {
		fmt.Fprintf(&out, "*%s\n", table)
		chains := slices.Sorted(maps.Keys(l[table]))
		for _, chain := range chains {
			fmt.Fprintf(&out, ":%s - [0:0]\n", chain)
		}
		for _, chain := range chains {
			for _, line := range l[table][chain] {
				fmt.Fprintln(&out, line)
			}
		}
		fmt.Fprintln(&out, "COMMIT")
	}
	return out.String()
}
