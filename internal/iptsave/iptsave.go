// Package iptsave reads what iptables-save prints, and prints it.
package iptsave

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Table is the chains of one table and their rules.
type Table struct {
	Chains []string            // in the order of the listing, those without rules, too
	Rules  map[string][]string // by chain, as they are printed behind "-A CHAIN "
}

// Has reports whether there is such a chain, be it without rules.
func (t Table) Has(chain string) bool {
	_, has := t.Rules[chain]
	return has
}

// Parse reads a listing of any number of tables, by name. What is in no table or has no sense is left out.
func Parse(text string) map[string]Table {
	tables := make(map[string]Table)
	var name string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if table, begins := strings.CutPrefix(line, "*"); begins {
			name = table
			tables[name] = Table{Rules: make(map[string][]string)}
		}
		table, inside := tables[name]
		if !inside {
			continue
		}
		if chain, is := strings.CutPrefix(line, ":"); is {
			chain, _, _ = strings.Cut(chain, " ")
			table.Chains = append(table.Chains, chain)
			table.Rules[chain] = nil
			tables[name] = table
		}
		if rule, is := strings.CutPrefix(line, "-A "); is {
			chain, rule, _ := strings.Cut(rule, " ")
			table.Rules[chain] = append(table.Rules[chain], rule)
		}
	}
	return tables
}

// Only returns the part of a listing that is about one table, as it is.
func Only(text, table string) string {
	_, part, there := strings.Cut("\n"+text, "\n*"+table+"\n")
	if !there {
		return ""
	}
	part, _, _ = strings.Cut(part, "\nCOMMIT")
	return "*" + table + "\n" + part + "\nCOMMIT\n"
}

// Format prints tables, by name, as iptables-save does, without counters.
func Format(tables map[string]Table) string {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		fmt.Fprintf(&out, "*%s\n", name)
		table := tables[name]
		for _, chain := range table.Chains {
			fmt.Fprintf(&out, ":%s - [0:0]\n", chain)
		}
		for _, chain := range table.Chains {
			for _, rule := range table.Rules[chain] {
				fmt.Fprintf(&out, "-A %s %s\n", chain, rule)
			}
		}
		fmt.Fprintln(&out, "COMMIT")
	}
	return out.String()
}
