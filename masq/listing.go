package masq

import (
	"regexp"
	"strings"
)

// found is one of Fairlead's rules in a chain's listing.
type found struct {
	number  int // as iptables counts, from 1
	comment string
}

var ourComment = regexp.MustCompile(`--comment "` + CommentPrefix + `([^"]*)"`)

// ourRules finds Fairlead's rules in the output of `iptables -S CHAIN`, and counts the others.
func ourRules(lines []string) (ours []found, others int) {
	number := 0
	for _, line := range lines {
		if !strings.HasPrefix(line, "-A ") {
			continue
		}
		number++
		if match := ourComment.FindStringSubmatch(line); match != nil {
			ours = append(ours, found{number, match[1]})
		} else {
			others++
		}
	}
	return ours, others
}
