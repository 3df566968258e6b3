package masq

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/child"
	"github.com/fairlead-lb/fairlead/internal/iptsave"
)

// lockWait is how long, in seconds, one iptables call waits for another's lock.
const lockWait = "30"

// EnsureRules implements Kernel. New rules come in and old ones go in one commit of each table. Nothing
// is looked at where no rule of anybody has changed since the last time.
func (l *Linux) EnsureRules(chains map[Family][]Chain) (written int, err error) {
	generation := l.generation()
	if generation != 0 && l.checked.holds(generation, chains) {
		return 0, nil
	}
	l.checked = checked{}
	now, failed := l.rules(slices.Sorted(maps.Keys(chains)))
	input, counts := make(map[Family]string), make(map[Family]int)
	for f, rules := range now {
		input[f], counts[f] = ensureInput(chains[f], rules)
	}
	unwritten := l.restore(input)
	for f, n := range counts {
		if unwritten[f] == nil {
			written += n
		}
	}
	maps.Copy(failed, unwritten)
	if len(failed) == 0 && written == 0 {
		l.checked = checked{generation, chains}
	}
	return written, inFamilies("ensure the %s rules: %w", failed)
}

// inFamilies joins the errors of families.
func inFamilies(format string, errs map[Family]error) error {
	var list []error
	for _, f := range slices.Sorted(maps.Keys(errs)) {
		list = append(list, fmt.Errorf(format, f, errs[f]))
	}
	return errors.Join(list...)
}

// Save implements Reader.
func (l *Linux) Save() (map[Family]string, error) {
	text, failed := l.save(l.Families())
	return text, inFamilies("%s: %w", failed)
}

// save lists all tables of families, with one process each, where go-iptables would start one for each
// chain: this is what audits do. And to ask for a chain that does not exist gives errors that differ
// between the variants of iptables.
func (l *Linux) save(families []Family) (map[Family]string, map[Family]error) {
	programs := make(map[Family]*child.Program)
	for _, f := range families {
		programs[f] = child.New(l.programs, l.tools[f].path+"-save")
	}
	return run("list the rules", programs)
}

// rules is save, read.
func (l *Linux) rules(families []Family) (map[Family]listing, map[Family]error) {
	out, errs := l.save(families)
	now := make(map[Family]listing)
	for f, text := range out {
		now[f] = iptsave.Parse(text)
	}
	return now, errs
}

// restore has iptables-restore carry out its input, if there is any.
func (l *Linux) restore(input map[Family]string) map[Family]error {
	programs := make(map[Family]*child.Program)
	for f, text := range input {
		if text != "" {
			programs[f] = child.New(l.programs, l.tools[f].path+"-restore", "--noflush", "--wait", lockWait).Input(text)
		}
	}
	_, errs := run("write rules", programs)
	return errs
}

// run runs a program for each family, at the same time, and returns what those printed that succeeded. All
// are started by the calling thread: it may be in a network namespace of its own.
func run(what string, programs map[Family]*child.Program) (map[Family]string, map[Family]error) {
	out, errs := make(map[Family]string), make(map[Family]error)
	for f, p := range programs {
		if err := p.Start(); err != nil {
			errs[f] = fmt.Errorf("%s: %w", what, err)
		}
	}
	for f, p := range programs {
		if errs[f] != nil {
			continue
		}
		text, err := p.Wait()
		if err != nil {
			errs[f] = fmt.Errorf("%s: %w", what, err)
			continue
		}
		out[f] = text
	}
	return out, errs
}

func (l *Linux) removeRules(chains map[Family][]Chain) map[Family]error {
	now, failed := l.rules(slices.Sorted(maps.Keys(chains)))
	input := make(map[Family]string)
	for f, rules := range now {
		var stay []string
		input[f], stay = removeInput(chains[f], rules)
		if len(stay) > 0 {
			failed[f] = fmt.Errorf("a rule of somebody else's leads to %s, which therefore stays", strings.Join(stay, " and "))
		}
	}
	maps.Copy(failed, l.restore(input))
	return failed
}
