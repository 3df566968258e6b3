package masq

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/fairlead-lb/fairlead/internal/iptsave"
	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

// Fake is a Kernel in memory. It counts messages and fails on request.
type Fake struct {
	random  map[Family]bool   // the families that there are, and whether MASQUERADE can choose ports at random
	entries map[Entry]uint32  // marks
	sets    map[Creation]bool // those that exist
	rules   map[Family]listing
	pages   nlbatch.Pages[Entry, uint32]
	mu      sync.Mutex // guards Writes: rules may be written by another goroutine

	// Page is how many MoreEntries tells at once; 0 is 256, about as many as the kernel.
	Page int
	// Messages counts writes and reads of sets, one each.
	Messages int
	// Writes counts the operations that were tried, rules written and sets created.
	Writes int
	// Fail, if set, decides about an operation before the set does.
	Fail func(Op) error
	// Restored, if set, is called with what iptables-restore would read in place of each write of rules.
	Restored func(f Family, input string)
}

var (
	_ Kernel = (*Fake)(nil)
	_ Reader = (*Fake)(nil)
)

// NewFake returns a kernel without sets and rules.
func NewFake() *Fake {
	return &Fake{
		random:  map[Family]bool{IPv4: true, IPv6: true},
		entries: make(map[Entry]uint32), sets: make(map[Creation]bool), rules: make(map[Family]listing),
	}
}

// Copy returns a Fake that has what another kernel has: families, sets, entries, and the rules of everybody. What
// is written to it is what would be written there.
func Copy(from Reader) (*Fake, error) {
	f := NewFake()
	clear(f.random)
	for _, family := range from.Families() {
		f.random[family] = from.RandomFully(family)
	}
	missing, err := from.MissingSets()
	if err != nil {
		return nil, err
	}
	for _, c := range allSets(f.Families()) {
		f.sets[c] = !slices.Contains(missing, c)
	}
	if f.entries, err = from.Entries(); err != nil {
		return nil, err
	}
	saved, err := from.Save()
	if err != nil {
		return nil, err
	}
	for family, text := range saved {
		f.rules[family] = iptsave.Parse(text)
	}
	return f, nil
}

// Families implements Kernel.
func (f *Fake) Families() []Family { return slices.Sorted(maps.Keys(f.random)) }

// RandomFully implements Kernel.
func (f *Fake) RandomFully(family Family) bool { return f.random[family] }

// MissingSets implements Reader.
func (f *Fake) MissingSets() ([]Creation, error) {
	return slices.DeleteFunc(allSets(f.Families()), func(c Creation) bool { return f.sets[c] }), nil
}

// EnsureSets implements Kernel.
func (f *Fake) EnsureSets() (bool, error) {
	f.Messages++
	missing, err := f.MissingSets()
	if len(missing) > 0 {
		f.wrote(1)
	}
	for _, c := range missing {
		f.sets[c] = true
	}
	return len(missing) > 0, err
}

// Entries implements Kernel.
func (f *Fake) Entries() (map[Entry]uint32, error) {
	f.Messages++
	return maps.Clone(f.entries), nil
}

// MoreEntries implements Kernel.
func (f *Fake) MoreEntries(fromFirst bool) (page map[Entry]uint32, more bool, err error) {
	f.Messages++
	size := cmp.Or(f.Page, 256)
	read := func(e Entry) (uint32, bool) { mark, there := f.entries[e]; return mark, there }
	if fromFirst {
		f.pages.Begin(slices.Collect(maps.Keys(f.entries)), size, read)
	}
	page, more = f.pages.More(size, read)
	return page, more, nil
}

func (f *Fake) wrote(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Writes += n
}

// Apply implements Kernel.
func (f *Fake) Apply(ops []Op) []error {
	f.Messages += len(ops)
	f.wrote(len(ops))
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
	if !f.sets[Creation{op.Entry.Set, FamilyOf(op.Entry.Addr)}] {
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
	for _, family := range slices.Sorted(maps.Keys(chains)) {
		input, n := ensureInput(chains[family], f.rules[family])
		written += n
		if input == "" {
			continue
		}
		if f.rules[family] == nil {
			f.rules[family] = make(listing)
		}
		f.rules[family].ensure(chains[family])
		if f.Restored != nil {
			f.Restored(family, input)
		}
	}
	f.wrote(written)
	return written, nil
}

// ensure does what the input of ensureInput does.
func (l listing) ensure(chains []Chain) {
	for _, c := range chains {
		rules, exists := l[c.Table].Rules[c.Name]
		if c.asWanted(rules, exists) {
			continue
		}
		table := l[c.Table]
		if table.Rules == nil {
			table.Rules = make(map[string][]string)
		}
		if !exists {
			table.Chains = append(table.Chains, c.Name)
		}
		var now []string
		for _, rule := range c.Rules {
			now = append(now, quoted(rule.Spec()))
		}
		for _, rule := range rules {
			if !ourComment.MatchString(rule) {
				now = append(now, rule)
			}
		}
		table.Rules[c.Name] = now
		l[c.Table] = table
	}
}

// Save implements Reader.
func (f *Fake) Save() (map[Family]string, error) {
	all := make(map[Family]string)
	for _, family := range f.Families() {
		all[family] = iptsave.Format(f.rules[family])
	}
	return all, nil
}

// Remove implements Kernel.
func (f *Fake) Remove(map[Family][]Chain) error {
	clear(f.rules)
	clear(f.entries)
	clear(f.sets)
	return nil
}

// RuleCount is the number of Fairlead's rules.
func (f *Fake) RuleCount() int { return strings.Count(f.Rules(), "\n") }

// Rules returns the comments of Fairlead's rules, each behind its family, table and chain, sorted by these.
func (f *Fake) Rules() string {
	places := make(map[string][]found)
	for family, tables := range f.rules {
		for table, chains := range tables {
			for chain, rules := range chains.Rules {
				places[fmt.Sprint(family, " ", table, " ", chain)], _ = ourRules(rules)
			}
		}
	}
	var out strings.Builder
	for _, place := range slices.Sorted(maps.Keys(places)) {
		for _, rule := range places[place] {
			fmt.Fprintf(&out, "%s: %s\n", place, rule.comment)
		}
	}
	return out.String()
}

// Dump returns the entries as `ipset save` would, sorted.
func (f *Fake) Dump() string { return Dump(f) }

// Dump reads the entries and returns them as `ipset save` would, sorted. Errors appear in the
// text: it is meant for people and tests.
func Dump(kernel interface {
	Entries() (map[Entry]uint32, error)
}) string {
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
