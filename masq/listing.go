package masq

import "regexp"

// found is one of Fairlead's rules in a chain's listing.
type found struct {
	rule    string // its arguments, as iptables prints and reads them
	comment string
}

var ourComment = regexp.MustCompile(`--comment "` + CommentPrefix + `([^"]*)"`)

// ourRules finds Fairlead's rules in the rules of one chain, and counts the others.
func ourRules(rules []string) (ours []found, others int) {
	for _, rule := range rules {
		if match := ourComment.FindStringSubmatch(rule); match != nil {
			ours = append(ours, found{rule, match[1]})
		} else {
			others++
		}
	}
	return ours, others
}
