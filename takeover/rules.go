package takeover

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/iptsave"
	"github.com/fairlead-lb/fairlead/masq"
)

// chains is a table as iptables-save prints it.
type chains struct{ iptsave.Table }

// removal returns the input of `iptables-restore --noflush` that removes from one table those chains of
// kube-proxy's that are due, and what leads to them. It is empty where nothing is. Chains of kube-proxy's that a rule of somebody else leads to
// are emptied; they are returned, with that rule.
//
// Chains are emptied by name, and rules are deleted as they were listed: where somebody has changed them in
// between nothing is written, and the next try lists them again.
func removal(table, save string, due func(chain string) bool) (input string, stay []string) {
	all := chains{iptsave.Parse(save)[table]}
	var empty, deletions, gone []string
	emptied := make(map[string]bool) // nothing is left in these
	for _, name := range all.Chains {
		switch {
		case !due(name):
		case chainOfTheirs(name):
			empty, gone = append(empty, ":"+name+" - [0:0]"), append(gone, name)
			emptied[name] = true
		case shared(name) && all.anyOfTheirs():
			theirs := slices.Collect(all.theirRules(name))
			emptied[name] = len(theirs) > 0 && len(theirs) == len(all.Rules[name])
			for _, rule := range theirs {
				deletions = append(deletions, "-D "+name+" "+rule)
			}
			if emptied[name] {
				gone = append(gone, name)
			}
		}
	}
	jumps, foreign := all.jumps(emptied, due)
	var dropped []string
	for _, name := range gone {
		if rule := foreign[name]; rule != "" {
			stay = append(stay, fmt.Sprintf("%s %s (%s)", table, name, rule))
			continue
		}
		dropped = append(dropped, "-X "+name)
	}
	lines := slices.Concat(empty, deletions, jumps, dropped)
	if len(lines) == 0 || len(jumps)+len(deletions)+len(dropped) == 0 && all.blank(gone) {
		return "", stay
	}
	return "*" + table + "\n" + strings.Join(lines, "\n") + "\nCOMMIT\n", stay
}

// anyOfTheirs reports whether there is a chain that only kube-proxy makes. Without one, rules in the chains that others
// use, too, say nothing of who wrote them.
func (c chains) anyOfTheirs() bool { return slices.ContainsFunc(c.Chains, chainOfTheirs) }

// blank reports whether none of the chains has a rule: all that could be done has been done.
func (c chains) blank(names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return len(c.Rules[name]) > 0 })
}

// theirRules yields kube-proxy's rules in a chain that it shares.
func (c chains) theirRules(name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, rule := range c.Rules[name] {
			if !ours(rule) && theirShapes[name].MatchString(rule) && !yield(rule) {
				return
			}
		}
	}
}

// jumps returns the deletions of kube-proxy's jumps, and by chain a rule of somebody else that leads to an
// emptied one. Rules in chains that are emptied do not count: they go. The jump to KUBE-POSTROUTING stays
// as long as a rule of somebody else is in there, unless Fairlead's own leads there as well.
func (c chains) jumps(emptied map[string]bool, due func(chain string) bool) (deletions []string, foreign map[string]string) {
	foreign = make(map[string]string)
	for _, from := range c.Chains {
		if emptied[from] {
			continue
		}
		for _, rule := range c.Rules[from] {
			to := target(rule)
			switch {
			case !due(to) || !chainOfTheirs(to) && !shared(to):
			case !ours(rule) && theirComment(rule) && (emptied[to] || !shared(to) || c.oursLeadsTo(to)):
				deletions = append(deletions, "-D "+from+" "+rule)
			case emptied[to]:
				foreign[to] = from + " " + rule
			}
		}
	}
	return deletions, foreign
}

func (c chains) oursLeadsTo(name string) bool {
	for _, rules := range c.Rules {
		for _, rule := range rules {
			if ours(rule) && target(rule) == name {
				return true
			}
		}
	}
	return false
}

var (
	quotedText = regexp.MustCompile(`"(\\.|[^"\\])*"`)
	targetOf   = regexp.MustCompile(`(?:^| )(?:-j|-g) (\S+)`)
)

// target returns where a rule jumps or goes.
func target(rule string) string {
	match := targetOf.FindStringSubmatch(quotedText.ReplaceAllString(rule, `""`))
	if match == nil {
		return ""
	}
	return match[1]
}

// ours reports whether a rule is Fairlead's.
func ours(rule string) bool { return strings.Contains(rule, `--comment "`+masq.CommentPrefix) }
