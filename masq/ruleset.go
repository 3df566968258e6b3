package masq

import (
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"

	"github.com/fairlead-lb/fairlead/internal/delta"
	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

// Ruleset is the constant rules and the desired and actual entries of the sets. It is not safe for
// concurrent use: one goroutine owns it and its Kernel.
type Ruleset struct {
	kernel   Kernel
	options  Options
	entries  delta.Table[Entry, uint32] // value: the mark
	marks    map[lead]int               // how many actual entries lead to a mark
	ops      []Op                       // empty; kept from one write to the next, and nil while it is written
	refused  map[Entry]struct{}         // since the last Retry
	waiting  map[netip.Addr][]Entry     // entries that are held until Release of their address
	first    bool                       // the next page is the first one of a sweep
	strange  map[Entry]struct{}         // see Strange
	messages uint64
	writes   uint64
}

// lead is a mark in a family: its virtual server is another one in the other family.
type lead struct {
	mark   uint32
	family Family
}

// NewRuleset returns a ruleset with nothing desired but its rules.
func NewRuleset(kernel Kernel, options Options) *Ruleset {
	return &Ruleset{
		kernel: kernel, options: options,
		marks: make(map[lead]int), refused: make(map[Entry]struct{}), waiting: make(map[netip.Addr][]Entry),
	}
}

// SetOptions changes the rules from the next Resync or EnsuresRules on.
func (r *Ruleset) SetOptions(o Options) { r.options = o }

// Expect makes room for so many entries where there are none yet.
func (r *Ruleset) Expect(entries int) { r.entries.Expect(entries) }

// Set makes the entry desired.
func (r *Ruleset) Set(e Entry) { r.SetMark(e, 0) }

// SetMark makes the entry of Local desired, with a mark.
func (r *Ruleset) SetMark(e Entry, mark uint32) {
	delete(r.refused, e)
	r.entries.Set(e, mark)
}

// Unset makes the entry undesired.
func (r *Ruleset) Unset(e Entry) {
	delete(r.refused, e)
	r.entries.Unset(e)
}

// Has reports whether the entry is in the kernel, to the best of the ruleset's knowledge.
func (r *Ruleset) Has(e Entry) bool { _, ok := r.entries.Actual(e); return ok }

// Desires reports whether the entry is desired.
func (r *Ruleset) Desires(e Entry) bool { _, ok := r.entries.Desired(e); return ok }

// Len is the number of entries that are desired or in the kernel.
func (r *Ruleset) Len() int { return r.entries.Len() }

// All yields every entry that is desired or, to the best of the ruleset's knowledge, in the kernel.
func (r *Ruleset) All() iter.Seq[Entry] { return r.entries.All() }

// Mark returns the mark that the entry has in the kernel; 0: none, or no such entry.
func (r *Ruleset) Mark(e Entry) uint32 { mark, _ := r.entries.Actual(e); return mark }

// DesiredMark returns the mark that the entry should have; 0: none, or the entry is not desired.
func (r *Ruleset) DesiredMark(e Entry) uint32 { mark, _ := r.entries.Desired(e); return mark }

// LeadsTo returns how many entries of a family have the mark in the kernel.
func (r *Ruleset) LeadsTo(mark uint32, f Family) int { return r.marks[lead{mark, f}] }

// Settled reports whether the kernel has the entry just as it is desired, or not at all where it is not.
func (r *Ruleset) Settled(e Entry) bool { return r.entries.Settled(e) }

// Chains returns every rule, by family.
func (r *Ruleset) Chains() map[Family][]Chain {
	chains := make(map[Family][]Chain)
	for _, f := range r.kernel.Families() {
		chains[f] = Skeleton(f, r.options, r.kernel.RandomFully(f))
	}
	return chains
}

// Resync makes sure of the sets and the constant rules, and reads the entries of the sets. It
// returns how many rules had to be written and entries were not as believed.
func (r *Ruleset) Resync() (drift int, err error) {
	entries, err := r.ResyncSets()
	if err != nil {
		return 0, err
	}
	rules, err := r.EnsuresRules()()
	return entries + rules, err
}

// ResyncSets makes sure of the sets and reads them. It returns how many entries were not as believed.
func (r *Ruleset) ResyncSets() (drift int, err error) {
	r.messages++
	if _, err := r.kernel.EnsureSets(); err != nil {
		return 0, fmt.Errorf("ensure the sets: %w", err)
	}
	r.messages++
	dump, err := r.kernel.Entries()
	if err != nil {
		return 0, fmt.Errorf("read the sets: %w", err)
	}
	for e, mark := range r.entries.AllActual() {
		if now, seen := dump[e]; !seen || now != mark {
			drift++
		}
	}
	r.entries.ReplaceActual(dump)
	r.EndAudit()
	r.Retry()
	clear(r.marks)
	for e, mark := range dump {
		r.count(e, mark, 1)
	}
	return drift, nil
}

// BeginSweep makes sure of the sets and begins to read them page by page, by NextPage, so that nobody waits for all.
func (r *Ruleset) BeginSweep() error {
	r.messages++
	if _, err := r.kernel.EnsureSets(); err != nil {
		return fmt.Errorf("ensure the sets: %w", err)
	}
	r.entries.Sweep()
	r.first = true
	return nil
}

// Strange reports that a sweep has found an entry which nobody wants, and that EndAudit has not been called since. What the
// entry is for may be in the kernel, too: as long as nobody has looked, the entry is what tells whose it is.
func (r *Ruleset) Strange(e Entry) bool { _, strange := r.strange[e]; return strange }

// EndAudit says that what strange entries are for has been looked for.
func (r *Ruleset) EndAudit() { r.strange = nil }

// NextPage reads the next page. It returns how many entries were not as believed, and whether there is another page. After an
// error the sweep has to begin anew.
func (r *Ruleset) NextPage() (drift int, more bool, err error) {
	r.messages++
	page, more, err := r.kernel.MoreEntries(r.first)
	if err != nil {
		return 0, false, fmt.Errorf("read the sets: %w", err)
	}
	r.first = false
	for e, mark := range page {
		if !r.Has(e) && !r.Desires(e) {
			r.noteStrange(e)
		}
		was := r.Mark(e)
		if r.entries.Saw(e, mark) {
			drift++
		}
		r.count(e, was, -1)
		r.count(e, r.Mark(e), 1)
	}
	if more {
		return drift, true, nil
	}
	for _, e := range r.entries.Missed() {
		drift++
		r.count(e, r.Mark(e), -1)
		r.entries.UnsetActual(e)
	}
	return drift, false, nil
}

func (r *Ruleset) noteStrange(e Entry) {
	if r.strange == nil {
		r.strange = make(map[Entry]struct{})
	}
	r.strange[e] = struct{}{}
}

// count keeps the number of actual entries that lead to a mark.
func (r *Ruleset) count(e Entry, mark uint32, change int) {
	if mark == 0 {
		return
	}
	key := lead{mark, FamilyOf(e.Addr)}
	if r.marks[key] += change; r.marks[key] == 0 {
		delete(r.marks, key)
	}
}

// EnsuresRules returns what makes sure of the constant rules, as they should be now, and returns how many had to be written.
// The sets must be there. It may be called by another goroutine than everything else, meanwhile, but by no two at once.
func (r *Ruleset) EnsuresRules() func() (drift int, err error) {
	chains := r.Chains()
	return func() (int, error) { return r.kernel.EnsureRules(chains) }
}

// Upsert adds and changes what is pending, except the entries with a mark that ready refuses, in the
// order of Sets. What fails stays pending, and is not tried again before it is Set or Unset, or Retry or a Resync. It is
// the same with Prune.
func (r *Ruleset) Upsert(ready func(e Entry, mark uint32) bool) error {
	return r.apply(r.Upserts(ready))
}

// Retry has Upsert and Prune try again what failed.
func (r *Ruleset) Retry() { clear(r.refused) }

// Upserts is the first part of an Upsert: it returns what is to be written. Write and Record are the others. Between them
// what is desired may change.
func (r *Ruleset) Upserts(ready func(e Entry, mark uint32) bool) []Op {
	ops := r.ops
	r.ops = nil
	for e, mark := range r.entries.Upserts() {
		if _, refused := r.refused[e]; !refused && (mark == 0 || ready(e, mark)) {
			ops = append(ops, Op{Entry: e, Mark: mark})
		}
	}
	if len(ops) == 0 {
		r.ops = ops
	}
	slices.SortFunc(ops, compareSets)
	return ops
}

// Write writes to the kernel. It may be called from another goroutine than everything else, while nothing else uses
// the Kernel.
func (r *Ruleset) Write(ops []Op) []error { return r.kernel.Apply(ops) }

// Prune deletes what is no longer desired, except the entries that are held, in the reverse order of
// Sets. Of those it does not ask again about the ones that wait, of which there may be very many for minutes, before the
// Release of their address.
func (r *Ruleset) Prune(held, waits func(Entry) bool) error {
	var ops []Op
	for e := range r.entries.Prunes() {
		_, refused := r.refused[e]
		switch {
		case refused:
		case !held(e):
			ops = append(ops, Op{Delete: true, Entry: e})
		case waits(e):
			r.entries.Hold(e)
			r.waiting[e.Addr] = append(r.waiting[e.Addr], e)
		}
	}
	slices.SortFunc(ops, func(a, b Op) int { return compareSets(b, a) })
	return r.apply(ops)
}

// Release has the next Prune ask again about the entries of an address that wait.
func (r *Ruleset) Release(addr netip.Addr) {
	for _, e := range r.waiting[addr] {
		r.entries.Release(e)
	}
	delete(r.waiting, addr)
}

// compareSets orders operations as Sets does.
func compareSets(a, b Op) int { return a.Entry.Set.rank() - b.Entry.Set.rank() }

func (r *Ruleset) apply(ops []Op) error {
	if len(ops) == 0 {
		return nil
	}
	return r.Record(ops, r.Write(ops))
}

// Record takes down what came of operations, and keeps their slice.
func (r *Ruleset) Record(ops []Op, results []error) error {
	r.messages += uint64(len(ops))
	r.writes += uint64(len(ops))
	var errs []error
	for i, op := range ops {
		if results != nil && results[i] != nil {
			errs = append(errs, fmt.Errorf("ipset %s: %w", op, results[i]))
			r.refused[op.Entry] = struct{}{}
			continue
		}
		if op.Entry.Set == Local {
			r.count(op.Entry, r.Mark(op.Entry), -1)
		}
		if op.Delete {
			r.entries.UnsetActual(op.Entry)
		} else {
			r.entries.SetActual(op.Entry, op.Mark)
			r.count(op.Entry, op.Mark, 1)
		}
	}
	r.ops = nlbatch.Kept(ops)
	return errors.Join(errs...)
}

// Messages is the number of netlink messages, reads included, that this ruleset has caused.
func (r *Ruleset) Messages() uint64 { return r.messages }

// Writes is the number of those messages that write.
func (r *Ruleset) Writes() uint64 { return r.writes }

// Pending is the number of entries with work to do, held ones included.
func (r *Ruleset) Pending() int { return r.entries.Pending() }
