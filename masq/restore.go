package masq

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/iptsave"
)

// One iptables-restore writes everything that a family needs, and each table of it at once or not at
// all. go-iptables would start a process for each rule: fifty at the first start of a daemon.
//
// What it writes is right for the rules as they were listed, by another process before it. So each line
// names what it is about, and none a number: where somebody has changed our rules or chains in between,
// nothing is written, and the next try lists them again.

// listing is what iptables-save prints of some tables, by name.
type listing map[string]iptsave.Table

// ensureInput returns the input of `iptables-restore --noflush` that makes Fairlead's rules in each
// chain exactly these, at the top, and the number of rules that it writes. The input is empty when
// nothing is to be done.
func ensureInput(chains []Chain, now listing) (input string, written int) {
	tables := newTables()
	for _, c := range chains {
		rules, exists := now[c.Table].Rules[c.Name]
		if c.asWanted(rules, exists) {
			continue
		}
		old, _ := ourRules(rules)
		switch {
		case exists:
		case c.BuiltIn:
			tables.touch(c.Table) // the table is not there yet: to write it, be it nothing, loads or makes it
		default:
			tables.create(c)
		}
		tables.deleteRules(c, old) // first: of two that are alike the upper one would go
		for i, rule := range c.Rules {
			tables.addf(c.Table, "-I %s %d %s", c.Name, i+1, quoted(rule.Spec()))
			written++
		}
	}
	return tables.input(), written
}

// asWanted reports that a chain with these rules needs no write.
func (c Chain) asWanted(rules []string, exists bool) bool {
	ours, _ := ourRules(rules)
	if c.Tentative && len(ours) > 0 {
		return true
	}
	return exists && slices.EqualFunc(ours, c.Rules, func(o found, r Rule) bool { return o.comment == r.Comment })
}

// removeInput returns the input of `iptables-restore --noflush` that deletes Fairlead's rules from
// the chains, and then the chains that are its own: all those named FAIRLEAD-, and of those that it
// shares by name with kube-proxy the ones that held nothing else. A chain that somebody else's rule
// leads to stays; those of Fairlead's own names are returned.
func removeInput(chains []Chain, now listing) (input string, stay []string) {
	tables := newTables()
	for _, c := range slices.Backward(chains) { // jumps before the chains that they lead to
		if !now[c.Table].Has(c.Name) {
			continue
		}
		ours, others := ourRules(now[c.Table].Rules[c.Name])
		tables.deleteRules(c, ours)
		shared := strings.HasPrefix(c.Name, "KUBE-")
		switch {
		case c.BuiltIn || others > 0 || shared && len(ours) == 0:
		case !now.leadsTo(c):
			tables.addf(c.Table, "-X %s", c.Name)
		case !shared:
			stay = append(stay, c.Table+" "+c.Name)
		}
	}
	return tables.input(), stay
}

// leadsTo reports whether a rule that is not Fairlead's jumps or goes to the chain.
func (l listing) leadsTo(c Chain) bool {
	for _, rules := range l[c.Table].Rules {
		for _, rule := range rules {
			if ourComment.MatchString(rule) {
				continue
			}
			if rule = " " + rule; strings.HasSuffix(rule, " -j "+c.Name) || strings.HasSuffix(rule, " -g "+c.Name) {
				return true
			}
		}
	}
	return false
}

// tables collects the lines for each table, in the order in which the tables came up.
type tables struct {
	order   []string
	created map[string][]string
	lines   map[string][]string
}

func newTables() *tables {
	return &tables{created: make(map[string][]string), lines: make(map[string][]string)}
}

func (t *tables) touch(table string) {
	if !slices.Contains(t.order, table) {
		t.order = append(t.order, table)
	}
}

func (t *tables) create(c Chain) {
	t.touch(c.Table)
	t.created[c.Table] = append(t.created[c.Table], "-N "+c.Name) // ":NAME" would flush one that has come meanwhile
}

func (t *tables) addf(table, format string, args ...any) {
	t.touch(table)
	t.lines[table] = append(t.lines[table], fmt.Sprintf(format, args...))
}

// deleteRules deletes rules as they were listed.
func (t *tables) deleteRules(c Chain, rules []found) {
	for _, f := range rules {
		t.addf(c.Table, "-D %s %s", c.Name, f.rule)
	}
}

func (t *tables) input() string {
	var out strings.Builder
	for _, table := range t.order {
		fmt.Fprintf(&out, "*%s\n", table)
		for _, line := range slices.Concat(t.created[table], t.lines[table]) {
			fmt.Fprintln(&out, line)
		}
		fmt.Fprintln(&out, "COMMIT")
	}
	return out.String()
}

// quoted joins arguments as iptables-restore reads them.
func quoted(args []string) string {
	out := make([]string, len(args))
	for i, arg := range args {
		if strings.ContainsAny(arg, " \t\"'\\") {
			arg = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(arg) + `"`
		}
		out[i] = arg
	}
	return strings.Join(out, " ")
}
