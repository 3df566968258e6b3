package conntrack

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fairlead-lb/fairlead/internal/nlbatch"
)

// Fake is a Kernel in memory. It counts passes, is interrupted and fails on request.
type Fake struct {
	flows map[Flow]struct{}

	// Passes counts readings of the table: one for each family, and those that were interrupted.
	Passes int
	// Interruptions is how many of the next passes are interrupted. Such a pass sees every second
	// flow only.
	Interruptions int
	// Fail, if set, decides about a deletion before the table does.
	Fail func(Flow) error
}

var _ Kernel = (*Fake)(nil)

// NewFake returns a kernel that tracks these flows.
func NewFake(flows ...Flow) *Fake {
	f := &Fake{flows: make(map[Flow]struct{})}
	f.Add(flows...)
	return f
}

// Add makes the kernel track flows.
func (f *Fake) Add(flows ...Flow) {
	for _, flow := range flows {
		f.flows[flow] = struct{}{}
	}
}

// DeleteStale implements Kernel.
func (f *Fake) DeleteStale(frontends Frontends) (deleted int, err error) {
	return frontends.sweep(func(v4 bool) (int, error) { return f.pass(frontends, v4) })
}

func (f *Fake) pass(frontends Frontends, v4 bool) (deleted int, err error) {
	f.Passes++
	interrupted := f.Interruptions > 0
	if interrupted {
		f.Interruptions--
		err = fmt.Errorf("list flows: %w", nlbatch.ErrInterrupted)
	}
	var errs []error
	for i, flow := range f.sorted() {
		if interrupted && i%2 == 1 || flow.Orig.Destination.Addr().Is4() != v4 || !frontends.stale(flow) {
			continue
		}
		if err := f.delete(flow); err != nil {
			errs = append(errs, fmt.Errorf("delete flow %s: %w", flow, err))
			continue
		}
		deleted++
	}
	return deleted, errors.Join(err, failures(errs))
}

func (f *Fake) delete(flow Flow) error {
	if f.Fail != nil {
		if err := f.Fail(flow); err != nil {
			return err
		}
	}
	delete(f.flows, flow)
	return nil
}

func (f *Fake) sorted() []Flow {
	return slices.SortedFunc(maps.Keys(f.flows), func(a, b Flow) int { return strings.Compare(a.String(), b.String()) })
}

// Dump returns the flows as conntrack(8) lists them, sorted, one line each.
func (f *Fake) Dump() string {
	var out strings.Builder
	for _, flow := range f.sorted() {
		fmt.Fprintln(&out, flow)
	}
	return out.String()
}
