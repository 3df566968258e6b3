package dummyif

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

// Fake is a Kernel in memory. It loses what the kernel loses, counts messages and fails on request.
type Fake struct {
	bindings map[Binding]netip.Addr
	state    State
	pages    nlbatch.Pages[Binding, netip.Addr]

	// Hidden, if set, tells what MoreBindings leaves out. It is interrupted then.
	Hidden func(Binding) bool
	// Page is how many MoreBindings tells at once; 0 is 256, about as many as the kernel.
	Page int
	// Messages counts writes and reads, one each.
	Messages int
	// Writes counts the operations that were tried and device changes.
	Writes int
	// Fail, if set, decides about an operation before the device does.
	Fail func(Op) error
}

var (
	_ Kernel = (*Fake)(nil)
	_ Reader = (*Fake)(nil)
)

// NewFake returns a kernel without the device.
func NewFake() *Fake { return &Fake{bindings: make(map[Binding]netip.Addr)} }

// Copy returns a Fake that has what another kernel has. What is written to it is what would be written there.
func Copy(from Reader) (*Fake, error) {
	f := NewFake()
	var err error
	if f.state, err = from.State(); err != nil || f.state == Missing {
		return f, err
	}
	f.bindings, err = from.Bindings()
	return f, err
}

// State implements Reader.
func (f *Fake) State() (State, error) { return f.state, nil }

// Ensure implements Kernel.
func (f *Fake) Ensure() (bool, error) {
	f.Messages++
	changed := f.state != Up
	if changed {
		f.Writes++
	}
	f.state = Up
	return changed, nil
}

// Bindings implements Kernel.
func (f *Fake) Bindings() (map[Binding]netip.Addr, error) {
	f.Messages++
	return maps.Clone(f.bindings), nil
}

// MoreBindings implements Kernel.
func (f *Fake) MoreBindings(fromFirst bool) (page map[Binding]netip.Addr, more bool, err error) {
	f.Messages++
	size := cmp.Or(f.Page, 256)
	read := func(b Binding) (netip.Addr, bool) {
		source, there := f.bindings[b]
		return source, there && (f.Hidden == nil || !f.Hidden(b))
	}
	if fromFirst {
		f.pages.Begin(slices.Collect(maps.Keys(f.bindings)), size, read)
	}
	page, more = f.pages.More(size, read)
	if !more && f.Hidden != nil {
		err = nlbatch.ErrInterrupted
	}
	return page, more, err
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
	b := op.Binding
	if _, bound := f.bindings[b]; b.Way == ByOldRoute && (b.Addr.Is6() || op.Verb == Unbind && !bound) {
		b.Way = ByRoute // without a metric, IPv6 makes it that, and unbinding takes any
	}
	if _, bound := f.bindings[b]; f.state == Missing || op.Verb == Unbind && !bound {
		return fs.ErrNotExist
	}
	if op.Verb == Bind {
		f.bindings[b] = op.Source
		return nil
	}
	delete(f.bindings, b)
	if b.Way == ByAddress && b.Addr.Is4() {
		f.flushWithoutAddress()
	}
	return nil
}

// flushWithoutAddress does what the kernel does when a device loses its last IPv4 address: its IPv4
// routes go, too.
func (f *Fake) flushWithoutAddress() {
	for b := range f.bindings {
		if b.Way == ByAddress && b.Addr.Is4() {
			return
		}
	}
	maps.DeleteFunc(f.bindings, func(b Binding, _ netip.Addr) bool { return b.Way != ByAddress && b.Addr.Is4() })
}

// Remove implements Kernel.
func (f *Fake) Remove() error {
	f.Messages++
	if len(f.bindings) == 0 {
		f.state = Missing
	}
	return nil
}

// Dump returns what is bound, sorted, one line each.
func (f *Fake) Dump() string { return Dump(f) }

// Dump reads what is bound and returns it sorted, in the words of ip(8). Errors appear in the
// text: it is meant for people and tests.
func Dump(kernel interface {
	Bindings() (map[Binding]netip.Addr, error)
}) string {
	bindings, err := kernel.Bindings()
	if err != nil {
		return fmt.Sprintf("error: %v\n", err)
	}
	var out strings.Builder
	for _, b := range slices.SortedFunc(maps.Keys(bindings), Binding.Compare) {
		fmt.Fprintln(&out, shown(b, bindings[b]))
	}
	return out.String()
}
