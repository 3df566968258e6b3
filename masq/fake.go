package masq

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// Fake is a Kernel in memory. It counts messages and fails on request.
type Fake struct {
	entries map[Entry]uint32 // marks
	sets    bool
	rules   map[string][]string // by family, table and chain: comments

	// Messages counts writes and reads of sets, one each.
	Messages int
	// Writes counts the operations that were tried, rules written and sets created.
	Writes int
	// Fail, if set, decides about an operation before the set does.
	Fail func(Op) error
}

var _ Kernel = (*Fake)(nil)

// NewFake returns a kernel without sets and rules.
func NewFake() *Fake {
	return &Fake{entries: make(map[Entry]uint32), rules: make(map[string][]string)}
}

// Families implements Kernel.
func (f *Fake) Families() []Family { return []Family{IPv4, IPv6} }

// RandomFully implements Kernel.
func (f *Fake) RandomFully(Family) bool { return true }

// EnsureSets implements Kernel.
func (f *Fake) EnsureSets() (bool, error) {
	f.Messages++
	changed := !f.sets
	if changed {
		f.Writes++
	}
	f.sets = true
	return changed, nil
}

// Entries implements Kernel.
func (f *Fake) Entries() (map[Entry]uint32, error) {
	f.Messages++
	return maps.Clone(f.entries), nil
}

// Apply implements Kernel.
func (f *Fake) Apply(ops []Op) []error {
	f.Messages += len(ops)
	f.Writes += len(ops)
	var errs []error
	for i, op := range ops {
		if err := f.apply(op); err != nil {
			if errs == nil {
				errs = make([]error, len(ops))
			}
			errs[i] = err
		}
	}
	return errs
}

func (f *Fake) apply(op Op) error {
	if f.Fail != nil {
		if err := f.Fail(op); err != nil {
			return err
		}
	}
	if !f.sets {
		return fs.ErrNotExist
	}
	if op.Delete {
		delete(f.entries, op.Entry)
	} else {
		f.entries[op.Entry] = op.Mark
	}
	return nil
}

// EnsureRules implements Kernel.
func (f *Fake) EnsureRules(chains map[Family][]Chain) (written int, err error) {
	for family, list := range chains {
		for _, c := range list {
			written += f.ensureChain(family, c)
		}
	}
	f.Writes += written
	return written, nil
}

func (f *Fake) ensureChain(family Family, c Chain) (written int) {
	var comments []string
	for _, rule := range c.Rules {
		comments = append(comments, rule.Comment)
	}
	key := fmt.Sprint(family, " ", c.Table, " ", c.Name)
	if c.Tentative && len(f.rules[key]) > 0 || slices.Equal(f.rules[key], comments) {
		return 0
	}
	f.rules[key] = comments
	return len(comments)
}

// Remove implements Kernel.
func (f *Fake) Remove(map[Family][]Chain) error {
	clear(f.rules)
	clear(f.entries)
	f.sets = false
	return nil
}

// RuleCount is the number of rules.
func (f *Fake) RuleCount() int {
	n := 0
	for _, rules := range f.rules {
		n += len(rules)
	}
	return n
}

// Rules returns the comments of the rules, each behind its family, table and chain, sorted by these.
func (f *Fake) Rules() string {
	var out strings.Builder
	for _, place := range slices.Sorted(maps.Keys(f.rules)) {
		for _, comment := range f.rules[place] {
			fmt.Fprintf(&out, "%s: %s\n", place, comment)
		}
	}
	return out.String()
}

// Dump returns the entries as `ipset save` would, sorted.
func (f *Fake) Dump() string { return Dump(f) }

// Dump reads the entries and returns them as `ipset save` would, sorted. Errors appear in the
// text: it is meant for people and tests.
func Dump(kernel Kernel) string {
	entries, err := kernel.Entries()
	if err != nil {
		return fmt.Sprintf("error: %v\n", err)
	}
	var out strings.Builder
	for _, e := range slices.SortedFunc(maps.Keys(entries), Entry.Compare) {
		fmt.Fprintf(&out, "%s%s\n", e, markText(entries[e]))
	}
	return out.String()
}
