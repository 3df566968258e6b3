package masq

import (
	"regexp"
	"strings"
)

// found is one of Fairlead's rules in a chain's listing.
type found struct {
	rule    string // the chain and the rule's arguments, as iptables prints and reads them
	comment string
}

var ourComment = regexp.MustCompile(`--comment "` + CommentPrefix + `([^"]*)"`)

// byChain sorts the output of `iptables -S` by chain. A chain without rules is there, too.
func byChain(listing string) map[string][]string {
	chains := make(map[string][]string)
	for line := range strings.Lines(listing) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "-P", "-N":
			chains[fields[1]] = nil
		case "-A":
			chains[fields[1]] = append(chains[fields[1]], strings.TrimSpace(line))
		}
	}
	return chains
}

// ourRules finds Fairlead's rules in the rules of one chain as `iptables -S` prints them, and counts the others.
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
